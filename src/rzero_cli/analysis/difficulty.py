"""The paper's table of question difficulty and label accuracy per iteration.

The base model and every Solver are evaluated on a sample of each iteration's questions, with an
oracle's answers as references. A row is one set of questions, a column one Solver.

`recipes/loop.mk` writes the questions of iteration K, with labels and references, to
`difficulty/iter-K.jsonl`, and each evaluation on them to `difficulty/iter-K/SOLVER.json`.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from rzero_cli.analysis.diversity import check, statistics
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.data.json_text import read_object
from rzero_cli.data.jsonl import read_lines
from rzero_cli.errors import DataError, UsageError
from rzero_cli.method.filtering import band

_LABELS = ("p_hat_mean", "label_accuracy", "label_accuracy_ci95")


def difficulty(run: Path, equivalence: Equivalence) -> dict[str, Any]:
    """Return the table of one run.

    Args:
        run: the run's folder.
        equivalence: compares labels with references.

    Returns:
        {"solvers": ["base", "iter-1", ...], "rows": [...]}, with a row for each set of questions:
        `questions` ("iter-1", ...), `n`, `scores` (Solver -> `score` and `ci95` of its greedy
        answers), and the labels' `p_hat_mean`, `label_accuracy` and `label_accuracy_ci95`, None
        without labels.

    Raises:
        UsageError: the run has no such questions.
        DataError: a file cannot be read, or an evaluation is of different questions.
    """
    files = _in_order(run / "difficulty", "*.jsonl")
    if not files:
        raise UsageError(f"{run}: no questions in {run / 'difficulty'}: run `make difficulty`")
    rows = [_row(path, equivalence) for path in files]
    solvers = dict.fromkeys(name for row in rows for name in row["scores"])
    return {"solvers": list(solvers), "rows": rows}


def _row(path: Path, equivalence: Equivalence) -> dict[str, Any]:
    lines = read_lines([str(path)], check=check)
    metrics = statistics(lines, band=band(Decimal(0)), equivalence=equivalence)
    items = [_item(line.record) for line in read_lines([str(path)])]
    found = _in_order(path.with_suffix(""), "*.json")
    return {
        "questions": path.stem,
        "n": metrics["records"],
        "scores": {result.stem: _score(result, path, items) for result in found},
        **{name: metrics.get(name) for name in _LABELS},
    }


def _score(path: Path, questions: Path, items: list[Any]) -> dict[str, Any]:
    tasks = read_object(path).get("tasks")
    task: Any = next(iter(tasks.values()), {}) if isinstance(tasks, dict) else {}
    if not task.get("greedy"):
        raise DataError(f"{path}: not a greedy result of `rzero eval --data {questions}`")
    if [_item(sample) for sample in task.get("samples") or ()] != items:
        raise DataError(f"{path}: different questions or answers from {questions}: evaluate again")
    return {name: task["greedy"][name] for name in ("score", "ci95")}


def _item(record: dict[str, Any]) -> tuple[Any, Any]:
    """Return the question and its reference; lm-eval's own tasks have neither."""
    return record.get("question"), record.get("reference")


def _in_order(folder: Path, pattern: str) -> list[Path]:
    """Return the files of `base`, then `iter-1`, `iter-2`, ..."""
    found = {path.stem.removeprefix("iter-"): path for path in folder.glob(pattern)}
    numbers = sorted((name for name in found if name.isdecimal()), key=int)
    return [found[name] for name in ("base", *numbers) if name in found]
