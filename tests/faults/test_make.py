"""The loop's Makefile, killed or interrupted: the same command continues and ends the same."""

from __future__ import annotations

import json
import os
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

RZERO = f"{sys.executable} -m rzero_cli"

# A stub of a stage at its very end: the output is in place, and the process still runs.
ENDING = """#!/bin/sh
for out; do :; done
mkdir -p "$out" && echo '{}' > "$out/rzero.json" && touch made && exec sleep 20
"""


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["make", "-C", str(folder), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run([*RZERO.split(), "init", str(tmp_path / "mine")], check=True)
    return tmp_path / "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_make_keeps_finished_targets(
    number: signal.Signals, folder: Path, tries: Callable[[str], Tries]
) -> None:
    stage = folder / "ending"
    stage.write_text(ENDING)
    stage.chmod(0o755)
    for target in ("runs/r-zero/iter-1/challenger/rzero.json", "runs/tiny-base-small-0/rzero.json"):
        running = started(folder, "RZERO=./ending", "MODEL=x", "SIZE=small", target)
        deadline = time.monotonic() + 30
        while not (folder / "made").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(running.pid, number)
        assert running.wait(30) != 0
        kind = tries(f"{signal.Signals(number).name} to make: {target.split('/')[-2]}")
        kind.tries += 1
        kind.lost += not (folder / target).exists()
        (folder / "made").unlink()


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="two whole loops: only with RZERO_FAULTS=full")
def test_killed_loop_resumes_to_the_same_records(
    folder: Path, tries: Callable[[str], Tries], moments: Random, small_base: Path
) -> None:
    pytest.importorskip("torch")
    how = [f"RZERO={RZERO}", "PRESET=tiny", "TRUTH=1", "ITERATIONS=1", f"MODEL={small_base}"]
    how += [
        f"HELDOUT={small_base}/heldout.jsonl",
        "CHALLENGE_FLAGS=--steps 4",
        "loop",
        "base-challenger",
    ]
    how += ["EVAL_FLAGS=--limit 60"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.monotonic()
    assert started(folder, *how, "RUN=whole").wait(900) == 0
    seconds = time.monotonic() - start
    kind = tries("kill -9 of make and all its stages")
    while kind.tries < 5:
        running = started(folder, *how, "RUN=killed")
        with suppress(subprocess.TimeoutExpired):
            running.wait(moments.uniform(0.05, 0.2) * seconds)
            break
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        kind.tries += 1
    assert started(folder, *how, "RUN=killed").wait(900) == 0
    whole, killed = folder / "runs" / "whole", folder / "runs" / "killed"
    assert names(whole) == names(killed)
    for path in sorted(whole.rglob("*.jsonl")):
        if path.name != "log.jsonl":
            kind.lost += path.read_bytes() != (killed / path.relative_to(whole)).read_bytes()
    for path in whole.rglob("eval.json"):
        kind.lost += verdicts(path) != verdicts(killed / path.relative_to(whole))


def names(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def verdicts(path: Path) -> Any:
    return [task["samples"] for task in json.loads(path.read_text())["tasks"].values()]
