"""How hard each iteration's questions are for every Solver, and how many of its labels are true.

The paper's table: a sample of each iteration's questions, with the true answers of an oracle, is
put to the base model and to every Solver. Down a column it is one Solver, and the questions change;
along a row the questions are the same, and the Solvers change.

`recipes/loop.mk` lays a run out as `difficulty/iter-K.jsonl`, the questions of iteration K with
their labels and references, and beside it `difficulty/iter-K/SOLVER.json`, an evaluation on them.
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
    """The table of one run.

    Returns:
        {"solvers": ["base", "iter-1", ...], "rows": [...]}, a row for each set of questions:
        `questions` ("iter-1", ...), `n`, `scores` (for each Solver `score` and `ci95`, of its
        greedy answers), and of the labels `p_hat_mean`, `label_accuracy` and
        `label_accuracy_ci95`, None where there are none.

    Raises:
        UsageError: nothing of it is there.
        DataError: a file cannot be read, or an evaluation is of other questions.
    """
    files = _in_order(run / "difficulty", "*.jsonl")
    if not files:
        raise UsageError(f"{run}: no questions in {run / 'difficulty'}: run `make difficulty`")
    rows = [_row(path, equivalence) for path in files]
    solvers = dict.fromkeys(name for row in rows for name in row["scores"])
    return {"solvers": list(solvers), "rows": rows}


def _row(path: Path, equivalence: Equivalence) -> dict[str, Any]:
    lines = read_lines([str(path)], check=check)
    figures = statistics(lines, band=band(Decimal(0)), equivalence=equivalence)
    n = figures["records"]
    asked = [_asked(line.record) for line in read_lines([str(path)])]
    found = _in_order(path.with_suffix(""), "*.json")
    return {
        "questions": path.stem,
        "n": n,
        "scores": {result.stem: _score(result, path, asked) for result in found},
        **{name: figures.get(name) for name in _LABELS},
    }


def _score(path: Path, questions: Path, asked: list[Any]) -> dict[str, Any]:
    tasks = read_object(path).get("tasks")
    task: Any = next(iter(tasks.values()), {}) if isinstance(tasks, dict) else {}
    if not task.get("greedy"):
        raise DataError(f"{path}: not a greedy result of `rzero eval --data {questions}`")
    if [_asked(sample) for sample in task.get("samples") or ()] != asked:
        raise DataError(f"{path}: of other questions or answers than {questions}: make it again")
    return {name: task["greedy"][name] for name in ("score", "ci95")}


def _asked(record: dict[str, Any]) -> tuple[Any, Any]:
    """What an evaluation depends on: lm-eval's own tasks have neither."""
    return record.get("question"), record.get("reference")


def _in_order(folder: Path, pattern: str) -> list[Path]:
    """`base`, then `iter-1`, `iter-2`, ..."""
    found = {path.stem.removeprefix("iter-"): path for path in folder.glob(pattern)}
    numbers = sorted((name for name in found if name.isdecimal()), key=int)
    return [found[name] for name in ("base", *numbers) if name in found]
