"""LoRA adapters through a chain of real trainings, and every stage on the results."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.empty_checkpoints import write_safetensors
from helpers.forkserver import ForkServer

PLAN = ["--steps", "2", "--prompts", "4", "--batch", "2", "--group", "4", "--top-p", "1"]
PLAN += ["--learning-rate", "3e-3", "--max-tokens", "24", "--batch-size", "256", "--quiet"]
LORA = ["--lora-r", "4", "--lora-alpha", "8"]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(next(folder.glob("*model.safetensors")))


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def started_at_itself(folder: Path) -> bool:
    """Return whether the KL was 0 before the first update, but not throughout."""
    kl = [step["kl"] for step in log_of(folder)]
    return abs(kl[0]) < 1e-6 and max(kl) > 1e-6


@pytest.fixture(scope="module")
def chain(small_base: Path, forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `base`, an adapter `first` on it, `second`, which continues `first`, and
    `full`, all weights trained from `first`; each trained by the command in that directory."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "base").symlink_to(small_base)
    rows = [
        {"question": f"reverse the digits of {n}", "answer": str(n)[::-1]} for n in range(400, 420)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for start, out, options in (
        ("base", "first", LORA),
        ("first", "second", []),
        ("first", "full", ["--lora-r", "0"]),
    ):
        command = ["train-solver", "train.jsonl", "--solver", start, "-o", out, *PLAN, *options]
        done = forks.run(command, cwd=folder)
        assert done.status == 0, done.stderr
    return folder


@pytest.mark.slow
def test_kl_refers_to_the_model_that_a_stage_started_from(chain: Path) -> None:
    assert all(started_at_itself(chain / name) for name in ("first", "second", "full"))
    one, two = weights(chain / "first"), weights(chain / "second")
    assert one.keys() == two.keys()
    assert any(not one[name].equal(two[name]) for name in one)


@pytest.mark.slow
def test_adapter_directory_is_complete_and_names_its_base(chain: Path) -> None:
    for name in ("first", "second"):
        names = {path.name for path in (chain / name).iterdir()}
        assert names == {
            *("adapter_config.json", "adapter_model.safetensors", "rzero.json", "log.jsonl"),
            *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        }
        config = json.loads((chain / name / "adapter_config.json").read_text())
        assert config["target_modules"] == sorted(config["target_modules"])  # the same bytes
        assert config["base_model_name_or_path"] == str(chain / "base")
        assert (config["r"], config["lora_alpha"]) == (4, 8)
    record = json.loads((chain / "second" / "rzero.json").read_text())
    parents = [parent["path"] for parent in record["parents"]]
    assert parents == ["train.jsonl", "first", str(chain / "base")]
    assert all(parent["sha256"] for parent in record["parents"])


@pytest.mark.slow
def test_full_training_from_an_adapter_gives_an_ordinary_checkpoint(chain: Path) -> None:
    names = {path.name for path in (chain / "full").iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    assert not names & {"start", ".start", "adapter_config.json", "ref"}
    # It started from the adapter's weights, not from its base's.
    from rzero_cli.engines.transformers import load_model

    merged, trained = load_model(str(chain / "first")).state_dict(), weights(chain / "full")
    base = weights(chain / "base")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert (trained[name] - merged[name]).norm() < (trained[name] - base[name]).norm()


@pytest.mark.slow
def test_merged_model_has_the_adapters_logits(rzero, chain: Path, tmp_path: Path) -> None:
    """The logits equal those of peft's model, and the command writes a record."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    done = rzero("merge", chain / "second", "-o", "merged")
    assert done.status == 0, done.stderr
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    base = AutoModelForCausalLM.from_pretrained(chain / "base")
    tokens = torch.arange(1, 20)[None]
    with torch.no_grad():
        plain = base(tokens).logits
        expected = PeftModel.from_pretrained(base, chain / "second")(tokens).logits
        assert merged(tokens).logits.allclose(expected, atol=1e-4)
    assert not plain.allclose(expected, atol=1e-2)
    record = json.loads((tmp_path / "merged" / "rzero.json").read_text())
    assert record["stage"] == "merge"
    parents = [parent["path"] for parent in record["parents"]]
    assert parents == [str(chain / "second"), str(chain / "base")]
    again = rzero("merge", chain / "second", "-o", "merged")
    assert (again.status, again.stderr.count("\n")) == (2, 1)
    assert rzero("merge", chain / "first", "-o", "merged", "--force").status == 0


