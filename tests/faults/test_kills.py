"""Repeated SIGKILL at random moments, each time continued with --resume.

The promise (docs/engines.md): with transformers the output is that of an undisturbed run, byte for
byte; no journal ever loses a record; no process is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from faults.conftest import FULL, Tries
from faults.interrupted_stages import (
    FEW,
    PLAN,
    Stage,
    journal_lines,
    kill_often,
    log,
    nothing_beside,
)
from helpers.forkserver import ForkServer

pytestmark = pytest.mark.slow

MANY = 25


@pytest.mark.parametrize("stage", ["sample", "label", "score"])
def test_killed_stage_resumes_to_the_undisturbed_output(
    stage: str,
    forks: ForkServer,
    small_base: Path,
    questions: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    how: dict[str, list[Any]] = {
        "sample": ["--challenger", small_base, "-n", 150],
        "label": [questions, "--solver", small_base, "--m", 4, "--keep-completions"],
        "score": [questions, "--solver", small_base, "--m", 4, "--batch", 20],
    }
    command = Stage(forks, tmp_path / "run", stage, *how[stage], *FEW)
    whole = command.undisturbed().read_bytes()
    kind = tries(f"kill -9: {stage}")

    def finished(out: Path) -> None:
        ended, wanted = out.read_bytes().splitlines(), whole.splitlines()
        kind.lost += len(set(wanted) - set(ended))
        kind.twice += len(ended) - len(wanted)
        assert ended == wanted
        record = json.loads(out.with_name("out.meta.json").read_text())
        assert (
            record["metrics"] == json.loads(out.with_name("whole.meta.json").read_text())["metrics"]
        )
        nothing_beside(out)

    kill_often(command, kind, moments, MANY if FULL else 5, journal_lines, finished)


def test_killed_evaluation_resumes_to_the_undisturbed_results(
    forks: ForkServer,
    small_base: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    data = ("--data", small_base / "heldout.jsonl", "--limit", 40, "--k", 2)
    command = Stage(forks, tmp_path / "run", "eval", "--model", small_base, *data, *FEW)
    kind = tries("kill -9: eval")

    def results(path: Path) -> Any:
        tasks = json.loads(path.read_text())["tasks"]
        for task in tasks.values():
            del task["seconds"]
        return tasks

    whole = results(command.undisturbed())

    def finished(out: Path) -> None:
        kind.lost += results(out) != whole
        nothing_beside(out)

    kill_often(command, kind, moments, MANY if FULL else 4, journal_lines, finished)


@pytest.mark.parametrize("stage", ["challenge", "train-solver"])
def test_killed_training_resumes_from_its_last_step(
    stage: str,
    forks: ForkServer,
    small_base: Path,
    labels: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    from safetensors.torch import load_file

    how: dict[str, list[Any]] = {
        "challenge": ["--challenger", small_base, "--solver", small_base, "--m", 2],
        "train-solver": [labels, "--solver", small_base],
    }
    command = Stage(forks, tmp_path / "run", stage, *how[stage], *PLAN)
    whole = command.undisturbed()
    curves, weights = log(whole), load_file(whole / "model.safetensors")
    kind = tries(f"kill -9: {stage}")

    def saved_steps(folder: Path) -> list[bytes]:
        """Return the lines of metrics up to the last saved state or the finished model."""
        part = folder / "out.part"
        states = (part / "checkpoints").glob("checkpoint-*/trainer_state.json")
        last = max((int(state.parent.name.split("-")[1]) for state in states), default=0)
        if (part / "rzero.json").exists():  # written last; the states go before the new name comes
            last = len(log(part))
        return [b"%d" % line["update"] for line in log(part)[:last]]

    def finished(out: Path) -> None:
        continued = log(out)
        assert [line["update"] for line in continued] == [line["update"] for line in curves]
        for one, other in zip(continued, curves, strict=True):
            for name in {"loss", "reward", "kl", "grad_norm"} & other.keys():
                assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-6), name
        for name, tensor in load_file(out / "model.safetensors").items():
            assert tensor.allclose(weights[name], atol=1e-6), name
        assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
        nothing_beside(out)

    kill_often(command, kind, moments, 10 if FULL else 2, saved_steps, finished)
