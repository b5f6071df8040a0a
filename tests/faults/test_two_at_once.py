"""Of two processes on one output the second is refused, and the lock ends with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import FULL, Tries
from faults.interrupted_stages import PATIENCE
from helpers.empty_checkpoints import empty_checkpoint
from helpers.scripted_server import ScriptedServer, completion

RZERO = [sys.executable, "-m", "rzero_cli"]


def started(folder: Path, command: list[str], name: str) -> subprocess.Popen[bytes]:
    """Start a command that waits for its input; return when it holds its lock."""
    running = subprocess.Popen(
        [*RZERO, *command], cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lock = folder / f".{name}.lock"
    deadline = time.monotonic() + PATIENCE
    while not (lock.exists() and lock.read_text()):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return running


def refused(folder: Path, command: list[str], *holders: int) -> None:
    """Check that a command names the holder of the lock before it loads anything."""
    done = subprocess.run(
        [RZERO[0], "-X", "importtime", *RZERO[1:], *command],
        cwd=folder,
        input="",
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, len(errors)) == (2, 1), errors
    out = command[command.index("-o") + 1]
    assert errors[0].startswith(f"rzero: {out} is being made by process"), errors
    assert any(f"process {pid} on {platform.node()}" in errors[0] for pid in holders), errors
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers"}


@pytest.mark.parametrize("stage", ["filter", "vote", "label"] if FULL else ["label"])
def test_second_process_on_an_output_is_refused(
    stage: str, labels: Path, tmp_path: Path, tries: Callable[[str], Tries]
) -> None:
    kind = tries(f"two at once: {stage}")
    with ScriptedServer(lambda body: (200, completion(r"\boxed{1}"))) as server:
        more = ["--endpoint", server.url, "--m", "1"] if stage == "label" else []
        command = [stage, *more, "-q", "-o", "out"]
        for _ in range(5 if FULL else 1):
            first = started(tmp_path, command, "out")
            refused(tmp_path, command, first.pid)
            refused(tmp_path, [*command, "--force"], first.pid)
            _, errors = first.communicate(labels.read_bytes(), timeout=PATIENCE)
            assert first.returncode == 0, errors
            assert (tmp_path / "out").read_bytes().count(b"\n") == 48
            kind.tries += 1

            (tmp_path / "out").unlink()
            first = started(tmp_path, command, "out")
            first.send_signal(signal.SIGKILL)
            first.communicate()
            # Another process may have its id by now.
            (tmp_path / ".out.lock").write_text(
                json.dumps({"pid": os.getpid(), "host": platform.node()})
            )
            done = subprocess.run(
                [*RZERO, *command, "--force"], cwd=tmp_path, input=labels.read_bytes()
            )
            assert done.returncode == 0
            assert not list(tmp_path.glob(".*"))
            (tmp_path / "out").unlink()


def test_second_training_is_refused_before_loading(
    labels: Path, tmp_path: Path, tries: Callable[[str], Tries]
) -> None:
    empty_checkpoint(tmp_path / "model")
    shutil.copy(labels, tmp_path / "labels.jsonl")
    kind = tries("two at once: train-solver")
    lock = tmp_path / ".out.lock"
    with lock.open("w") as stream:  # as a training in another process would
        fcntl.lockf(stream, fcntl.LOCK_EX)
        stream.write(json.dumps({"pid": os.getpid(), "host": platform.node()}))
        stream.flush()
        command = ["train-solver", "labels.jsonl", "--solver", "model", "-o", "out"]
        refused(tmp_path, command, os.getpid())
        kind.tries += 1


def test_one_of_several_simultaneous_processes_wins(
    labels: Path, tmp_path: Path, tries: Callable[[str], Tries]
) -> None:
    kind = tries("four at the same moment: filter")
    for _ in range(10 if FULL else 1):
        running = [
            subprocess.Popen(
                [*RZERO, "filter", "-q", str(labels), "-o", "out"],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
            )
            for _ in range(4)
        ]
        errors = [command.communicate()[1].decode() for command in running]
        assert sorted(command.returncode for command in running) == [0, 2, 2, 2], errors
        for line in filter(None, errors):
            # "another process": the winner has not written its number yet.
            assert "out exists" in line or "out is being made by" in line
        assert {p.name for p in tmp_path.iterdir()} == {
            "labels",
            "questions",
            "out",
            "out.meta.json",
        }
        (tmp_path / "out").unlink()
        kind.tries += 1
