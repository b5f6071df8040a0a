"""SIGTERM and Ctrl-C at random moments keep finished records and leave nothing else.

Ctrl-C is SIGINT, sent to the process alone or, as a terminal does, to its whole group.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from faults.conftest import FULL, Tries
from faults.interrupted_stages import (
    FEW,
    PATIENCE,
    PLAN,
    Stage,
    ended_by,
    journal_lines,
    log,
    remove,
)
from helpers.forkserver import Forked, ForkServer

pytest.importorskip("torch")

SENT: list[tuple[str, signal.Signals, Callable[[int, int], None]]] = [
    ("SIGTERM", signal.SIGTERM, os.kill),
    ("Ctrl-C", signal.SIGINT, os.kill),
    ("Ctrl-C", signal.SIGINT, os.killpg),
]
# Before its first line and after its last, the signal itself ends a process; to a shell both
# statuses are the same.
STATUS = {signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}


def sent(stage: Stage, command: Forked, after: float, number: signal.Signals, send: Any) -> bool:
    """Send a signal after `after` seconds and check how it ended the command."""
    if not ended_by(command, after, lambda: send(command.pid, number)):
        assert command.returncode == 0, (stage.folder / "stderr").read_text()
        return False
    errors = (stage.folder / "stderr").read_text()
    assert command.returncode in STATUS[number], errors
    assert errors == "", after  # no traceback, no message of a library
    return True


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"stderr", "whole", "whole.meta.json"}


def send_often(
    stage: Stage,
    tries: Callable[[str], Tries],
    moments: Random,
    times: int,
    *,
    resumes: bool,
    may_leave: set[str],
    check: Callable[[Path], None],
) -> None:
    """Send each signal `times` times, resume after each, and `check` the outputs."""
    out, name = stage.folder / "out", str(stage.arguments[0])
    kinds: dict[str, Tries] = {}
    again = ["--resume"] if resumes else []
    stage.undisturbed("whole")
    for what, number, send in SENT * times if FULL else moments.sample(SENT, 1):
        done = journal_lines(stage.folder)
        latest = stage.seconds
        while True:  # until it has hit the command
            command = stage.start(*again)
            # Earlier, it is the server's fork and not yet the command.
            after = moments.uniform(min(0.1, latest / 2), latest)
            if sent(stage, command, after, number, send):
                break
            latest = after  # it was already done: `seconds` is from a slower first run
            check(out)
            remove(out)
            done = []
        kinds[what] = kinds.get(what) or tries(f"{what}: {name}")
        kinds[what].tries += 1
        if not out.exists():
            now = journal_lines(stage.folder)
            kinds[what].lost += sum(line not in now for line in done)
            assert left(stage.folder) <= may_leave, (what, left(stage.folder))
        if resumes and not out.exists() and moments.random() < 0.5:
            continue  # another one before the end
        if not out.exists():
            command = stage.start(*again)
            assert command.wait(PATIENCE) == 0, (stage.folder / "stderr").read_text()
        check(out)
        remove(out)


JOURNAL = {"out.part", "out.part.json"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sample", "label", "score", "vote", "grade", "eval"])
def test_signal_keeps_finished_records(
    stage: str,
    forks: ForkServer,
    tiny_model: Path,
    questions: Path,
    labels: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    many = tmp_path / "many"
    many.write_text(labels.read_text() * 40)
    how: dict[str, list[Any]] = {
        "sample": ["--challenger", tiny_model, "-n", 64, *FEW],
        "label": [questions, "--solver", tiny_model, "--m", 2, "--keep-completions", *FEW],
        "score": [questions, "--solver", tiny_model, "--m", 2, "--batch", 12, *FEW],
        "vote": [many, "--workers", 2],
        "grade": [many, "--workers", 2],
        "eval": ["--model", tiny_model, "--data", labels, "--limit", 24, "--k", 1, *FEW],
    }
    command = Stage(forks, tmp_path / "run", stage, *how[stage])

    def check(out: Path) -> None:
        if stage != "eval":
            assert out.read_bytes() == out.with_name("whole").read_bytes()
        assert left(out.parent) <= {"out", "out.meta.json"}

    send_often(
        command, tries, moments, 5 if FULL else 1, resumes=True, may_leave=JOURNAL, check=check
    )


@pytest.mark.slow
def test_signal_leaves_no_part_of_a_merge(
    forks: ForkServer,
    adapter: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    command = Stage(forks, tmp_path / "run", "merge", adapter)

    def check(out: Path) -> None:
        assert {path.name for path in out.iterdir()} == {
            path.name for path in out.with_name("whole").iterdir()
        }
        assert left(out.parent) == {"out"}

    send_often(
        command, tries, moments, 4 if FULL else 1, resumes=False, may_leave=set(), check=check
    )


@pytest.mark.slow
def test_signal_leaves_no_part_of_a_tiny_base(
    forks: ForkServer, tmp_path: Path, tries: Callable[[str], Tries], moments: Random
) -> None:
    """Only in its first seconds, since completing it after each signal would take too long."""
    command = Stage(forks, tmp_path / "run", "tiny-base", "--size", "small", "--no-cache")
    for what, number, send in SENT * 4 if FULL else moments.sample(SENT, 2):
        assert sent(command, command.start(), moments.uniform(0.1, 4), number, send)
        tries(f"{what}: tiny-base").tries += 1
        assert left(command.folder) == set()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["challenge", "train-solver"])
def test_signal_keeps_the_last_state_of_a_training(
    stage: str,
    forks: ForkServer,
    tiny_model: Path,
    labels: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    """Also while it saves a state; a second signal while it ends changes nothing."""
    from safetensors.torch import load_file

    from rzero_cli.training.saving import _is_whole

    def _step(name: str) -> int:
        return int(name.split("-")[1])

    how: dict[str, list[Any]] = {
        "challenge": ["--challenger", tiny_model, "--solver", tiny_model, "--m", 2],
        "train-solver": [labels, "--solver", tiny_model],
    }
    command = Stage(forks, tmp_path / "run", stage, *how[stage], *PLAN, "--save-every", 1)
    weights = load_file(command.undisturbed("whole") / "model.safetensors")
    part = command.folder / "out.part"

    def check(out: Path) -> None:
        assert [line["update"] for line in log(out)] == list(range(1, 13))
        for name, tensor in load_file(out / "model.safetensors").items():
            assert tensor.allclose(weights[name], atol=1e-6), name
        assert {p.name for p in out.iterdir()} == {p.name for p in out.with_name("whole").iterdir()}
        assert left(out.parent) == {"out"}

    def states() -> set[str]:
        """Return the complete ones."""
        return {path.name for path in part.glob("checkpoints/checkpoint-*") if _is_whole(path)}

    def wait_for_state(running: Forked, saving: bool) -> None:
        """Wait until it has saved a state or has started to save another."""
        deadline = time.monotonic() + PATIENCE
        while not states() or (saving and len(list(part.glob("checkpoints/checkpoint-*"))) < 2):
            assert running.poll() is None
            assert time.monotonic() < deadline

    kind = tries(f"SIGTERM and Ctrl-C: {stage}")
    first, second = moments.sample([signal.SIGTERM, signal.SIGINT], 2)
    for n in range(8 if FULL else 1):
        number = (first, second)[n % 2]
        running = command.start("--resume")
        wait_for_state(running, saving=n % 4 < 2)
        if n % 4 > 1:
            time.sleep(moments.uniform(0, 0.5))
        before = states()

        def twice(running: Forked = running, number: signal.Signals = number) -> None:
            running.send_signal(number)
            if number == signal.SIGTERM:
                time.sleep(moments.uniform(0, 0.1))
                running.send_signal(number)

        if ended_by(running, 0, twice):
            kind.tries += 1
            assert running.returncode in STATUS[number]
            assert (command.folder / "stderr").read_text() == ""
            assert left(command.folder) == {"out.part"}
            kind.lost += not states() or max(map(_step, states())) < max(map(_step, before))
        running = command.start("--resume")
        assert running.wait(PATIENCE) == 0, (command.folder / "stderr").read_text()
        check(command.folder / "out")
        shutil.rmtree(command.folder / "out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_start_and_exit_prints_nothing(
    number: signal.Signals,
    labels: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    """During imports, during work on a slow pipe, and at the end."""
    kind = tries(f"{signal.Signals(number).name}: a fresh `filter` on a slow pipe")
    for _ in range(20 if FULL else 2):
        running = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", "filter", "-o", "out"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdin is not None
        assert running.stderr is not None
        _wait_for_main(running.pid)
        after = time.monotonic() + moments.uniform(0, 0.6)
        with suppress(BrokenPipeError):
            while time.monotonic() < after:
                running.stdin.write(labels.read_bytes().splitlines(keepends=True)[0])
                running.stdin.flush()
                time.sleep(0.01)
        running.send_signal(number)
        # Its input stays open, so it cannot have ended for that reason.
        assert running.wait(PATIENCE) in STATUS[number], running.stderr.read()
        assert running.stderr.read() == b""
        assert {path.name for path in tmp_path.iterdir()} == {"labels", "questions"}
        kind.tries += 1
        with suppress(BrokenPipeError):
            running.stdin.close()
        running.stderr.close()


def _wait_for_main(pid: int) -> None:
    """Wait until an interpreter runs our code; before, Python prints what ended it."""
    caught = 0
    while not caught & 1 << signal.SIGINT - 1 and Path(f"/proc/{pid}").exists():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    while caught & 1 << signal.SIGINT - 1 and not caught & 1 << signal.SIGTERM - 1:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))


@pytest.mark.slow
def test_second_ctrl_c_ends_at_once(
    forks: ForkServer,
    tiny_model: Path,
    questions: Path,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    command = Stage(
        forks, tmp_path / "run", "label", questions, "--solver", tiny_model, "--m", 2, *FEW
    )
    whole = command.undisturbed("whole").read_bytes()
    kind = tries("Ctrl-C twice: label")
    latest = 0.2
    while kind.tries < (10 if FULL else 1):
        running = command.start("--resume")
        journal = command.folder / "out.part"
        while not (journal.exists() and journal.stat().st_size) and running.poll() is None:
            time.sleep(0.01)

        def twice(running: Forked = running) -> None:
            os.killpg(running.pid, signal.SIGINT)
            time.sleep(moments.uniform(0, 0.05))
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGINT)

        after = moments.uniform(0, latest)
        if ended_by(running, after, twice):
            kind.tries += 1
            assert running.returncode in STATUS[signal.SIGINT]
            assert (command.folder / "stderr").read_text() == ""
        else:
            latest = after  # a fast machine is done by then
        running = command.start("--resume")
        assert running.wait(PATIENCE) == 0, (command.folder / "stderr").read_text()
        assert (command.folder / "out").read_bytes() == whole
        assert left(command.folder) == {"out", "out.meta.json"}
        remove(command.folder / "out")
