"""Workers that compare answers: killed, stopped or out of memory while commands use them.

A pair under comparison at that moment counts as unequal and is reported; all others are right.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from faults.conftest import FULL, SEED, Tries
from faults.interrupted_stages import PATIENCE, alive
from helpers.scripted_server import ScriptedServer, completion, question

COMPARED = 400 if FULL else 40
"""Questions, each with one pair that math-verify decides."""


Among = Callable[[subprocess.Popen[bytes]], list[psutil.Process]]


def pair(n: int) -> list[str]:
    return [rf"\log_2 {{{n}}}", rf"\frac{{\ln {n}}}{{\ln 2}}"]


def graders(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the workers that compare answers, with the processes that forked them."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(command.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "rzero_cli.answers.equivalence_worker" in process.cmdline():
                    found.append(process)
    return found


def ready(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return those of them that have started to compare."""
    there = graders(command)
    with suppress(psutil.NoSuchProcess):
        parents = {process.ppid() for process in there}
        return [p for p in there if p.pid in parents or p.ppid() in {q.pid for q in there}]
    return []


def computing(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the forks among them; their parents compute nothing and need no memory."""
    there = ready(command)
    with suppress(psutil.NoSuchProcess):
        return [process for process in there if process.ppid() in {q.pid for q in there}]
    return []


def pool(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of `system/pool.py`."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(command.pid).children()
    return []


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)


def stop(process: psutil.Process) -> None:
    """Make it hang, so that it cannot end by any limit of its own."""
    process.send_signal(signal.SIGSTOP)


def take_memory(process: psutil.Process) -> None:
    """Make its next allocation exceed the limit."""
    least = process.memory_info().vms
    process.rlimit(resource.RLIMIT_AS, (least, least))


def run_with_faults(
    command: list[str],
    folder: Path,
    hit: Callable[[psutil.Process], None],
    among: Sequence[Among],
    times: int,
    moments: Random,
) -> tuple[list[dict[str, Any]], str, int]:
    """Return records, standard error and the number of processes hit. No process is left.

    Args:
        among: functions that return the processes to choose from, used in turn.
    """
    with (folder / "stderr").open("wb") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", *command, "-o", "out"], cwd=folder, stderr=errors
        )
    done, seen = 0, set()
    deadline = time.monotonic() + PATIENCE
    while running.poll() is None:
        assert time.monotonic() < deadline, "it hangs"
        there = among[done % len(among)](running)
        seen |= set(there)
        if done < times and there and (folder / "out.part").exists():
            with suppress(psutil.NoSuchProcess):
                hit(moments.choice(there))
                done += 1
            time.sleep(moments.uniform(0.02, 0.3))
        time.sleep(0.02)
    stderr = (folder / "stderr").read_text()
    assert running.returncode == 0, stderr
    deadline = time.monotonic() + 10
    while any(map(alive, seen)):
        assert time.monotonic() < deadline, "a process is left"
    return [json.loads(line) for line in (folder / "out").read_text().splitlines()], stderr, done


# Every other hit may meet a process that still imports; three such deaths in a row end the run.
HITS = [
    (kill, [graders, ready], 10),
    (stop, [ready], 3),
    (take_memory, [computing], 10),
]
STAGES = ["vote", "grade", "label"]
# Only one stage each in a short run, since the import of math-verify is slow.
CASES = [
    (stage, hit, among, times if FULL else 1)
    for number, (hit, among, times) in enumerate(HITS)
    for stage in (STAGES if FULL else [STAGES[(SEED + number) % 3]])
]


@pytest.mark.parametrize(("stage", "hit", "among", "times"), CASES)
def test_lost_comparison_worker_costs_only_its_pair(
    stage: str,
    hit: Callable[[psutil.Process], None],
    among: Sequence[Among],
    times: int,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    rows: list[dict[str, Any]] = [{"question": str(n)} for n in range(3, 3 + COMPARED)]
    for n, row in enumerate(rows, 3):
        one, other = pair(n)
        row |= {"answers": [one, other, one]} if stage == "vote" else {}
        row |= {"answer": one, "reference": other} if stage == "grade" else {}
    (tmp_path / "in").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        one, other = (rf"\boxed{{{text}}}" for text in pair(int(question(body))))
        return 200, completion(*[one, other, one][: body.get("n", 1)])

    with ScriptedServer(answer) as server:
        more = ["--endpoint", server.url, "--m", "3"] if stage == "label" else []
        more += ["--workers", "2"] if stage != "label" else []
        records, stderr, done = run_with_faults(
            [stage, "in", *more],
            tmp_path,
            hit,
            among,
            times,
            moments,
        )
    kind = tries(f"grader {hit.__name__.replace('_', ' ')}: {stage}")
    kind.tries += done
    kind.lost += len(rows) - len(records)
    assert [record["question"] for record in records] == [row["question"] for row in rows]
    wrong = [
        record
        for record in records
        if not (record["correct"] if stage == "grade" else record["p_hat"] == 1)
    ]
    timed_out = int(stderr.rpartition(" comparisons timed out")[0].split()[-1])
    assert len(wrong) <= timed_out <= done, (wrong, stderr)


def test_lost_pool_worker_costs_nothing(
    tmp_path: Path, tries: Callable[[str], Tries], moments: Random
) -> None:
    rows = [
        {"question": str(n), "answers": [f"{n}", f"{n}.0", "x"]}
        for n in range(20_000 if FULL else 6000)
    ]
    (tmp_path / "in").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["vote", "in", "--workers", "2"]
    records, _, done = run_with_faults(command, tmp_path, kill, [pool], 10 if FULL else 2, moments)
    kind = tries("kill -9 of a worker of the pool: vote")
    kind.tries += done
    assert [record["question"] for record in records] == [row["question"] for row in rows]
    kind.lost += sum(record["majority"] != 2 for record in records)
