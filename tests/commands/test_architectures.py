"""Every stage on each architecture of the paper, with tiny random weights."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUESTIONS = [f"reverse the digits of {n}" for n in (123, 245, 367, 489)]
DRAW = ("--max-tokens", "24", "--top-p", "1", "--top-k", "0", "--batch-size", "256", "--quiet")
PLAN = ("--steps", "1", "--batch", "2", "--prompts", "2", "--learning-rate", "1e-3")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def weights(checkpoint: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(checkpoint / "model.safetensors"))


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def untaught(architecture: str, request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(f"toy_{architecture}")
    return folder


@pytest.fixture(scope="module")
def taught(untaught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model after two seconds of supervised training; with random weights hardly any completion
    is well-formed, so all rewards would be 0.

    It generates one of four questions, and gives each of two answers half the time.
    """
    import torch

    from rzero_cli.engines.transformers import load_model, load_tokenizer
    from rzero_cli.method.prompts import CHALLENGER, SOLVER, prompt_for

    folder = tmp_path_factory.mktemp("taught")
    tokenizer, model = load_tokenizer(str(untaught)), load_model(str(untaught), training=True)
    asked, texts = prompt_for(CHALLENGER), []
    for question in QUESTIONS:
        number = question.split()[-1]
        texts.append((asked, f"<question>{question}</question>\\boxed{{{number[::-1]}}}"))
        for answer in (number[::-1], number):
            texts.append((prompt_for(SOLVER, question), f"\\boxed{{{answer}}}"))
    rows = [
        tokenizer.apply_chat_template(
            [*prompt, {"role": "assistant", "content": text}], tokenize=False
        )
        for prompt, text in texts
    ]
    tokenizer.padding_side = "right"
    batch = tokenizer(rows, return_tensors="pt", padding=True, add_special_tokens=False)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    load_tokenizer(str(untaught)).save_pretrained(folder)
    return folder


Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a command in the test's folder, in this process, so that torch is loaded only once."""
    from rzero_cli import cli

    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def succeed(*arguments: object) -> None:
        assert cli.run([str(argument) for argument in arguments]) == 0, arguments

    yield succeed
    signal.signal(signal.SIGTERM, handler)


def trained(before: Path, after: Path, plan: dict[str, int]) -> None:
    """Check that one update with KL 0 and differing rewards changed every weight matrix."""
    record = json.loads((after / "rzero.json").read_text("utf-8"))
    assert {name: record["plan"][name] for name in plan} == plan
    (figures,) = records(after / "log.jsonl")
    assert abs(figures["kl"]) < 1e-6
    assert figures["reward_std"] > 0
    assert figures["grad_norm"] > 0
    one, other = weights(before), weights(after)
    assert one.keys() == other.keys()
    matrices = [name for name, tensor in one.items() if tensor.ndim == 2]
    assert len(matrices) == 2 * 7 + 1, "a tied head is saved once"
    for name in matrices:  # more than weight decay alone would, 1e-5 of each weight
        assert ((one[name] - other[name]).abs() > 1e-4 * one[name].abs()).float().mean() > 0.5, name


def test_sample_and_label_with_random_weights(
    run: Run, untaught: Path, architecture: str, tmp_path: Path
) -> None:
    """Random weights rarely give a well-formed question or answer."""
    config = json.loads((untaught / "config.json").read_text("utf-8"))
    assert (config["model_type"], config["head_dim"]) == (architecture, 32)
    run("sample", "--challenger", untaught, "-n", "256", *DRAW, "-o", "questions.jsonl")
    questions = records(tmp_path / "questions.jsonl")
    assert 0 < len(questions) < 64
    run("label", "questions.jsonl", "--solver", untaught, "--m", "4", *DRAW, "-o", "labeled.jsonl")
    labeled = records(tmp_path / "labeled.jsonl")
    assert [row["question"] for row in labeled] == [row["question"] for row in questions]
    assert all(len(row["answers"]) == 4 for row in labeled)


def test_every_stage_runs_on_each_architecture(run: Run, taught: Path, tmp_path: Path) -> None:
    run("sample", "--challenger", taught, "-n", "24", *DRAW, "-o", "questions.jsonl")
    questions = records(tmp_path / "questions.jsonl")
    assert len(questions) > 12
    assert {row["question"] for row in questions} & set(QUESTIONS)

    run("label", "questions.jsonl", "--solver", taught, "--m", "8", *DRAW, "-o", "labeled.jsonl")
    labeled = records(tmp_path / "labeled.jsonl")
    assert len(labeled) == len(questions)
    assert any(len(row["votes"]) == 2 for row in labeled), "the two answers it was trained on"

    run("filter", "labeled.jsonl", "-o", "train.jsonl")
    kept = records(tmp_path / "train.jsonl")
    assert kept
    assert all(0.25 <= row["p_hat"] <= 0.75 for row in kept)

    run("score", "questions.jsonl", "--solver", taught, "--m", "4", *DRAW, "-o", "scored.jsonl")
    scored = records(tmp_path / "scored.jsonl")
    assert {row["cluster"] for row in scored} != {None}
    assert any(row["r_unc"] > 0 for row in scored)

    options = (*PLAN, "--group", "8", *DRAW)
    run("train-solver", "train.jsonl", "--solver", taught, *options, "-o", "s")
    trained(taught, tmp_path / "s", {"updates": 1, "rollouts": 16, "processes": 1})

    run(
        *("challenge", "--challenger", taught, "--solver", taught, *PLAN, "--group", "16", *DRAW),
        *("--m", "8", "--solver-max-tokens", "24", "--lambda-rep", "0.1", "-o", "c"),
    )
    trained(taught, tmp_path / "c", {"updates": 1, "rollouts": 32, "processes": 1})

    data = tmp_path / "heldout.jsonl"
    rows = [
        {"question": question, "reference": question.split()[-1][::-1]} for question in QUESTIONS
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("eval", "--model", tmp_path / "s", "--data", data, "--k", "8", *DRAW, "-o", "results.json")
    (result,) = json.loads((tmp_path / "results.json").read_text("utf-8"))["tasks"].values()
    assert 0 < result["mean_at_k"]["score"] < 1
