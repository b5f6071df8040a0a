"""The server that forks commands: a fork behaves like a fresh interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.forkserver import Forked, ForkServer

pytestmark = pytest.mark.slow  # the start-up of the server

LABELED = b'{"question": "1 + 1", "answer": "2", "p_hat": 0.5, "answers": ["2", "3"]}\n'


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["filter", "--quiet"], LABELED),
        (["vote", "-o", "out.jsonl"], LABELED),
        (["--version"], b""),
        (["filter", "missing.jsonl"], b""),
        (["nonsense"], b""),
        (["filter", "--help"], b""),
        (["--debug", "filter", "missing.jsonl"], b""),  # an uncaught exception
        (["env", "--json"], b""),  # its environment
        (["label", "--solver", "missing", "--temperature", "-1"], LABELED),
    ],
    ids=lambda value: "-".join(value)[:20] if isinstance(value, list) else "",
)
def test_a_fork_ends_as_a_fresh_process_does(
    forks: ForkServer, tmp_path: Path, arguments: list[str], given: bytes
) -> None:
    env = os.environ | {"RZERO_SEED": "7"}
    ends = []
    for folder in (tmp_path / "fresh", tmp_path / "forked"):
        folder.mkdir()
        if folder.name == "fresh":
            words = [sys.executable, "-m", "rzero_cli", *arguments]
            process = subprocess.run(words, cwd=folder, env=env, input=given, capture_output=True)
            end = (process.returncode, process.stdout, process.stderr)
        else:
            end = forks.run(arguments, cwd=folder, env=env, input=given)
        record = folder / "out.jsonl.meta.json"
        command = json.loads(record.read_text())["command"] if record.exists() else None
        # The first lines of a traceback differ: they belong to the interpreter or the server.
        said = end[2].splitlines()[-1:] if b"Traceback" in end[2] else end[2]
        ends.append((*end[:2], said, command))
    assert ends[0] == ends[1]


def started(forks: ForkServer, folder: Path) -> tuple[Forked, int]:
    """Start a command that waits for input after its first record; return it and its pipe."""
    reading, writing = os.pipe()
    command = forks.start(
        ["vote", "-o", "out.jsonl"], cwd=folder, stdin=reading, stderr=folder / "stderr"
    )
    os.close(reading)
    os.write(writing, LABELED)
    deadline = time.monotonic() + 30
    part = folder / "out.jsonl.part"
    while not part.exists() or not part.stat().st_size:
        assert time.monotonic() < deadline and command.poll() is None
        time.sleep(0.01)
    return command, writing


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9), (None, 0)],
)
def test_a_fork_gets_its_signals(
    forks: ForkServer, tmp_path: Path, number: signal.Signals | None, status: int
) -> None:
    command, writing = started(forks, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(timeout=0)
    if number is None:
        os.close(writing)
        assert command.wait(timeout=30) == status
        assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 1
    else:
        command.send_signal(number)
        assert command.wait(timeout=30) == command.returncode == status
        os.close(writing)
        assert not (tmp_path / "out.jsonl").exists()
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    command.send_signal(signal.SIGKILL)  # the process no longer exists


def test_several_run_at_once_and_a_reader_who_leaves_is_no_error(
    forks: ForkServer, tmp_path: Path
) -> None:
    commands = []
    for n in range(8):
        (tmp_path / f"{n}").write_bytes(LABELED * 50_000)
        reading, writing = os.pipe()
        commands.append(forks.start(["filter", n], cwd=tmp_path, stdout=writing))
        os.close(writing)
        os.close(reading)
    assert [command.wait(timeout=60) for command in commands] == [0] * 8
    assert len({command.pid for command in commands}) == 8
