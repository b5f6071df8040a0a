"""SIGKILL at random moments, again and again, each time gone on with by --resume.

The promise (docs/engines.md): with transformers the end is that of an undisturbed run, byte for
byte; no journal ever goes back; no process is left.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from faults.conftest import FULL, Tries
from forks import Forked, ForkServer

pytestmark = pytest.mark.slow

PATIENCE = 120.0
QUESTIONS = 48


class Stage:
    """A command whose output is `out`, run in a folder of its own."""

    def __init__(self, forks: ForkServer, folder: Path, *arguments: object) -> None:
        self.forks, self.folder = forks, folder
        self.arguments = [*arguments, "--quiet"]
        self.seconds = 0.0
        folder.mkdir()

    def start(self, *more: str, out: str = "out") -> Forked:
        arguments = [*self.arguments, "-o", out, *more]
        return self.forks.start(arguments, cwd=self.folder, stderr=self.folder / "stderr")

    def undisturbed(self) -> Path:
        """Run it to its end, twice: the second time is what it takes when all is warm."""
        for out in ("first", "whole"):
            begun = time.monotonic()
            command = self.start(out=out)
            assert command.wait(PATIENCE) == 0, (self.folder / "stderr").read_text()
            self.seconds = time.monotonic() - begun
        return self.folder / "whole"


def kill_often(
    stage: Stage,
    tries: Tries,
    moments: Random,
    kills: int,
    whole_lines: Callable[[Path], list[bytes]],
    finished: Callable[[Path], None],
) -> None:
    """Kill `stage` at random moments until `kills` have hit it, and go on each time.

    Args:
        whole_lines: of the unfinished output, what must be there for ever after.
        finished: checks the output when a chain of kills has come to its end.
    """
    out = stage.folder / "out"
    done: list[bytes] = []
    while True:
        command = stage.start("--resume")
        if tries.tries < kills and killed(command, moments.uniform(0, 1.1 * stage.seconds)):
            tries.tries += 1
            if not out.exists():  # else it was hit after its last rename
                now = whole_lines(stage.folder)
                tries.lost += sum(line not in now for line in done)
                done = now
            continue
        try:
            status = command.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            tries.hangs += 1
            raise
        assert status == 0, (stage.folder / "stderr").read_text()
        finished(out)
        if tries.tries == kills:
            return
        remove(out)
        done = []


def killed(command: Forked, after: float) -> bool:
    """Kill it after so many seconds; False if it has ended before. No process is left."""
    with suppress(subprocess.TimeoutExpired):
        command.wait(after)
        return False
    tree: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        tree |= set(psutil.Process(command.pid).children(recursive=True))
    command.send_signal(signal.SIGKILL)
    if command.wait(PATIENCE) == 0:
        return False
    deadline = time.monotonic() + 10
    while any(map(alive, tree)):
        assert time.monotonic() < deadline, "a process of a killed command is left"
        time.sleep(0.02)
    return True


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def remove(out: Path) -> None:
    for path in out.parent.glob(f"{out.name}*"):
        if path.is_dir():
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
        else:
            path.unlink()


def journal_lines(folder: Path) -> list[bytes]:
    part = folder / "out.part"
    return part.read_bytes().split(b"\n")[:-1] if part.exists() else []


def nothing_beside(out: Path) -> None:
    left = {path.name for path in out.parent.iterdir()} - {"stderr", "first", "whole", out.name}
    left -= {f"{name}.meta.json" for name in ("first", "whole", out.name)} | {"questions"}
    assert not left


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    words = ("reverse the digits of", "copy", "one more than each digit of")
    path = tmp_path / "questions"
    rows = [{"id": n, "question": f"{words[n % 3]} {100 + 7 * n}"} for n in range(QUESTIONS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FEW, MANY = ("--batch-size", "8", "--max-tokens", "12"), 25


@pytest.mark.parametrize("stage", ["sample", "label", "score"])
def test_a_killed_stage_ends_as_if_it_had_not_been(
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


def test_a_killed_evaluation_ends_as_if_it_had_not_been(
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


PLAN = (
    "--steps",
    6,
    "--prompts",
    4,
    "--batch",
    2,
    "--group",
    4,
    "--max-tokens",
    12,
    "--per-device",
    8,
)


@pytest.mark.parametrize("stage", ["challenge", "train-solver"])
def test_a_killed_training_goes_on_from_its_last_step(
    stage: str,
    forks: ForkServer,
    small_base: Path,
    questions: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    from safetensors.torch import load_file

    labels = tmp_path / "labels"
    rows = [json.loads(line) | {"answer": "1"} for line in questions.read_text().splitlines()]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    how: dict[str, list[Any]] = {
        "challenge": ["--challenger", small_base, "--solver", small_base, "--m", 2],
        "train-solver": [labels, "--solver", small_base],
    }
    tiny = ("--preset", "tiny", "--learning-rate", "1e-4", "--save-every", 2)
    command = Stage(forks, tmp_path / "run", stage, *how[stage], *PLAN, *tiny)
    whole = command.undisturbed()
    curves, weights = log(whole), load_file(whole / "model.safetensors")
    kind = tries(f"kill -9: {stage}")

    def saved_steps(folder: Path) -> list[bytes]:
        """Of the figures, those that the last saved state is behind."""
        states = (folder / "out.part" / "checkpoints").glob("checkpoint-*/trainer_state.json")
        last = max((int(state.parent.name.split("-")[1]) for state in states), default=0)
        return [b"%d" % line["update"] for line in log(folder / "out.part")[:last]]

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


def log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
