"""A server that goes away and comes back: the engine waits and continues."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Semaphore
from typing import Any

import pytest

from faults.conftest import FULL, Tries
from faults.interrupted_stages import PATIENCE
from helpers.scripted_server import ScriptedServer, completion, question

QUESTIONS = 1000
ANSWERED = 100  # by each server before it goes; later requests get no answer


def right(body: dict[str, Any]) -> tuple[int, Any]:
    time.sleep(0.05)
    # Identical texts would be requested again, one at a time.
    texts = [rf"{n}: \boxed{{{question(body)}}}" for n in range(body.get("n", 1))]
    return 200, completion(*texts)


@contextmanager
def server_that_goes(port: int = 0) -> Iterator[ScriptedServer]:
    """Answer `ANSWERED` requests and let all others wait, so that it never finishes."""
    places, gone = Semaphore(ANSWERED), Event()

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        if not places.acquire(blocking=False):
            gone.wait()
            return 0, None
        return right(body)

    with ScriptedServer(answer, port=port) as server:
        yield server
    gone.set()


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_engine_waits_for_a_server_that_is_gone_for_a_while(
    seconds: int, tmp_path: Path, tries: Callable[[str], Tries], moments: Random
) -> None:
    if seconds == 60 and not FULL:
        pytest.skip("a whole minute only with RZERO_FAULTS=full")
    (tmp_path / "q").write_text("".join(f'{{"question": "{n}"}}\n' for n in range(QUESTIONS)))
    kind = tries(f"server gone for {seconds} s: label")
    command = [sys.executable, "-m", "rzero_cli", "label", "q", "--m", "2"]
    with server_that_goes() as server:
        port = server.port
        running = subprocess.Popen(
            [*command, "--endpoint", server.url, "-o", "l"], cwd=tmp_path, stderr=subprocess.PIPE
        )
        journal = tmp_path / "l.part"
        while not (journal.exists() and journal.stat().st_size):
            assert running.poll() is None
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.3))
    for again in range((5 if FULL else 1) if seconds < 60 else 1):
        if again:
            with server_that_goes(port):
                time.sleep(moments.uniform(0.2, 0.4))
        time.sleep(seconds)
        assert running.poll() is None, running.communicate()[1]
        kind.tries += 1
    with ScriptedServer(right, port=port):
        _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, errors
    records = [json.loads(line) for line in (tmp_path / "l").read_text().splitlines()]
    labels = [(record["question"], record["answer"], record["p_hat"]) for record in records]
    kind.twice += len(labels) - len(set(labels))
    assert labels == [(str(n), str(n), 1.0) for n in range(QUESTIONS)]
