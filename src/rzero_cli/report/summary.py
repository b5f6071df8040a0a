"""The summary of a run: one row for the base model, each iteration and each baseline.

The layout of a run's folder is that of `recipes/loop.mk`: `base/eval.json`, `iter-K/` with the
artefacts of each iteration, and a folder of such iterations for each baseline and ablation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rzero_cli.analysis.intervals import average
from rzero_cli.data.json_text import read_object
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.errors import DataError, UsageError
from rzero_cli.report.parts import number

CHAIN_NAMES = {
    "base": "base model",
    "trained": "trained Challenger",
    "base-challenger": "base Challenger",
    "no-penalty": "no repetition penalty",
    "no-filter": "no filter",
    "one-model": "one model in both roles",
    "official": "the authors' rules",
    "true-labels": "true labels",
    "shuffled-labels": "shuffled labels",
    "random-reward": "random reward",
    "format-reward": "format reward",
}
CHAINS = tuple(CHAIN_NAMES)[2:]
"""The baselines and ablations, each a folder of a run."""
STAGES = {
    "challenge": "challenger",
    "sample": "questions.jsonl",
    "label": "labeled.jsonl",
    "filter": "train.jsonl",
    "train-solver": "solver",
    "grade": "graded.jsonl",
}
"""Stage of an iteration -> its artefact in the folder."""

Row = dict[str, Any]
Remark = Callable[[str], object]
"""Receives a line on what is wrong with an artefact."""


def summarize_run(run: Path, *, remark: Remark | None = None) -> dict[str, Any]:
    """Return the summary of one run, as in `summary.json`.

    Args:
        run: the run's folder.
        remark: receives what is missing or damaged; its metrics are then None, and iterations
            without an evaluation have a row, too. By default the first damaged artefact is an
            error.

    Returns:
        {"rows": [...], "settings": {...}, "chains": {...}}. The rows are "base", each baseline at
        its last iteration, then "iter-1", ...; `chains` has the rows of all iterations of each
        chain.

    Raises:
        UsageError: the folder has no evaluated run; with `remark`, no run at all.
        DataError: an artefact cannot be read.
    """
    base = run / "base" / "eval.json"
    if remark is None and not base.is_file():
        raise UsageError(f"{run}: not the folder of a run (no base/eval.json)")
    if not (base.parent.is_dir() or (run / "made-with").is_file() or iterations(run)):
        raise UsageError(f"{run}: not the folder of a run (no base/eval.json)")
    start = _row("base", base.parent, remark)
    chains = {"trained": _chain(run, remark)}
    chains |= {name: _chain(run / name, remark) for name in CHAINS}
    chains = {name: rows for name, rows in chains.items() if rows}
    others = [rows[-1] | {"model": name} for name, rows in chains.items() if name != "trained"]
    return {
        "rows": [start, *others, *chains.get("trained", [])],
        "settings": _settings(run, remark),
        "chains": chains,
    }


def iterations(folder: Path) -> list[Path]:
    """Return the folders `iter-1`, `iter-2`, ... of one chain, in order, finished or not."""
    found = [p for p in folder.glob("iter-*") if p.is_dir() and p.name[5:].isdecimal()]
    return sorted(found, key=lambda p: int(p.name[5:]))


@contextmanager
def forgiving(remark: Remark | None, what: Path | str) -> Iterator[None]:
    """Report any error about an artefact through `remark`; re-raise it if `remark` is None."""
    try:
        yield
    except Exception as error:
        if remark is None:
            raise
        if isinstance(error, (DataError, UsageError)):
            remark(str(error))
        elif isinstance(error, OSError) and error.strerror:
            remark(f"{what}: {error.strerror}")
        elif isinstance(error, KeyError):
            remark(f'{what}: no "{error.args[0]}"')
        else:  # mostly a value of an unexpected type
            remark(f"{what}: cannot be shown ({type(error).__name__}: {error})")


def _chain(folder: Path, remark: Remark | None) -> list[Row]:
    found = iterations(folder)
    if remark is None:
        found = [path for path in found if (path / "eval.json").is_file()]
    return [_row(path.name, path, remark) for path in found]


def _row(model: str, folder: Path, remark: Remark | None) -> Row:
    row: Row = dict.fromkeys(ROW) | {"model": model, "k": 0}
    metrics, spent = defaultdict[str, dict[str, Any]](dict), list[float]()
    with forgiving(remark, results := folder / "eval.json"):
        if not results.is_file():
            raise DataError(f"{results}: does not exist yet")
        evaluation = read_evaluation(results)
        spent.append(_seconds(evaluation["origin"], results))
        row |= _scores(evaluation)
    for path in records_of(folder):
        with forgiving(remark, path):
            record = read_object(path)
            metrics[path.name] |= record.get("metrics", {})
            spent.append(_seconds(record, path))
    graded, labelled, kept = (
        metrics[f"{name}.jsonl.meta.json"] for name in ("graded", "labeled", "train")
    )
    right, of = graded.get("correct"), graded.get("graded")
    with forgiving(remark, record_of(folder, "grade")):
        row["label_accuracy"] = right / of if right is not None and of else None
    row |= {name: labelled.get(name) for name in ("p_hat_mean", "questions")}
    row |= {"kept": kept.get("kept"), "seconds": round(math.fsum(spent), 1) if spent else None}
    return row if remark is None else _sound(row, folder, remark)


def _sound(row: Row, folder: Path, remark: Remark) -> Row:
    """Return the row with None for values that are not numbers."""
    for name in [name for name in row if name not in ("model", "k") and row[name] is not None]:
        values = row[name] if name == "ci95" else [row[name]]
        of_kind = isinstance(values, list) and len(values) == (2 if name == "ci95" else 1)
        if not of_kind or None in map(number, values):
            remark(f'{folder}: "{name}" is not a number')
            row[name] = None
    return row


ROW = (
    *("model", "mean_at_k", "k", "ci95", "greedy", "maj_at_k", "score"),
    *("label_accuracy", "p_hat_mean", "questions", "kept", "seconds"),
)


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return an output of `rzero eval`. Raises DataError if the file is not one."""
    results = read_object(path)
    for key in ("origin", "tasks"):
        if not isinstance(results.get(key), dict):
            raise DataError(f'{path}: no "{key}": not an output of `rzero eval`')
    _seconds(results["origin"], path)
    return results


