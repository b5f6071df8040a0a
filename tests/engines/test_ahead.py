"""Completions finished ahead of their turn: kept on disk, so that a kill repeats no request."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, question
from rzero_cli.engines import Completion
from rzero_cli.engines.ahead import Ahead

A, B = [Completion("a", 1, False)], [Completion("\u2028\n", 2, True), Completion("", 0, False)]


def boxed(body: Body) -> Reply:
    return 200, completion(*[f"\\boxed{{{question(body)}}}"] * body.get("n", 1))


def test_completions_kept_ahead_are_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "ahead"
    first = Ahead(path)
    first.keep(3, "p", A)
    first.keep(5, "p", B)
    first.after(6).keep(1, "p", A)
    assert first.take(3, "p") is None  # of this run
    with path.open("ab") as stream:
        stream.write(b'[8, "0", [["torn')
    second = Ahead(path, start=4)
    assert [second.take(n, "p") for n in (3, 5, 5, 6, 8)] == [None, B, None, None, None]
    assert second.after(5).take(2, "p") == A
    # Not taken by the one after it is not lost: that one may be interrupted, too.
    third = Ahead(path, start=4)
    assert [third.take(n, "p") for n in (3, 5, 7)] == [None, B, A]


def test_completions_of_another_prompt_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "ahead"
    Ahead(path).keep(0, [{"role": "user", "content": "a"}], A)
    assert Ahead(path).take(0, [{"role": "user", "content": "b"}]) is None
    with path.open("ab") as stream:
        stream.write(b"5\n")  # as a loss of power may leave
    assert Ahead(path).take(0, [{"role": "user", "content": "a"}]) == A


def test_ahead_without_a_file_keeps_nothing(tmp_path: Path) -> None:
    for path in (None, tmp_path / "no folder" / "ahead"):
        Ahead(path).keep(0, "p", A)
        assert Ahead(path).take(0, "p") is None


def kill(folder: Path, command: list[str], enough: Callable[[list[int]], bool]) -> None:
    """Run it until there is enough of what it has kept ahead, by number, and kill it."""
    running = subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", *command], cwd=folder, stderr=subprocess.DEVNULL
    )
    ahead = folder / f"{command[-1]}.part.ahead"
    for _ in range(900):
        time.sleep(0.1)
        lines = ahead.read_bytes().split(b"\n")[:-1] if ahead.exists() else []
        if enough([json.loads(line)[0] for line in lines]):
            break
    running.send_signal(signal.SIGKILL)
    running.wait()


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        (["label", "--m", "2"], []),
        (["score", "--m", "2", "--batch", "32"], []),
        (["oracle", "--m", "2"], ["--known"]),
    ],
)
def test_killed_stage_does_not_repeat_finished_requests(
    rzero, tmp_path: Path, stage: list[str], after: list[str]
) -> None:
    (tmp_path / "q.jsonl").write_text("".join(f'{{"question": "{n}"}}\n' for n in range(40)))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        if int(question(body)) == 4:
            held.wait(60)
        return boxed(body)

    name, *options = stage
    endpoint = "--oracle-endpoint" if name == "oracle" else "--endpoint"
    with ScriptedServer(answer) as server:
        command = [name, "q.jsonl", endpoint, server.url, *options, *after]
        # All that can be answered: a batch waits for its last answer, a journal for its next.
        answered = {*range(4), *range(5, 32)} if name == "score" else set(range(5, 40))
        kill(tmp_path, [*command, "-o", "out.jsonl"], lambda kept: answered <= set(kept))
        held.set()
        before = len(server.requests)
        done = rzero(*command, "-o", "out.jsonl", "--resume")
        assert done.status == 0, done.stderr
        again = [question(body) for body in server.requests[before:]]
        assert rzero(*command, "-o", "whole.jsonl").status == 0
    assert "4" in again
    # Those of the second batch had not been read yet.
    assert set(again) <= {"4"} | ({str(n) for n in range(32, 40)} if name == "score" else set())
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["question"] for record in records] == [str(n) for n in range(40)]
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.slow
def test_killed_evaluation_does_not_repeat_finished_requests(rzero, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"question": str(n), "reference": str(n % 7)} for n in range(30)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        asked = body["messages"][-1]["content"]
        if asked == "4" and body["temperature"]:  # in the second pass, over the sampled answers
            held.wait(90)
        return 200, completion(*[f"\\boxed{{{int(asked) % 7}}}"] * body.get("n", 1))

    with ScriptedServer(answer) as server:
        command = ["eval", "--endpoint", server.url, "--data", "q.jsonl", "--k", "2", "--quiet"]
        kill(
            tmp_path,
            [*command, "-o", "out.json"],
            lambda kept: sum(number >= 30 for number in kept) >= 25,
        )
        held.set()
        before = len(server.requests)
        done = rzero(*command, "-o", "out.json", "--resume")
        assert done.status == 0, done.stderr
        assert {question(body) for body in server.requests[before:]} == {"4"}
    task = json.loads((tmp_path / "out.json").read_text())["tasks"]["q"]
    assert (task["greedy"]["score"], task["mean_at_k"]["score"], task["n"]) == (1, 1, 30)
    assert not list(tmp_path.glob("*.part*"))
