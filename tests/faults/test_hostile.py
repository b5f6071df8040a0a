"""Hostile questions and answers do not hang, crash or exhaust any command that reads them.

`commands/test_vote.py` tests the results; this file tests how the commands end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from faults.conftest import FULL, Tries
from helpers.data_files import DATA
from helpers.hostile_answers import HOSTILE
from helpers.scripted_server import ScriptedServer, completion

LONG = 200_000
WORSE = [
    "9" * 1_000_000,
    "x y " * 250_000,
    "0." + "0" * LONG + "1",
    "(" * LONG,
    "[" * 1000 + "]" * 1000,
    "{" * LONG + "}" * LONG,
    r"\boxed{1}" * 100_000,
    r"\boxed{" * 100_000,
    r"\frac" * 200_000,
    "1" + "0" * 10_000 + "^" + "9" * 10_000,
    "-" * LONG,
    " " * LONG + "x",
    "a " * (LONG // 2),
    "<question>" * 100_000,
    "<question>" + " " * LONG,
    "</question>" * 50_000 + "<question>" * 50_000,
    "#### " * 200_000,
    "the answer is " * 70_000,
    "A. " * 300_000,
    ("1," * 500_000) + "1",
    "\x00" * LONG,
    "\ud800" * 100_000,
    "\u0660\u0661" * 100_000,
    "e\u0301" * 300_000,
    "\n" * LONG,
    r"\text{" * 100_000 + "}" * 100_000,
    r"\left(" * 100_000 + r"\right)" * 100_000,
    "$" * LONG,
    r"10\%" * 200_000,
    "1 1/2 " * 100_000,
    "60 mph " * 100_000,
]


def hostile() -> list[str]:
    path = DATA / "adversarial_answers.jsonl"
    if not path.exists():
        print(f"{path} is missing: only our own are tried")
        return HOSTILE + WORSE
    theirs = [json.loads(line)["answer"] for line in path.read_text("utf-8").splitlines()]
    return theirs + HOSTILE + WORSE


@pytest.mark.parametrize("command", ["vote", "grade", "score", "filter", "stats", "sample"])
def test_commands_survive_hostile_text(
    command: str, tmp_path: Path, tries: Callable[[str], Tries], moments: Random
) -> None:
    texts = hostile() if FULL else moments.sample(hostile(), 8)
    kind = tries(f"hostile text: {command}")
    how: dict[str, list[str]] = {
        "vote": ["in", "--completions-key", "texts"],
        "grade": ["in", "--extract", "boxed,phrase,hashes,choice"],
        "score": ["in", "--batch", "15"] if FULL else ["in"],  # a batch is in memory
        "sample": ["--challenger", "m", "-n", str(len(texts))],
    }
    with (tmp_path / "in").open("w") as stream:
        for text in texts:
            label = {"answer": text, "p_hat": 0.5, "m": 1, "reference": "7"}
            row: dict[str, Any] = {
                "vote": {"texts": [text, "7"]},
                "grade": {"completion": text, "reference": "7"},
                "score": {"question": text, "answer": "7", "p_hat": 0.5},
            }.get(command, {"question": text} | label)
            print(json.dumps(row), file=stream)
    given = iter(texts)

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return 200, completion(*[next(given, "") for _ in range(body.get("n", 1))])

    with ScriptedServer(answer) as server, (tmp_path / "stderr").open("wb") as errors:
        more = ["--endpoint", server.url] if command == "sample" else []
        arguments = [command, *how.get(command, ["in"]), *more]
        with (tmp_path / "stdout").open("wb") as out:
            running = psutil.Popen(
                [sys.executable, "-m", "rzero_cli", *arguments],
                cwd=tmp_path,
                stdout=out,
                stderr=errors,
            )
        most = 0
        deadline = time.monotonic() + (300 if FULL else 120)
        while running.poll() is None:
            if time.monotonic() > deadline:
                kind.hangs += 1
                running.kill()
                break
            for process in [running, *running.children(recursive=True)]:
                try:
                    most = max(most, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            try:
                running.wait(0.1)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                continue
    stderr = (tmp_path / "stderr").read_text()
    assert running.returncode == 0, stderr
    assert "Traceback" not in stderr
    kind.tries += len(texts)
    if command not in ("stats", "sample"):
        kind.lost += len(texts) - (tmp_path / "stdout").read_bytes().count(b"\n")
    assert most < 1 << 30
