"""`rzero vote` and `rzero grade`: keys, rules, several workers, hostile answers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.data_files import DATA
from helpers.hostile_answers import HOSTILE, NEVER
from helpers.json_lines import journaled, jsonl, records


def test_vote_adds_the_keys_of_label_and_keeps_others(rzero: Rzero) -> None:
    row = {"id": 7, "answers": ["1/2", "0.5", "0.5", "2", None], "note": {"big": 10**30}}
    (voted,) = records(rzero("vote", input=jsonl(row)))
    assert voted == row | {
        "answer": "0.5",
        "p_hat": 0.6,
        "m": 5,
        "majority": 3,
        "votes": {"0.5": 3, "2": 1},
    }
    assert list(voted)[:3] == ["id", "answers", "note"]


def test_vote_reads_completions(rzero: Rzero) -> None:
    texts = [r"\boxed{4}", r"so \boxed{\frac{8}{2}}", "the answer is 5", r"\boxed{", ""]
    (voted,) = records(rzero("vote", input=jsonl({"completions": texts})))
    assert voted["answers"] == ["4", r"\frac{8}{2}", None, None, None]
    assert (voted["answer"], voted["p_hat"], voted["m"]) == ("4", 0.4, 5)
    assert voted["completions"] == texts
    more = rzero("vote", "--extract", "boxed,phrase", input=jsonl({"completions": texts}))
    assert records(more)[0]["answers"] == ["4", r"\frac{8}{2}", "5", None, None]
    mapped = rzero("vote", "--completions-key", "outputs", input=jsonl({"outputs": texts}))
    assert records(mapped)[0]["answer"] == "4"


def test_official_vote_ignores_empty_boxes(rzero: Rzero) -> None:
    row = {"completions": [r"\boxed{4}", r"\boxed{4}", r"\boxed{ }", "none", r"\boxed{5}"]}
    assert records(rzero("vote", input=jsonl(row)))[0]["p_hat"] == 2 / 5
    (voted,) = records(rzero("vote", "--preset", "official", input=jsonl(row)))
    assert voted["p_hat"] == 2 / 4
    assert voted["answers"] == ["4", "4", "", None, "5"]
    # voting on its own output gives the same result
    assert records(rzero("vote", "--preset", "official", input=jsonl(voted))) == [voted]


@pytest.mark.parametrize(
    ("options", "answers", "p_hat"),
    [
        ([], ["60 mph", "60", r"60 \text{ km}"], 2 / 3),
        ([], ["60 mph", "60", r"60 \text{ miles per hour}"], 1.0),
        (["--units", "keep"], ["60 mph", "60", r"60 \text{ mph}"], 2 / 3),
        ([], [r"50\%", "50", "0.5"], 2 / 3),
        (["--percent", "fraction"], [r"50\%", "1/2", "50"], 2 / 3),
    ],
)
def test_vote_conventions_are_options(
    rzero: Rzero, options: list[str], answers: list[str], p_hat: float
) -> None:
    assert records(rzero("vote", *options, input=jsonl({"answers": answers})))[0]["p_hat"] == p_hat


def test_vote_ignores_order_and_number_of_workers(rzero: Rzero) -> None:
    spellings = [None, "1/2", "0.5", r"\frac12", "0.50", "1", "1.0", r"\log_2 8", "3", "x+1", "1+x"]
    spellings += [r"\sin x", "yes", "Yes", "(1,2)", "(1, 2)", r"2\cdot 2^n", "2^{n+1}"]
    rng = random.Random(0)
    rows = [{"answers": rng.choices(spellings, k=12)} for _ in range(150)]
    shuffled = [{"answers": rng.sample(row["answers"], 12)} for row in rows]
    keys = ("answer", "p_hat", "m", "majority", "votes")
    tallies = [
        [
            [row[key] for key in keys]
            for row in records(rzero("vote", *options, input=jsonl(*given)))
        ]
        for options, given in (
            (("--workers", "1"), rows),
            (("--workers", "3"), rows),
            (("--workers", "2"), shuffled),
        )
    ]
    assert tallies[0] == tallies[1] == tallies[2]


def test_vote_of_its_own_output_is_the_same(rzero: Rzero) -> None:
    rows = [{"answers": [str(k % 3), "1.0", None]} for k in range(300)]
    first = rzero("vote", input=jsonl(*rows))
    assert rzero("vote", input=first.stdout).stdout == first.stdout


def test_interrupted_vote_resumes(rzero: Rzero, tmp_path: Path) -> None:
    rows = [{"answers": [str(k), str(k % 2), "1"], "k": k} for k in range(500)]
    (tmp_path / "answers.jsonl").write_text(jsonl(*rows))
    assert rzero("vote", "answers.jsonl", "-o", "whole.jsonl").status == 0
    (tmp_path / "bad.jsonl").write_text(jsonl(*rows[:300]) + '{"answers": 3}\n')
    for name in ("vote", "grade"):
        assert rzero(name, "bad.jsonl", "-o", f"{name}.jsonl").status == 2
    assert (tmp_path / "vote.jsonl.part").read_text().count("\n") == 300
    (tmp_path / "bad.jsonl").write_text(jsonl(*rows))
    again = rzero("vote", "bad.jsonl", "-o", "vote.jsonl", "--resume")
    assert again.status == 2  # the input has changed
    assert "inputs" in again.stderr
    os.truncate(tmp_path / "vote.jsonl.part", 1000)  # truncated in the middle of a line
    (tmp_path / "bad.jsonl").write_text(jsonl(*rows[:300]) + '{"answers": 3}\n')
    again = rzero("vote", "bad.jsonl", "-o", "vote.jsonl", "--resume")
    assert again.status == 2
    whole = [json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()]
    part = journaled(tmp_path / "vote.jsonl.part")
    assert part == dict(enumerate(whole[:300]))
    meta = json.loads((tmp_path / "whole.jsonl.meta.json").read_text())
    assert meta["metrics"]["questions"] == 500


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, 'key "answers" (a list of texts) is missing'),
        ({"answers": "7"}, 'key "answers" must be a list of texts'),
        ({"answers": ["7", 7]}, 'key "answers" must hold texts or null, not 7: quote it'),
        ({"completions": [["7"]]}, 'key "completions" must hold texts or null'),
    ],
)
def test_vote_names_a_bad_record(rzero: Rzero, row: dict[str, Any], message: str) -> None:
    ended = rzero("vote", input=jsonl({"answers": ["1"]}, row))
    assert (ended.status, len(ended.lines)) == (2, 1)
    assert ended.stderr.startswith(f"rzero: <stdin>:2: {message}")


def test_vote_and_grade_option_errors(refused: Refused) -> None:
    assert "--extract box: unknown; known: boxed," in refused("vote", "--extract", "box")
    assert "--units keeps: must be drop or keep" in refused("grade", "--units", "keeps")
    assert "--percent x: must be" in refused("grade", "--percent", "x")
    assert "--rule nice: unknown" in refused("vote", "--rule", "nice")


def test_strict_refuses_a_repeated_key(rzero: Rzero) -> None:
    line = '{"answers": ["1"], "answers": ["2"]}\n'
    assert records(rzero("vote", input=line))[0]["answer"] == "2"
    ended = rzero("vote", "--strict", input=line)
    assert ended.status == 2
    assert 'key "answers" occurs more than once' in ended.stderr


def test_timed_out_comparison_is_reported_and_unequal(rzero: Rzero) -> None:
    ended = rzero("grade", input=jsonl({"answer": NEVER, "reference": "7"}))
    assert records(ended)[0]["correct"] is False
    assert "0 of 1 correct (0.0%), 1 comparisons timed out" in ended.stderr
    ended = rzero("vote", input=jsonl({"answers": [NEVER, "7", NEVER]}))
    (voted,) = records(ended)
    # identical texts are equal answers without comparison
    assert voted["votes"] == {NEVER: 2, "7": 1}
    assert "1 comparisons timed out" in ended.stderr


# Measured in the process itself: for a child, the system includes pytest's own memory.
PEAK = """
import re, resource, sys
from pathlib import Path
from rzero_cli.cli import run
status = run(sys.argv[1:])
own = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
Path("peak").write_text(str(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)))
sys.exit(status)
"""


@pytest.mark.parametrize("command", ["vote", "grade"])
def test_vote_and_grade_survive_hostile_answers(command: str, tmp_path: Path) -> None:
    """No hang, no crash, no child left, bounded memory, and no code from an answer is run."""
    answers = list(HOSTILE)
    path = DATA / "adversarial_answers.jsonl"
    if path.exists():
        answers += [json.loads(line)["answer"] for line in path.read_text("utf-8").splitlines()]
    else:
        print(f"{path} is missing: only the answers of this file are tried")
    rows: list[dict[str, Any]] = [{"answers": [a, "7", a]} for a in answers]
    if command == "grade":
        rows = [{"answer": a, "reference": "7"} for a in answers]
        rows += [{"completion": rf"\boxed{{{a}}}", "reference": a} for a in answers]
    (tmp_path / "in.jsonl").write_text(jsonl(*rows))
    process = subprocess.Popen(
        [sys.executable, "-c", PEAK, command, "in.jsonl", "-o", "out.jsonl"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=os.environ | {"MARK": str(tmp_path)},
        text=True,
    )
    assert process.stderr is not None
    hung = threading.Timer(120, process.kill)
    hung.start()
    stderr = process.stderr.read()
    status = process.wait()
    hung.cancel()
    assert status == 0, stderr
    done = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert len(done) == len(rows)
    if command == "vote":
        assert all(row["majority"] in (0, 1, 2) for row in done)
    else:
        assert not any(row["correct"] for row in done[: len(answers)])
    assert not (tmp_path / "broken").exists()
    assert _marked(str(tmp_path)) == []
    assert int((tmp_path / "peak").read_text()) < 1 << 20  # kB, of its largest process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_all_workers_and_keeps_finished_records(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", "vote", "-o", "out.jsonl"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"MARK": str(tmp_path)},
    )
    assert process.stdin is not None
    part = tmp_path / "out.jsonl.part"
    process.stdin.write(jsonl({"answers": ["1"]}, {"answers": [NEVER, "2"]}).encode())
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while not part.exists() or not part.stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == status, stderr
    assert b"Traceback" not in stderr
    assert b"Fatal" not in stderr
    assert part.read_text().count("\n") >= 1
    deadline = time.monotonic() + 10
    while _marked(str(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    """Return live processes with this mark in their environment, and their children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
