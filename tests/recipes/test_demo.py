"""`make demo` on a small base: interrupted, resumed, reported. The tests build on one another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers.loop import RZERO, commands, make


@pytest.mark.slow
def test_demo_resumes_after_ctrl_c_and_reports(folder: Path) -> None:
    """One iteration of both chains on a small base, with a Ctrl-C in the middle."""
    arguments = ["SIZE=small", "ITERATIONS=1", "demo", "CHALLENGE_FLAGS=--steps 4"]
    arguments += ["SAMPLE_FLAGS=-n 200", "SOLVER_FLAGS=--steps 10", "EVAL_FLAGS=--limit 200"]
    running = subprocess.Popen(
        ["make", "-C", str(folder), f"RZERO={RZERO}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    iteration = folder / "runs" / "demo-small" / "iter-1"
    first = iteration / "questions.jsonl"
    deadline = time.monotonic() + 600
    # Its recipe has finished once the next has started; make deletes the target of a running one.
    while not (iteration / "labeled.jsonl.part").exists():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    made_first = first.stat().st_mtime_ns
    os.killpg(running.pid, signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode != 0

    done = make(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == made_first, "an existing file is not remade"
    run = folder / "runs" / "demo-small"
    assert {"summary.json", "summary.txt", "summary.png", "report.html", "stats.txt"} <= {
        path.name for path in run.iterdir()
    }
    assert not list(run.rglob("*.part*"))
    summary = json.loads((run / "summary.json").read_text())
    assert [row["model"] for row in summary["rows"]] == ["base", "base-challenger", "iter-1"]
    for row in summary["rows"]:
        assert 0 <= row["ci95"][0] <= row["mean_at_k"] <= row["ci95"][1] <= 1
        assert row["seconds"] > 0
    for row in summary["rows"][1:]:
        assert row["kept"] <= row["questions"]
        assert 0 <= row["label_accuracy"] <= 1
    assert (run / "summary.png").read_bytes().startswith(b"\x89PNG")
    page = (run / "report.html").read_text()
    assert "<svg" in page
    assert "1 done of 1 planned" in page
    assert 'class="remarks"' not in page, "a complete run has no remarks"

    again = make(folder, *arguments)
    assert again.returncode == 0
    assert "train-solver" not in again.stdout, "the run is finished"


@pytest.mark.slow
def test_deleted_stage_is_remade_with_everything_after_it(folder: Path) -> None:
    run = folder / "runs" / "demo-small"
    if not run.is_dir():
        pytest.skip("needs the run of the test before")
    copy = folder / "runs" / "copy"
    shutil.copytree(run, copy, copy_function=shutil.copy2)
    (copy / "iter-1" / "labeled.jsonl").unlink()
    base = "runs/tiny-base-small-0"
    tiny = ["PRESET=tiny", "TRUTH=1", "ITERATIONS=1", f"MODEL={base}"]
    plan = make(
        folder, "-n", "loop", "base-challenger", "RUN=copy", f"HELDOUT={base}/heldout.jsonl", *tiny
    )
    redone = ["label", "filter", "train-solver", "eval", "grade"]
    assert sorted(commands(plan.stdout)) == sorted(redone)


@pytest.mark.slow
def test_difficulty_table_matches_its_evaluations(folder: Path) -> None:
    run = folder / "runs" / "demo-small"
    if not run.is_dir():
        pytest.skip("needs the run of the first of these tests")
    tiny = ["PRESET=tiny", "TRUTH=1", "ITERATIONS=1", "MODEL=runs/tiny-base-small-0"]
    flags = "ORACLE_FLAGS=--world --limit 60"
    done = make(folder, "difficulty", "RUN=demo-small", flags, *tiny)
    assert done.returncode == 0, done.stderr
    assert "train-solver" not in done.stdout, "the run itself is unchanged"
    sample = [json.loads(line) for line in (run / "difficulty/iter-1.jsonl").open()]
    assert len(sample) == 60
    true = sum(record["answer"] == record["reference"] for record in sample)
    table = json.loads((run / "difficulty.json").read_text())
    assert table["solvers"] == ["base", "iter-1"]
    (row,) = table["rows"]
    assert (row["questions"], row["n"]) == ("iter-1", 60)
    assert row["label_accuracy"] == pytest.approx(true / 60)
    assert row["p_hat_mean"] == pytest.approx(sum(r["p_hat"] for r in sample) / 60)
    for solver, score in row["scores"].items():
        evaluated = json.loads((run / f"difficulty/iter-1/{solver}.json").read_text())
        samples = evaluated["tasks"]["iter-1"]["samples"]
        assert [s["reference"] for s in samples] == [record["reference"] for record in sample]
        assert score["score"] == sum(s["greedy"] for s in samples) / 60
        assert 0 <= score["ci95"][0] <= score["score"] <= score["ci95"][1] <= 1
    cells = (run / "difficulty.txt").read_text().splitlines()[3].split()
    assert cells[:2] == ["iter-1", "60"]
    assert cells[2] == f"{100 * row['scores']['base']['score']:.1f}"
    assert cells[-1] == f"{100 * row['label_accuracy']:.1f}"
