"""Trainings sharded by FSDP2: real accelerate and TRL, two processes on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rzero_cli import recipes

HELPERS = Path(__file__).parents[1] / "helpers"
FSDP2 = Path(recipes.__file__).parent / "accelerate" / "fsdp2.yaml"


def run(folder: Path, *command: object, environment: dict[str, str] | None = None) -> str:
    """Run a script of `helpers/`, and return its standard error."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def sharded(folder: Path, *command: object) -> str:
    """Run a script of `helpers/` as accelerate starts it with the shipped configuration."""
    launcher = ("-m", "accelerate.commands.launch", f"--config_file={FSDP2}", "--num_processes=2")
    return run(folder, *launcher, "--main_process_port=0", *command)


@pytest.mark.slow
def test_gradients_and_log_probabilities_are_float32(tiny_model: Path, tmp_path: Path) -> None:
    """One process with parameters in bfloat16 and sums in float32 gives the same gradients."""
    import torch

    script = [HELPERS / "sum_gradients.py", tiny_model, tmp_path]
    run(tmp_path, *script, environment={"ACCELERATE_MIXED_PRECISION": "bf16"})
    sharded(tmp_path, *script)
    one = torch.load(tmp_path / "0-of-1.pt")["reference"]
    ranks = [torch.load(tmp_path / f"{rank}-of-2.pt") for rank in (0, 1)]
    expected = one["gradients"]
    size = sum(float(gradient.norm()) ** 2 for gradient in expected.values()) ** 0.5

    def by_row(logps: Any) -> Any:
        return logps.float()[logps.float().sum(1).argsort()]

    def errors(policy: str) -> tuple[float, float]:
        """Return the gradients' relative error, and the largest one of a log-probability."""
        found = ranks[0][policy]["gradients"]
        assert found.keys() == expected.keys()
        off = sum(float((found[name] - expected[name]).norm()) ** 2 for name in expected) ** 0.5
        # The processes share the rollouts of an update in another order than one process.
        logps = by_row(torch.cat([torch.cat(rank[policy]["logps"]) for rank in ranks]))
        return off / size, float((logps - by_row(torch.cat(one["logps"]))).abs().max())

    theirs, ours = errors("accelerate"), errors("rzero")
    print(f"relative error of the gradients, largest error of a log-probability: {theirs}, {ours}")
    assert theirs[0] > 1e-3 > 1e-6 > ours[0]
    assert theirs[1] > 1e-2 > 1e-6 > ours[1]
    for policy in ("rzero", "adapter"):
        for found in (rank[policy] for rank in ranks):
            assert found["weights"] == {"torch.float32"}
            assert {logps.dtype for logps in found["logps"]} == {torch.float32}
            assert {g.dtype for g in found["gradients"].values()} == {torch.float32}
            assert all(found["sharded"])  # after each pass, on each rank
    # The mismatch of both ranks with a sampler that gave each token -3.
    off = torch.cat([torch.cat(rank["rzero"]["logps"]) + 3 for rank in ranks])
    expected = {
        "sampling/sampling_logp_difference/mean": off.abs().mean(),
        "sampling/sampling_logp_difference/max": off.abs().max(),
        "sampling/kl": (off.expm1() - off).mean(),
    }
    logged = ranks[0]["rzero"]["metrics"]
    for name, value in expected.items():
        assert logged[name] == pytest.approx(float(value), rel=1e-4), name
    assert {logps.dtype for logps in ranks[0]["accelerate"]["logps"]} == {torch.bfloat16}
    assert not all(ranks[0]["accelerate"]["sharded"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weights", "adapter"])
def test_sharded_training_is_saved_in_float32_and_resumes(
    small_base: Path, tmp_path: Path, kind: str
) -> None:
    """Continued from the state after its second update, it ends with the same weights."""
    import torch
    from safetensors.torch import load_file

    rows = [
        {"question": f"reverse the digits of {n}", "answer": str(n)[::-1]} for n in range(400, 420)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = HELPERS / "sharded_on_cpu.py"
    command = ["train-solver", "train.jsonl", "--solver", small_base, "--steps", "4"]
    command += ["--prompts", "4", "--batch", "4", "--group", "4", "--per-device", "2"]
    command += ["--learning-rate", "1e-3", "--beta", "0.001", "--top-p", "1", "--max-tokens", "24"]
    command += ["--lora-r", "4"] if kind == "adapter" else []
    sharded(tmp_path, script, "--keep", 2, "part.part", *command, "-o", "whole")
    state = tmp_path / "part.part" / "checkpoints" / "checkpoint-2"
    assert {w.dtype for w in torch.load(state / "pytorch_model_fsdp.bin").values()} == {
        torch.float32
    }
    told = sharded(tmp_path, script, *command, "-o", "part", "--resume")
    assert "step 3/4" in told and "step 2/4" not in told
    whole_log, log = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "part")
    )
    assert [update["loss"] for update in log] == [update["loss"] for update in whole_log]
    assert abs(log[0]["kl"]) < 1e-6 < log[-1]["kl"]  # no rank has an empty reference
    file = "model.safetensors" if kind == "weights" else "adapter_model.safetensors"
    whole, part = (load_file(tmp_path / name / file) for name in ("whole", "part"))
    assert {weight.dtype for weight in whole.values()} == {torch.float32}
    assert whole.keys() == part.keys()
    assert all(whole[name].equal(part[name]) for name in whole)


@pytest.mark.parametrize(
    "setting, reason",
    [
        ({}, "set fsdp_state_dict_type to FULL_STATE_DICT"),
        ({"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, "the checkpoint has no weights"),
        ({"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, "an empty KL reference"),
    ],
)
def test_own_configuration_that_spoils_the_result_is_refused(
    refused: Callable[..., str], tiny_model: Path, setting: dict[str, str], reason: str
) -> None:
    command = ["challenge", "--challenger", str(tiny_model), "--solver", str(tiny_model)]
    environment = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"} | setting
    message = refused(*command, "-o", "c", "--preset", "tiny", environment=environment)
    assert message.startswith("accelerate's configuration: set fsdp_")
    assert reason in message


@pytest.mark.parametrize(
    "launcher, gpu, precision",
    [
        (None, "none", "no"), (None, "ampere", "bf16"), (None, "volta", "no"),
        ("bf16", "none", "bf16"), ("bf16", "ampere", "bf16"), ("bf16", "volta", "no"),
        ("no", "ampere", "no"), ("fp16", "volta", "fp16"),
    ],
)  # fmt: skip
def test_launcher_decides_the_precision_if_the_gpu_has_it(
    monkeypatch: pytest.MonkeyPatch, launcher: str | None, gpu: str, precision: str
) -> None:
    from rzero_cli.training.config import mixed_precision

    def emulates(including_emulation: bool = True) -> bool:
        return including_emulation or gpu == "ampere"

    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu != "none")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", emulates)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if launcher:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    assert mixed_precision() == precision


def test_float32_and_other_layouts_keep_their_precision() -> None:
    from rzero_cli.training.sharding import sum_in_float32

    sum_in_float32(SimpleNamespace(is_fsdp2=False))  # and it has nothing else to be changed
    plugin = SimpleNamespace(mixed_precision_policy=None)
    gradients: Any = SimpleNamespace(plugin_kwargs={})
    sum_in_float32(
        SimpleNamespace(
            is_fsdp2=True, state=SimpleNamespace(fsdp_plugin=plugin), gradient_state=gradients
        )
    )
    assert plugin.mixed_precision_policy is None
    assert gradients.plugin_kwargs == {"sync_each_batch": True}
