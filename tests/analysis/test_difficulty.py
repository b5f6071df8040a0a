"""`rzero report --difficulty`: scores of every Solver on every iteration's questions, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero


def questions(run: Path, iteration: int, true: int, of: int) -> None:
    rows = [
        {"question": f"q{k}", "answer": "1", "p_hat": 0.5, "reference": "1.0" if k < true else "2"}
        for k in range(of)
    ]
    path = run / "difficulty" / f"iter-{iteration}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluated(run: Path, iteration: int, solver: str, right: float, of: int) -> None:
    greedy = {"score": right, "stderr": 0.1, "ci95": [right - 0.1, right + 0.1]}
    task = {"metric": "greedy", "k": 0, "n": of, "greedy": greedy, "mean_at_k": None}
    questions = map(json.loads, (run / "difficulty" / f"iter-{iteration}.jsonl").open())
    task["samples"] = [
        {"id": k, "question": one["question"], "reference": one["reference"], "greedy": True}
        for k, one in enumerate(questions)
    ]
    path = run / "difficulty" / f"iter-{iteration}" / f"{solver}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tasks": {f"iter-{iteration}": task}}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for iteration, true, of in ((1, 4, 5), (2, 1, 4), (10, 0, 4)):
        questions(run, iteration, true, of)
        evaluated(run, iteration, "base", 0.5, of)
        evaluated(run, iteration, "iter-10", 0.75, of)
        evaluated(run, iteration, "iter-2", 0.625, of)
    (run / "difficulty" / "iter-2" / "iter-10.json").unlink()
    return run


def test_difficulty_table_has_a_row_per_iteration_and_a_column_per_solver(
    rzero: Rzero, run: Path, tmp_path: Path
) -> None:
    ended = rzero("report", "run", "--difficulty", "-o", "d.json", "-o", "d.txt", "--quiet")
    assert (ended.status, ended.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in ended.lines if "iter-" in line]
    assert lines == [
        "questions of questions base % iter-2 % iter-10 % p_hat true labels, all %",
        "iter-1 5 50.0 62.5 75.0 0.50 80.0",
        "iter-2 4 50.0 62.5 - 0.50 25.0",
        "iter-10 4 50.0 62.5 75.0 0.50 0.0",
    ]
    assert (tmp_path / "d.txt").read_text().strip() == ended.stdout.strip()
    table: dict[str, Any] = json.loads((tmp_path / "d.json").read_text())
    assert json.loads(rzero("report", "run", "--difficulty", "--json").stdout) == table
    assert table["solvers"] == ["base", "iter-2", "iter-10"]
    assert table["rows"][0]["scores"]["iter-2"] == {"score": 0.625, "ci95": [0.525, 0.725]}
    low, high = table["rows"][0]["label_accuracy_ci95"]
    assert 0 < low < table["rows"][0]["label_accuracy"] == 0.8 < high < 1


def test_difficulty_works_without_labels(rzero: Rzero, tmp_path: Path) -> None:
    questions(tmp_path, 1, 1, 1)
    path = tmp_path / "difficulty" / "iter-1.jsonl"
    path.write_text('{"question": "q0", "reference": "1"}\n')
    evaluated(tmp_path, 1, "base", 0.5, 1)
    assert "iter-1 1 50.0 - -" in " ".join(rzero("report", ".", "--difficulty").stdout.split())


@pytest.mark.parametrize(
    "samples",
    [
        [{"id": 0, "question": "other", "reference": "1.0"}],
        [{"id": 0, "question": "q0", "reference": "another oracle's"}],
        [{"id": 0, "greedy": 1.0}],
        [],
    ],
)
def test_evaluation_of_other_questions_is_refused(
    refused: Refused, run: Path, tmp_path: Path, samples: list[dict[str, Any]]
) -> None:
    questions(tmp_path, 1, 1, 1)
    evaluated(tmp_path, 1, "base", 0.5, 1)
    path = tmp_path / "difficulty" / "iter-1" / "base.json"
    result = json.loads(path.read_text())
    result["tasks"]["iter-1"]["samples"] = samples
    path.write_text(json.dumps(result))
    message = "difficulty/iter-1/base.json: different questions or answers from difficulty/iter-1"
    assert message in refused("report", ".", "--difficulty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "no questions in difficulty: run `make difficulty`"),
        (["run", "run"], "--difficulty takes a single run"),
        (["run", "-o", "d.png"], "-o d.png: --difficulty can only be written as .json or .txt"),
        (
            ["other"],
            "other/difficulty/iter-1/base.json: different questions or answers from other/",
        ),
        (["none"], "none/difficulty/iter-1/base.json: not a greedy result of `rzero eval --data"),
        (["bad"], "bad/difficulty/iter-1/base.json: cannot be read"),
    ],
)
def test_difficulty_errors_are_one_line(
    refused: Refused, run: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    for name in ("other", "none", "bad"):
        questions(tmp_path / name, 1, 1, 3)
        evaluated(tmp_path / name, 1, "base", 0.5, 3)
        questions(tmp_path / name, 1, 1, 2)
    (tmp_path / "none/difficulty/iter-1/base.json").write_text('{"tasks": {}}')
    (tmp_path / "bad/difficulty/iter-1/base.json").write_text("{")
    assert message in refused("report", "--difficulty", *arguments)