@pytest.mark.slow
def test_every_stage_takes_an_adapter(rzero, chain: Path, tmp_path: Path) -> None:
    """In a directory without the base; the adapter may lack its own tokenizer."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (bare / name).write_bytes((chain / "first" / name).read_bytes())
    sampled = rzero("sample", "--challenger", bare, "-n", "8", "--preset", "tiny")
    assert sampled.status == 0, sampled.stderr
    (tmp_path / "q.jsonl").write_text('{"question": "reverse the digits of 123"}\n')
    labelled = rzero(
        "label", "q.jsonl", "--solver", chain / "first", "--m", "4", "--preset", "tiny"
    )
    assert labelled.status == 0, labelled.stderr
    done = rzero(
        *("challenge", "--challenger", chain / "first", "--solver", chain / "second"),
        *("-o", "c", *PLAN, *LORA, "--solver-max-tokens", "24"),
    )
    assert done.status == 0, done.stderr
    assert started_at_itself(tmp_path / "c")


@pytest.mark.slow
def test_interrupted_adapter_training_resumes_from_its_own_weights(
    rzero, forks: ForkServer, chain: Path, tmp_path: Path
) -> None:
    """It does not resume from the reference's copy next to them, which the KL still uses."""
    command = ["train-solver", chain / "train.jsonl", "--solver", chain / "first", *PLAN, *LORA]
    command += ["--steps", "8"]
    assert rzero(*command, "-o", "whole").status == 0
    running = forks.start([*command, "-o", "broken"], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("broken.part/checkpoints/checkpoint-*/trainer_state.json")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 143
    done = rzero(*command, "-o", "broken", "--resume")
    assert done.status == 0, done.stderr
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(one[name].allclose(other[name], atol=1e-6) for name in one)


@pytest.mark.slow
def test_adapter_at_the_rate_of_all_weights_is_warned_of(
    rzero, chain: Path, tmp_path: Path
) -> None:
    command = ["train-solver", chain / "train.jsonl", "--solver", chain / "base", "-o", "s"]
    done = rzero(*command, *PLAN[:-1], *LORA, "--learning-rate", "1e-6")
    assert done.status == 0, done.stderr
    warning = "train-solver: --learning-rate 1e-06 hardly changes an adapter: use 1e-05 to 1e-4"
    assert done.stderr.splitlines().count(warning) == 1
    assert max(step["kl"] for step in log_of(tmp_path / "s")) < 1e-6  # the warning is true


@pytest.mark.slow
def test_adapters_default_rate_is_ten_times_that_of_all_weights(
    rzero, chain: Path, tmp_path: Path
) -> None:
    plan = [word for word in PLAN if word not in ("--learning-rate", "3e-3")]
    done = rzero(
        "train-solver", chain / "train.jsonl", "--solver", chain / "first", "-o", "s", *plan
    )
    assert done.status == 0, done.stderr
    settings = json.loads((tmp_path / "s" / "rzero.json").read_text())["settings"]
    assert settings["learning_rate"] == pytest.approx(1e-5)
    assert (settings["lora_r"], settings["lora_alpha"]) == (4, 8)
    assert log_of(tmp_path / "s")[0]["learning_rate"] == pytest.approx(1e-5)


@pytest.mark.slow
def test_two_processes_train_an_adapter(rzero, chain: Path, tmp_path: Path) -> None:
    command = ["train-solver", chain / "train.jsonl", "--solver", chain / "first", "-o", "s"]
    command += [*PLAN, *LORA, "--processes", "2"]
    done = rzero(*command)
    assert done.status == 0, done.stderr
    assert started_at_itself(tmp_path / "s")
    assert not (tmp_path / "s" / "ref").exists()


def test_adapter_errors_are_one_line(
    refused: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    write_safetensors(adapter / "adapter_model.safetensors", {})
    declared = {"base_model_name_or_path": str(tiny_model), "r": 16, "lora_alpha": 32}

    def refuse(*options: str) -> str:
        (adapter / "adapter_config.json").write_text(json.dumps(declared))
        return refused("train-solver", "t", "--solver", "adapter", "-o", "s", *options)

    shape = "an adapter with --lora-r 16 --lora-alpha 32"
    assert shape in refuse("--lora-r", "8")
    assert shape in refuse("--lora-r", "16", "--lora-alpha", "16")
    assert "t: no such file" in refuse("--lora-r", "16")
    declared["base_model_name_or_path"] = str(tmp_path / "gone")
    assert "adapter: an adapter of" in refuse()
    assert "gone: no such directory" in refuse()
    del declared["base_model_name_or_path"]
    assert "has no base_model_name_or_path" in refuse()
    assert "not an adapter" in refused("merge", str(tiny_model), "-o", "m")
