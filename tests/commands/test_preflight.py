"""`rzero preflight`: its report, its failures, and its projection next to real runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused
from helpers.empty_checkpoints import empty_checkpoint
from rzero_cli.analysis.projection import Generation, Step, Training, training
from rzero_cli.cli import run
from rzero_cli.commands import _preflight_plan, _training, preflight
from rzero_cli.commands._preflight import Loop, sizes
from rzero_cli.commands._preflight_plan import Planned
from rzero_cli.engines.shapes import published
from rzero_cli.method.plan import make_plan
from rzero_cli.training.layout import Devices

STAGES = ["sample", "label", "filter", "challenge", "train-solver", "eval"]
RZERO = [sys.executable, "-m", "rzero_cli"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solver", "model"], "--challenger is missing: give a checkpoint directory"),
        (["--challenger", "model", "--solver", "nowhere"], "--solver nowhere: no such directory"),
        (["--challenger", "model", "--solver", "model", "--data", "x"], "x: no such file"),
        (["--challenger", "model", "--solver", "model", "--data", "bad"], 'bad:1: key "reference"'),
        (["--challenger", "model", "--solver", "model", "--data", "none"], "--data none: no quest"),
        (["--challenger", "model", "--solver", "model", "--engine", "x"], "--engine x: unknown"),
        (["--challenger", "model", "--solver", "model", "--iterations", "0"], "--iterations"),
        (["--challenger", "model", "--solver", "model", "--price", "-1"], "--price"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    refused: Refused, tmp_path: Path, arguments: list[str], message: str
) -> None:
    empty_checkpoint(tmp_path / "model")
    (tmp_path / "bad").write_text('{"question": "1 + 1"}\n')
    (tmp_path / "none").write_text("")
    assert message in refused("preflight", *arguments)


# ---------------------------------------------------------------- the projection of the loop


def a_loop(folder: Path, plan: dict[str, int], **others: Any) -> Loop:
    planned = {
        stage: Planned(make_plan(**plan, max_tokens=400), save_every=1, engines=0)
        for stage in ("challenge", "train-solver")
    }
    given: dict[str, Any] = {
        "say": lambda message: None,
        "folder": folder,
        "challenger": "nowhere",
        "solver": "nowhere",
        "options": {stage: [] for stage in STAGES},
        "at_once": 64,
        "n": 8000,
        "m": 10,
        "k": 8,
        "heldout": 900,
        "limits": dict.fromkeys(STAGES, 400),
        "planned": planned,
        "copies": 1,
        "served": False,
    }
    return Loop(**given | others)


PAPER = {"steps": 5, "prompts": 512, "batch": 16, "group": 4}
STEP = Step(rollouts=45.0, answers=80.0, rewards=0.1, update=3.0, saving=6.0)


def found(seconds_each: float) -> dict[str, Any]:
    texts = Generation(fixed=60.0, each=seconds_each, length=100.0, limit=400)
    trained = training(1000.0, STEP, 2, size=64, length=100.0, limit=400)
    of_texts = dict.fromkeys(("sample", "label", "eval"), texts)
    return of_texts | {"filter": 0.3, "challenge": trained, "train-solver": trained}


def test_projection_of_the_loop_counts_every_stage(tmp_path: Path) -> None:
    loop = a_loop(tmp_path, PAPER, found=found(0.02), valid={"sample": 0.5, "challenge": 0.25})
    rows = {one.stage: one for one in loop.project(3)}
    assert list(rows) == ["challenge", "sample", "label", "filter", "train-solver", "eval"]
    assert [one.times for one in rows.values()] == [3, 3, 3, 3, 3, 4]
    assert rows["sample"].seconds == pytest.approx(60 + 8000 * 0.02)
    assert rows["label"].seconds == pytest.approx(60 + 0.5 * 80_000 * 0.02)
    assert rows["label"].at_most == pytest.approx(60 + 80_000 * 0.02 * 4)
    assert rows["eval"].seconds == pytest.approx(60 + 900 * 0.02)
    # With transformers 32 times the rollouts take 32 times as long; a quarter has a question.
    fixed, more = 1000 - 2 * STEP.total(1), 2048 - 64
    step = 45 * 32 + 80 + more * 0.02 * 10 / 4 + 0.1 * 32 + 32 * 3 + 6
    assert rows["challenge"].seconds == pytest.approx(fixed + 5 * step)
    step = 45 * 32 + 80 + 0.1 * 32 + 32 * 3 + 6
    assert rows["train-solver"].seconds == pytest.approx(fixed + 5 * step)
    step = 4 * 45 * 32 + 16 * (80 + more * 0.02 * 10 / 4) + 0.1 * 32 + 4 * 32 * 3 + 6
    assert rows["challenge"].at_most == pytest.approx(fixed + 5 * step)


def test_more_rollouts_fill_vllm_better(tmp_path: Path) -> None:
    plan = make_plan(**PAPER, max_tokens=400, processes=8)
    planned = dict.fromkeys(("challenge", "train-solver"), Planned(plan, 1, engines=4))
    cost: Training = found(0.02)["challenge"]
    loop = a_loop(tmp_path, PAPER, found=found(0.02), planned=planned, copies=2)
    further = loop._further("challenge", cost)
    # `sample` shared its texts between two engines, the training has four.
    assert further.rollout == pytest.approx(0.02 * 2 / 4)
    assert further.answers == pytest.approx(0.02 * 10 * 2 / 8)
    loop.served = True
    assert loop._further("challenge", cost).answers == pytest.approx(0.02 * 10)
    assert loop._further("train-solver", cost).answers == 0


def test_sizes_are_those_of_the_run_if_that_is_smaller() -> None:
    assert sizes(64, 8000) == (128, 64)
    assert sizes(512, 600) == (600, 300)
    assert sizes(25, 1) == (2, 1)


def test_failing_stages_do_not_stop_the_others(tmp_path: Path) -> None:
    """Each real command refuses its own wrong option."""
    options = {stage: [f"--no-such-{stage}"] for stage in STAGES}
    said: list[str] = []
    loop = a_loop(tmp_path, PAPER, options=options, say=said.append)
    loop.measure()
    assert list(loop.errors) == STAGES
    for stage, error in loop.errors.items():
        expected = "no labelled questions" if stage == "filter" else f"--no-such-{stage}"
        assert expected in error and "\n" not in error
    assert len(said) == 2 * len(STAGES)
    assert loop.project(3) == []
    loop.found = found(0.02)
    del loop.found["challenge"], loop.found["label"]
    assert [one.stage for one in loop.project(3)] == ["sample"]


@pytest.fixture
def in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Plan in this process, which has imported torch and so must not be forked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "in_child", lambda work: work())
    return monkeypatch


@pytest.mark.slow
def test_plan_that_does_not_fit_the_cpu_ends_after_the_report(
    in_this_process: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path, capfd: Any
) -> None:
    small = {"name": "x", "cores": 2, "memory_gib": 0.25, "gpus": []}
    in_this_process.setattr(_preflight_plan, "host", lambda: small)
    models = ["--challenger", str(tiny_model), "--solver", str(tiny_model), "--preset", "tiny"]
    assert run(["preflight", *models, "-q"]) == 1
    stdout, stderr = capfd.readouterr()
    assert "does not fit in 0.2 GiB" in stdout and "activations" in stdout
    assert "measured" not in stdout
    assert stderr.startswith("rzero: challenge: this training takes") and stderr.count("\n") == 1
    assert "--lora-r 16" in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_plan_that_does_not_fit_the_gpu_ends_with_the_line_to_type(
    in_this_process: pytest.MonkeyPatch, tmp_path: Path, capfd: Any
) -> None:
    empty_checkpoint(tmp_path / "model", **published()["Qwen/Qwen3-4B-Base"])
    for module in (_preflight_plan, _training):
        in_this_process.setattr(module, "devices_here", lambda: Devices(1, 79.1))
    models = ["--challenger", "model", "--solver", "model", "--lora-r", "0"]
    assert run(["preflight", *models, "--json", "-q"]) == 1
    stdout, stderr = capfd.readouterr()
    report = json.loads(stdout)
    assert report["machine"]["gpu_gib"] == 79.1
    for memory in report["memory"].values():
        assert memory["gib"]["peak"] > memory["usable"] == pytest.approx(0.9 * 79.1)
        assert "--lora-r 16 --per-device 8" in memory["advice"]
    assert "stages" not in report
    assert stderr.count("\n") == 1 and stderr.count("--lora-r 16") == 2


# ---------------------------------------------------------------- next to real runs
