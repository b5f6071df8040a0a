"""`--dry-run` of the trainings: plan and memory, without the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.empty_checkpoints import empty_checkpoint
from rzero_cli.training.memory import GIB


def dry_run(rzero: Rzero, *arguments: str) -> dict[str, Any]:
    ended = rzero(*arguments, "-o", "out", "--dry-run", "--json")
    assert ended.status == 0, ended.stderr
    record: dict[str, Any] = json.loads(ended.stdout)
    return record


@pytest.mark.slow
def test_dry_run_knows_the_papers_models_without_the_hub(rzero: Rzero, tmp_path: Path) -> None:
    plan = dry_run(rzero, "challenge", "--preset", "qwen3-4b", "--rollouts", "colocate")
    assert plan["parameters"] == 4_022_468_096
    assert plan["solver_answers"] == 10 * 10_240
    found = [(x["gpus"], x["lora_r"], x["sharded"], x["fits"]) for x in plan["layouts"]]
    assert found == [
        *((1, 0, False, False), (1, 16, False, True)),
        *((4, 0, False, False), (4, 0, True, True), (4, 16, False, True)),
        *((8, 0, False, False), (8, 0, True, True), (8, 16, False, True)),
    ]
    assert [x["per_device"] for x in plan["layouts"] if x["fits"]] == [8, 8, 8, 8, 8]
    assert [x["gradient_accumulation"] for x in plan["layouts"] if x["fits"]] == [8, 2, 2, 1, 1]
    first, adapter, *_, last, _ = plan["layouts"]
    assert adapter["lora_parameters"] == 16 * 2_064_384  # 36 x (2560 + 4096, ... of seven matrices)
    assert first["gib"]["weights"] == pytest.approx(4 * 4_022_468_096 / GIB)
    assert last["gib"]["weights"] == pytest.approx(first["gib"]["weights"] / 8)
    assert last["gib"]["rollout engine"] == pytest.approx(last["rollout_memory"] * plan["gpu_gib"])
    assert [line.split(", ")[0] for line in plan["chosen"]] == [
        *("1 GPU of 79 GiB: LoRA r = 16", "4 GPUs of 79 GiB: all weights"),
        "8 GPUs of 79 GiB: all weights",
    ]
    assert list(tmp_path.iterdir()) == []
    lora = dry_run(
        *(rzero, "train-solver", "--preset", "octothinker-8b", "--lora-r", "8"),
        *("--optim", "adamw_8bit", "--rollouts", "transformers"),
    )
    assert lora["solver"] is None
    assert {x["lora_r"] for x in lora["layouts"]} == {8}
    adapter = lora["layouts"][0]
    assert adapter["lora_parameters"] == 8 * 2_621_440  # 32 x (4096 + 4096, ... of seven matrices)
    assert adapter["gib"]["optimizer"] == pytest.approx(2 * adapter["gib"]["gradients"] / 4)
    assert adapter["gib"]["rollout engine"] == 0 < adapter["gib"]["rollouts"]


@pytest.mark.slow
def test_dry_run_table_reports_layouts_that_do_not_divide(rzero: Rzero) -> None:
    options = ("--preset", "qwen3-4b", "--per-device", "32", "-o", "out", "--dry-run")
    ended = rzero("challenge", *options)
    assert ended.status == 0, ended.stderr
    first, second, third, *_ = ended.lines
    assert first == "challenge Qwen/Qwen3-4B-Base: 4,022.5 million parameters"
    assert second.startswith("5 steps x 32 updates = 160 updates; 10,240 rollouts")
    assert third.endswith("102,400 answers (10 per rollout), at most 419,430,400 tokens")
    assert "4 GPUs: --per-device 32 does not divide the 16 rollouts" in ended.stdout
    rows = [line.split() for line in ended.lines if line.startswith("weights  ")]
    assert rows == [["weights", "15.0"], ["weights", "15.1"]]  # all weights; with an adapter
    assert max(map(len, ended.lines)) <= 105


@pytest.mark.slow
def test_size_of_a_pass_from_a_preset_is_fitted_to_the_plan(rzero: Rzero, refused: Refused) -> None:
    command = ["challenge", "--preset", "tiny,qwen3-4b", "--batch", "3"]
    plan = dry_run(rzero, *command)["plan"]
    assert plan["per_device"] == 96  # 192 in the preset, whose update has twice the rollouts
    command += ["--per-device", "192", "-o", "out", "--dry-run"]
    assert "--per-device 192 does not divide" in refused(*command)


def test_dry_run_of_another_hub_name_needs_the_hub(
    rzero: Rzero, refused: Refused, tmp_path: Path
) -> None:
    ended = rzero("challenge", "--challenger", "org/other", "--solver", "org/other", "-o", "out")
    assert ended.status == 1
    assert "the hub is unreachable" in ended.stderr
    said = refused(
        *("train-solver", "--preset", "qwen3-4b", "-o", "out", "--dry-run", "--rollouts", "x")
    )
    assert said.startswith("--rollouts x: unknown")
    empty_checkpoint(tmp_path / "model")
    said = refused("train-solver", "--solver", "model", "-o", "out", "--json")
    assert said.startswith("--json requires --dry-run")
