"""Requests finished out of order are kept on disk, so that none is repeated after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.hostile_answers import NEVER
from helpers.json_lines import journaled

pytest.importorskip("openai")

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, question


def boxed(body: Body) -> Reply:
    return 200, completion(*[f"\\boxed{{{question(body)}}}"] * body.get("n", 1))


def kill(
    folder: Path,
    command: list[str],
    enough: Callable[[list[int]], bool],
    given: Path | None = None,
) -> None:
    """Run a command until its journal has enough inputs, by number, then kill it.

    `given` is its standard input.
    """
    with ExitStack() as stack:
        stdin = stack.enter_context(given.open()) if given else subprocess.DEVNULL
        running = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", *command],
            cwd=folder,
            stdin=stdin,
            stderr=subprocess.DEVNULL,
        )
    part = folder / f"{command[-1]}.part"
    for _ in range(900):
        time.sleep(0.1)
        if part.exists() and enough(list(journaled(part))):
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
        # All that can be answered: each batch waits for its last answer.
        answered = set(range(32 if name == "score" else 40)) - {4}
        kill(tmp_path, [*command, "-o", "out.jsonl"], lambda kept: answered <= set(kept))
        held.set()
        before = len(server.requests)
        done = rzero(*command, "-o", "out.jsonl", "--resume")
        assert done.status == 0, done.stderr
        again = [question(body) for body in server.requests[before:]]
        assert rzero(*command, "-o", "whole.jsonl").status == 0
    assert "4" in again
    # The second batch had not been read yet.
    assert set(again) <= {"4"} | ({str(n) for n in range(32, 40)} if name == "score" else set())
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["question"] for record in records] == [str(n) for n in range(40)]
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("stage", [["label"], ["score"], ["oracle", "--known"]])
def test_kill_while_a_vote_takes_long_repeats_no_finished_request(
    rzero, tmp_path: Path, stage: list[str]
) -> None:
    (tmp_path / "q.jsonl").write_text("".join(f'{{"question": "{n}"}}\n' for n in range(20)))
    requested = threading.Event()

    def answer(body: Body) -> Reply:
        if int(question(body)) > 1:
            requested.wait(60)
            time.sleep(0.5)  # until the first one is being voted on
            return boxed(body)
        requested.set()
        # No pair can be decided, equal or different, within the time limit.
        hard = (NEVER.replace("17", str(17 + i)) for i in range(5))
        return 200, completion(*(rf"\boxed{{{one}}}" for one in hard))

    name, *options = stage
    endpoint = "--oracle-endpoint" if name == "oracle" else "--endpoint"
    part = tmp_path / "out.jsonl.part"

    def waiting() -> set[int]:
        """Return the inputs whose answers are kept while others are voted on."""
        kept = {n: value for n, value in journaled(part).items() if isinstance(value, list)}
        return {n for n, (_, of) in kept.items() if isinstance(of, list)}

    with ScriptedServer(answer) as server:
        command = [name, "q.jsonl", endpoint, server.url, "--m", "5", *options, "-o", "out.jsonl"]
        kill(tmp_path, command, lambda _: len(waiting()) > 4)
        assert len(waiting()) > 4
        there, before = {*map(str, journaled(part))}, len(server.requests)
        done = rzero(*command, "--resume")
        assert done.status == 0, done.stderr
        assert not there & {question(body) for body in server.requests[before:]}
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    key = "reference" if name == "oracle" else "answer"
    assert {row["question"]: row[key] for row in rows[2:]} == {str(n): str(n) for n in range(2, 20)}
    assert not list(tmp_path.glob("*.part*"))


def test_answers_kept_for_a_batch_are_those_of_the_same_questions(rzero, tmp_path: Path) -> None:
    """Input from a pipe may have changed between the runs."""
    pipe = tmp_path / "q.jsonl"
    pipe.write_text("".join(f'{{"question": "{n}"}}\n' for n in range(8)))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        if question(body) == "4":
            held.wait(60)
        return boxed(body)

    with ScriptedServer(answer) as server:
        command = ["score", "--endpoint", server.url, "--m", "2", "-o", "out.jsonl"]
        kill(tmp_path, command, lambda kept: len(kept) == 7, pipe)
        held.set()
        before = len(server.requests)
        other = pipe.read_text().replace('"2"', '"20"')
        assert rzero(*command, "--resume", input=other).status == 0
        assert {question(body) for body in server.requests[before:]} == {"4", "20"}
        assert rzero(*command[:-1], "whole.jsonl", input=other).status == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.slow
def test_killed_evaluation_does_not_repeat_finished_requests(rzero, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"question": str(n), "reference": str(n % 7)} for n in range(30)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        text = body["messages"][-1]["content"]
        if text == "4" and body["temperature"]:  # in the second pass, the sampled answers
            held.wait(90)
        return 200, completion(*[f"\\boxed{{{int(text) % 7}}}"] * body.get("n", 1))

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
