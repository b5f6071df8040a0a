"""The real vLLM, on the CPU: the engine, the commands with it, and vLLM's own server.

Run by `make test-vllm`, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rzero_cli.core.prompts import SOLVER, Messages, prompt_for
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.errors import RzeroError, UsageError

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

WORDS = ["reverse the digits of", "copy the number", "turn around"]
PROMPTS = [prompt_for(SOLVER, f"{WORDS[k % 3]} {k}{'7' * (1 + k % 5)}") for k in range(21)]
SAMPLING = Sampling(n=3, max_tokens=12)
RZERO = [sys.executable, "-m", "rzero_cli"]


# Tests of one engine, which takes long to start, are run by one of several pytest processes.
shared = pytest.mark.xdist_group("engine")


def texts(results: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in drawn] for drawn in results]


def children(of: int) -> list[int]:
    """All descendants of a process that are alive."""
    import psutil

    try:
        found = psutil.Process(of).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    # Python's own tracker lives as long as the process that once needed it.
    return [
        child.pid
        for child in found
        if child.status() != psutil.STATUS_ZOMBIE
        and "resource_tracker" not in " ".join(child.cmdline())
    ]


def alive(pids: list[int]) -> list[int]:
    import psutil

    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


@pytest.fixture(scope="module")
def engine(small_base: Path) -> Iterator[object]:
    before = children(os.getpid())
    with open_engine("vllm", str(small_base), batch_size=32) as engine:
        assert len(children(os.getpid())) > len(before)
        yield engine
    assert children(os.getpid()) == before


@shared
def test_every_prompt_gets_n_different_completions_in_order(engine) -> None:
    results = list(engine.generate(PROMPTS, Sampling(n=3, max_tokens=12, temperature=1.5)))
    assert [len(drawn) for drawn in results] == [3] * len(PROMPTS)
    distinct = [len(set(drawn)) for drawn in texts(results)]
    assert sum(distinct) > 2 * len(PROMPTS)
    again = list(engine.generate(PROMPTS, Sampling(n=3, max_tokens=12, temperature=1.5)))
    assert texts(again) != texts(results)


@shared
def test_lengths_and_truncation_are_told(engine) -> None:
    cut = [c for drawn in engine.generate(PROMPTS, Sampling(n=2, max_tokens=2)) for c in drawn]
    assert all(c.truncated and c.tokens == 2 for c in cut)
    whole = [c for drawn in engine.generate(PROMPTS, Sampling(n=2, max_tokens=40)) for c in drawn]
    assert not all(c.truncated for c in whole)
    assert all(c.tokens <= 40 for c in whole)


@shared
def test_top_k_of_one_is_greedy_and_greedy_is_drawn_once(engine) -> None:
    greedy = texts(list(engine.generate(PROMPTS, Sampling(n=2, temperature=0, max_tokens=8))))
    assert all(a == b for a, b in greedy)
    assert texts(list(engine.generate(PROMPTS, Sampling(n=2, top_k=1, max_tokens=8)))) == greedy


@shared
def test_stop_strings_end_a_completion_and_are_not_in_it(engine) -> None:
    (plain,) = next(engine.generate(PROMPTS, Sampling(temperature=0, max_tokens=20)))
    middle = plain.text[2:4]
    stopping = Sampling(temperature=0, max_tokens=20, stop=(middle,))
    (stopped,) = next(engine.generate(PROMPTS, stopping))
    assert stopped.text == plain.text.split(middle)[0]
    assert not stopped.truncated


@shared
def test_start_leaves_out_and_a_window_bounds_what_is_read(engine) -> None:
    greedy = Sampling(temperature=0, max_tokens=8)
    everything = list(engine.generate(PROMPTS, greedy))
    assert list(engine.generate(PROMPTS, greedy, start=15)) == everything[15:]
    read = 0

    def endless() -> Iterator[Messages]:
        nonlocal read
        for read in count(1):
            yield PROMPTS[read % len(PROMPTS)]

    results = engine.generate(endless(), Sampling(n=4, max_tokens=4))
    for _ in range(40):
        next(results)
    assert 40 <= read <= 40 + 16 * 32 // 4 + 1
    results.close()


@shared
def test_any_text_can_be_asked_and_a_prompt_without_room_is_no_end(engine) -> None:
    questions = ["", "\ud800", "\x00", "é漢", "<pad><eos>", "7" * 100_000]
    prompts = [prompt_for(SOLVER, question) for question in questions]
    results = list(engine.generate(prompts, Sampling(n=2, max_tokens=4)))
    assert [len(drawn) for drawn in results] == [2] * len(questions)
    assert results[-1] == [Completion("", 0, truncated=True)] * 2


def same_up_to_a_near_tie(
    model: Path, prompts: list[Messages], limit: int, gap: float, opened: Any = None
) -> float:
    """Compare both engines' greedy completions; the share that is equal to the end.

    Where they part, the two tokens must have been nearly as likely.
    """
    import torch

    from rzero_cli.engines.chat import encode

    greedy = Sampling(temperature=0, max_tokens=limit)
    with nullcontext(opened) if opened else open_engine("vllm", str(model)) as engine:
        theirs = list(engine.generate(prompts, greedy))
    equal = 0
    with open_engine("transformers", str(model)) as engine:
        ours = list(engine.generate(prompts, greedy))
        tokenizer, network = engine.tokenizer, engine.model
        for messages, (a,), (b,) in zip(prompts, theirs, ours, strict=True):
            if a.text == b.text:
                assert (a.tokens, a.truncated) == (b.tokens, b.truncated)
                equal += 1
                continue
            pair = [tokenizer(t.text, add_special_tokens=False)["input_ids"] for t in (a, b)]
            at = next(
                (i for i, (x, y) in enumerate(zip(*pair, strict=False)) if x != y),
                min(map(len, pair)),
            )
            seen = torch.tensor([encode(tokenizer, messages) + pair[0][:at]])
            with torch.no_grad():
                logits = network(seen).logits[0, -1]
            best = logits.topk(2).values
            assert best[0] - best[1] < gap, (a.text, b.text)
    return equal / len(prompts)


@shared
def test_greedy_equals_transformers_on_the_tiny_base(engine, small_base: Path) -> None:
    assert same_up_to_a_near_tie(small_base, PROMPTS, limit=16, gap=1e-3, opened=engine) > 0.9


def test_greedy_equals_transformers_on_a_real_llm(smollm2: Path) -> None:
    asked = ["What is 3 + 4?", "Name the capital of France.", "Count from one to five.", "Hello!"]
    asked += [f"What is {n} plus {n + 5}?" for n in range(4)]
    prompts = [prompt_for(SOLVER, question) for question in asked]
    assert same_up_to_a_near_tie(smollm2, prompts, limit=24, gap=1e-2) >= 0.75


def test_both_architectures_of_the_paper_are_served(toy_qwen3: Path) -> None:
    assert same_up_to_a_near_tie(toy_qwen3, PROMPTS[:6], limit=8, gap=1e-2) > 0.5


def piped(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("rzero", " ".join(RZERO))
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_sample_label_filter_through_pipes(small_base: Path, tmp_path: Path) -> None:
    both = {"RZERO_ENGINE": "vllm", "RZERO_PRESET": "tiny", "RZERO_SOLVER": str(small_base)}
    line = (
        f"rzero sample --challenger {small_base} -n 40 | tee q.jsonl | rzero label --m 10 "
        "| tee l.jsonl | rzero filter --low 0 --high 1"
    )
    done = piped(line, tmp_path, **both)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    labelled = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    kept = [json.loads(text) for text in done.stdout.splitlines()]
    asked = (tmp_path / "q.jsonl").read_text().splitlines()
    assert [json.loads(text)["question"] for text in asked] == [r["question"] for r in labelled]
    assert kept == [record for record in labelled if record["answer"] is not None]
    assert len(kept) > 5
    assert all(len(record["answers"]) == record["m"] == 10 for record in kept)
    assert len({answer for record in kept for answer in record["answers"]}) > 5


def test_a_real_llm_labels_through_pipes_and_says_nothing_else(
    smollm2: Path, tmp_path: Path
) -> None:
    questions = [f"What is {n} + {n}? Answer with \\boxed{{}}." for n in range(1, 5)]
    (tmp_path / "q.jsonl").write_text(
        "".join(json.dumps({"question": q, "kept": [n]}) + "\n" for n, q in enumerate(questions))
    )
    line = (
        f"cat q.jsonl | rzero label --solver {smollm2} --engine vllm --m 4 --max-tokens 48 "
        "--max-model-len 512 --extract boxed,phrase,last-number --stop '\n\n\n' "
        "| tee l.jsonl | rzero filter --low 0 --high 1 | cat"
    )
    done = piped(line.replace("last-number", "hashes"), tmp_path)
    assert done.returncode == 0, done.stderr
    records = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert [record["question"] for record in records] == questions
    assert [record["kept"] for record in records] == [[0], [1], [2], [3]]
    assert all(len(record["answers"]) == 4 for record in records)
    for text in done.stdout.splitlines():
        assert json.loads(text)["answer"] is not None
    assert "answers cut off at 48 tokens" in done.stderr


@pytest.fixture(scope="module")
def many_questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "q.jsonl"
    rows = [{"id": n, "question": f"{WORDS[n % 3]} {1000 + n}"} for n in range(3000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def begin_label(base: Path, questions: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """A labelling that is some records on its way, in a process group of its own."""
    command = ["label", questions, "--solver", base, "--engine", "vllm", "--preset", "tiny"]
    process = subprocess.Popen(
        [*RZERO, *map(str, command), "--m", "4", "-o", "l.jsonl", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    journal = folder / "l.jsonl.part"
    for _ in range(1800):
        time.sleep(0.1)
        if process.poll() is not None or (journal.exists() and journal.stat().st_size > 2000):
            break
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize(
    ("number", "group", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGKILL, False, -9)],
)
def test_nothing_is_left_behind_and_what_is_done_is_kept(
    small_base: Path, many_questions: Path, tmp_path: Path, number, group: bool, status: int
) -> None:
    process = begin_label(small_base, many_questions, tmp_path)
    theirs = children(process.pid)
    assert len(theirs) >= 2
    (os.killpg if group else os.kill)(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    assert b"Traceback" not in stderr
    for _ in range(100):
        if not alive(theirs):
            break
        time.sleep(0.1)
    assert not alive(theirs)
    done = (tmp_path / "l.jsonl.part").read_text().count("\n")
    assert 0 < done < 3000
    if number == signal.SIGKILL:  # and go on from there, with less to do
        command = ["label", many_questions, "--solver", small_base, "--engine", "vllm"]
        again = subprocess.run(
            [
                *RZERO,
                *map(str, command),
                *["--preset", "tiny", "--m", "4", "-o", "l.jsonl", "--resume"],
            ],
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
        )
        assert again.returncode == 0, again.stderr
        records = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
        assert [record["id"] for record in records] == list(range(3000))
        assert all(len(record["answers"]) == 4 for record in records)


def test_what_cannot_be_started_is_said_in_one_line(small_base: Path, tmp_path: Path) -> None:
    before = children(os.getpid())
    with pytest.raises(UsageError, match="no such engine argument; did you mean max_model_len"):
        open_engine("vllm", str(small_base), arguments={"max_modle_len": 5})
    with pytest.raises(RzeroError, match=r"vLLM cannot be started with .*max_model_len") as error:
        open_engine("vllm", str(small_base), arguments={"max_model_len": 10_000_000})
    assert "\n" not in str(error.value)
    assert children(os.getpid()) == before


def test_an_adapter_is_applied(small_base: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from rzero_cli.engines.transformers import load_model, load_tokenizer

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(load_model(str(small_base)), config)
    adapted.peft_config["default"].base_model_name_or_path = str(small_base)
    adapter = tmp_path / "adapter"
    adapted.save_pretrained(adapter)
    load_tokenizer(str(small_base)).save_pretrained(adapter)
    greedy = Sampling(temperature=0, max_tokens=6)
    with open_engine("transformers", str(adapter)) as engine:
        expected = texts(list(engine.generate(PROMPTS[:8], greedy)))
    with open_engine("transformers", str(small_base)) as engine:
        assert texts(list(engine.generate(PROMPTS[:8], greedy))) != expected
    with open_engine("vllm", str(adapter), batch_size=16) as engine:
        found = texts(list(engine.generate(PROMPTS[:8], greedy)))
    assert sum(a == b for a, b in zip(found, expected, strict=True)) >= 6


def test_the_solver_of_challenge_runs_on_vllm(small_base: Path, tmp_path: Path) -> None:
    plan = "--steps 1 --prompts 2 --batch 2 --group 4 --per-device 8 --m 4 --preset tiny"
    command = f"challenge --challenger {small_base} --solver {small_base} -o c --engine vllm {plan}"
    done = subprocess.run(
        [*RZERO, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "rollouts" in done.stderr
    log = json.loads((tmp_path / "c" / "log.jsonl").read_text().splitlines()[0])
    assert 0 < log["p_hat"] <= 1 or log["valid"] == 0


@shared
def test_an_evaluation_draws_k_different_samples(engine, small_base: Path) -> None:
    from rzero_cli.core.equivalence import Equivalence
    from rzero_cli.core.streams import read_lines
    from rzero_cli.evaluation.data import evaluate_data

    with Equivalence() as equivalence:
        result = evaluate_data(
            engine,
            read_lines([str(small_base / "heldout.jsonl")], limit=20),
            k=4,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_tokens=24,
            seed=0,
            equivalence=equivalence,
        )
    samples = result["samples"]
    assert len(samples) == 20
    assert any(len(set(sample["answers"])) > 1 for sample in samples)
    assert 0 < result["mean_at_k"]["score"] < 1


@contextmanager
def served(model: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`vllm serve` of `model` as `m`, ready for requests."""
    import urllib.request

    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    options = (
        f"--served-model-name m --host 127.0.0.1 --port {port} --enforce-eager --dtype float32 "
        "--max-model-len 64 --no-enable-chunked-prefill --max-num-batched-tokens 4096 "
        "--kv-cache-memory-bytes 500000000"
    )
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, *command, *options.split()],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env=os.environ | {"VLLM_NO_USAGE_STATS": "1"},
        )
    try:
        for _ in range(1200):
            time.sleep(0.25)
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                continue
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    theirs = [process.pid, *children(process.pid)]
    for pid in theirs:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def test_a_server_that_is_killed_and_brought_back_gives_what_an_undisturbed_one_does(
    small_base: Path, many_questions: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    questions = tmp_path / "q.jsonl"
    questions.write_text("".join(many_questions.read_text().splitlines(keepends=True)[:500]))
    common = f"label {questions} --preset tiny --endpoint http://127.0.0.1:{port} --m 4"
    log = tmp_path / "server.log"
    with served(small_base, port, log) as server:
        whole = subprocess.run(
            [*RZERO, *common.split(), "-o", "whole.jsonl"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert whole.returncode == 0, whole.stderr
        stderr = tmp_path / "stderr"
        with stderr.open("wb") as stream:
            disturbed = subprocess.Popen(
                [*RZERO, *common.split(), "-o", "disturbed.jsonl"], cwd=tmp_path, stderr=stream
            )
        journal = tmp_path / "disturbed.jsonl.part"
        for _ in range(1200):
            time.sleep(0.05)
            if journal.exists() and journal.read_text().count("\n") > 30:
                break
        end(server)
        at_the_kill = journal.read_text().count("\n")
    assert 30 < at_the_kill < 500
    with served(small_base, port, log):
        assert disturbed.wait(timeout=200) == 0, stderr.read_text()
        asked = "challenge --challenger {0} --solver m --solver-endpoint http://127.0.0.1:{1} -o c"
        plan = (
            "--steps 1 --prompts 2 --batch 2 --group 4 --per-device 8 --m 4 --preset tiny --quiet"
        )
        command = f"{asked.format(small_base, port)} {plan}"
        trained = subprocess.run(
            [*RZERO, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert trained.returncode == 0, trained.stderr
    said = stderr.read_text()
    assert "set aside until it is back" in said
    assert f"http://127.0.0.1:{port}/v1: back" in said
    first, second = (
        [json.loads(text) for text in (tmp_path / name).read_text().splitlines()]
        for name in ("whole.jsonl", "disturbed.jsonl")
    )
    assert [record["id"] for record in second] == list(range(500))
    # Each request has its own seed; what other requests it is batched with moves a logit by a bit.
    same = sum(a["answers"] == b["answers"] for a, b in zip(first, second, strict=True))
    assert same > 0.95 * 500
    assert (tmp_path / "c" / "rzero.json").is_file()
