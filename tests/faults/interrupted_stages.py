"""Stages that tests of faults start, interrupt at random moments and resume."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil

from faults.conftest import Tries
from helpers.forkserver import Forked, ForkServer

PATIENCE = 120.0
FEW = ("--batch-size", "8", "--max-tokens", "12")
"""Small batches, so that there are many moments to interrupt."""
PLAN = ("--steps", 6, "--prompts", 4, "--batch", 2, "--group", 4, "--max-tokens", 12)
PLAN += ("--per-device", 8, "--preset", "tiny", "--learning-rate", "1e-4", "--save-every", 2)

End = Callable[[Forked, float], bool]
"""Ends a command after so many seconds; False if it was done before."""


class Stage:
    """A command whose output is `out`, run in a separate folder."""

    def __init__(self, forks: ForkServer, folder: Path, *arguments: object) -> None:
        self.forks, self.folder = forks, folder
        self.arguments = [*arguments, "--quiet"]
        self.seconds = 0.0
        folder.mkdir()

    def start(self, *more: str, out: str = "out") -> Forked:
        arguments = [*self.arguments, "-o", out, *more]
        return self.forks.start(arguments, cwd=self.folder, stderr=self.folder / "stderr")

    def undisturbed(self, *names: str) -> Path:
        """Run it to its end twice; the second run's time is without warm-up."""
        for out in names or ("first", "whole"):
            started = time.monotonic()
            command = self.start(out=out)
            assert command.wait(PATIENCE) == 0, (self.folder / "stderr").read_text()
            self.seconds = time.monotonic() - started
        return self.folder / "whole"


def kill_often(
    stage: Stage,
    tries: Tries,
    moments: Random,
    kills: int,
    whole_lines: Callable[[Path], list[bytes]],
    finished: Callable[[Path], None],
    end: End | None = None,
) -> None:
    """Kill and resume `stage` at random moments until `kills` have hit it.

    Args:
        whole_lines: returns the lines of the unfinished output that must never be lost.
        finished: checks the output when the stage is complete.
        end: ends the command; by default with SIGKILL.
    """
    out = stage.folder / "out"
    done: list[bytes] = []
    while True:
        command = stage.start("--resume")
        if tries.tries < kills and (end or killed)(
            command, moments.uniform(0, 1.1 * stage.seconds)
        ):
            tries.tries += 1
            if not out.exists():  # otherwise it was hit after its last rename
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
    """Kill it after `after` seconds; return False if it ended before. No process is left."""
    return ended_by(command, after, lambda: command.send_signal(signal.SIGKILL))


def ended_by(command: Forked, after: float, send: Callable[[], object]) -> bool:
    """Let `send` end it after `after` seconds; return False if it ended before.

    No process is left.
    """
    with suppress(subprocess.TimeoutExpired):
        command.wait(after)
        return False
    tree: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        tree |= set(psutil.Process(command.pid).children(recursive=True))
    with suppress(ProcessLookupError):  # it has just ended
        send()
    if command.wait(PATIENCE) == 0:
        return False
    deadline = time.monotonic() + 10
    while any(map(alive, tree)):
        assert time.monotonic() < deadline, "a process of a command that was ended is left"
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
            shutil.rmtree(path)
        else:
            path.unlink()


def journal_lines(folder: Path) -> list[bytes]:
    part = folder / "out.part"
    return part.read_bytes().split(b"\n")[:-1] if part.exists() else []


def nothing_beside(out: Path) -> None:
    left = {path.name for path in out.parent.iterdir()} - {"stderr", "first", "whole", out.name}
    left -= {f"{name}.meta.json" for name in ("first", "whole", out.name)} | {"questions"}
    assert not left


def log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