def _seconds(record: dict[str, Any], path: Path) -> float:
    seconds = record.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise DataError(f'{path}: no "seconds": not a record of rzero')
    return float(seconds)


def _scores(results: dict[str, Any]) -> Row:
    """Return the scores of one evaluation, averaged over its tasks.

    `score`, with `ci95`, is mean@k if every task was sampled, the paper's overall average if both
    of its suites were evaluated, and otherwise the mean of each task's own score. The other scores
    are None unless every task has them, so that all average the same tasks.
    """
    tasks = list(results["tasks"].values())

    def mean_of(name: str) -> float | None:
        found = [task[name]["score"] for task in known if task.get(name)]
        return mean(found) if found and len(found) == len(known) else None

    known = [task for task in tasks if task["ci95"]]  # the others' scores are not accuracies
    used = known
    if known and all(task.get("mean_at_k") for task in known):
        used = [task["mean_at_k"] for task in known]
    elif "rzero_overall" in results.get("averages", {}):
        used = [results["averages"]["rzero_overall"]]
    whole = average(used) if used else {"score": None, "ci95": None}
    return {
        "mean_at_k": mean_of("mean_at_k"),
        "k": max((task.get("k") or 0 for task in tasks), default=0),
        "ci95": used[0]["ci95"] if len(used) == 1 else whole["ci95"],
        "greedy": mean_of("greedy"),
        "maj_at_k": mean_of("maj_at_k"),
        "score": whole["score"],
    }


def record_of(folder: Path, stage: str) -> Path:
    """Return the path of the record of a stage's artefact in an iteration's folder."""
    path = folder / STAGES[stage]
    return file_meta_path(path) if path.suffix else path / CHECKPOINT_META


def records_of(folder: Path) -> list[Path]:
    """Return the paths of the existing records in an iteration's folder, checkpoints first."""
    records = [record_of(folder, stage) for stage in STAGES]
    records.sort(key=lambda path: path.name != CHECKPOINT_META)
    return [path for path in records if path.is_file()]


def _settings(run: Path, remark: Remark | None) -> dict[str, Any]:
    """Return stage -> settings in the first iteration."""
    found: dict[str, Any] = {}
    for path in records_of(run / "iter-1"):
        with forgiving(remark, path):
            record = read_object(path)
            found[record["stage"]] = record["settings"]
    return found


def curves(summary: dict[str, Any]) -> dict[str, list[Row]]:
    """Return chain -> rows from the base model on; only the base model if there is no chain."""
    base = summary["rows"][0]
    return {name: [base, *rows] for name, rows in summary["chains"].items()} or {"base": [base]}


def over_runs(summaries: Sequence[dict[str, Any]]) -> list[Row]:
    """Return means over several runs and paired differences to the base and the base Challenger.

    Args:
        summaries: at least one, from `summarize_run`.

    Returns:
        For each chain that all runs have, at its last iteration, {"model", "runs", "mean", "sd",
        "values", "minus_base", "minus_base_challenger"}. A difference is {"mean", "sd", "values"},
        paired by run; `sd` is the sample standard deviation, None for one run.

    Raises:
        UsageError: the chains differ in length, or a run has no score.
    """
    lengths = {len(rows) for summary in summaries for rows in summary["chains"].values()}
    if len(lengths) > 1:
        raise UsageError(f"chains of {sorted(lengths)} iterations cannot be compared")
    finals = [_finals(summary) for summary in summaries]
    names = [name for name in finals[0] if all(name in final for final in finals)]
    rows = []
    for name in names:
        row: Row = {"model": name, "runs": len(finals)} | _spread([f[name] for f in finals])
        for other in ("base", "base-challenger"):
            if other in names and other != name:
                row["minus_" + other.replace("-", "_")] = _spread(
                    [f[name] - f[other] for f in finals]
                )
        rows.append(row)
    return rows


def _finals(summary: dict[str, Any]) -> dict[str, float]:
    last = {name: rows[-1] for name, rows in summary["chains"].items()}
    scores = {"base": summary["rows"][0]} | last
    finals: dict[str, float | None] = {name: row["score"] for name, row in scores.items()}
    if None in finals.values():
        raise UsageError("a run without a score over questions cannot be compared")
    return {name: value for name, value in finals.items() if value is not None}


def _spread(values: Sequence[float]) -> Row:
    return {
        "mean": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "values": list(values),
    }
