"""What a run came to: one row for the base model, each iteration and each baseline.

A run's folder is laid out as `recipes/loop.mk` writes it: `base/eval.json`, `iter-K/` with the
artefacts of each iteration, and a folder of such iterations for each baseline and ablation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rzero_cli.core.intervals import mean_of_means
from rzero_cli.core.provenance import CHECKPOINT_META, file_meta_path
from rzero_cli.core.streams import read_object
from rzero_cli.errors import DataError, UsageError

__all__ = ["CHAINS", "curves", "headline", "over_runs", "summarize_run"]

CHAINS = ("base-challenger", "no-penalty", "no-filter", "shuffled-labels")
_ARTEFACTS = ("questions.jsonl", "labeled.jsonl", "train.jsonl", "graded.jsonl")
_CHECKPOINTS = ("challenger", "solver")

Row = dict[str, Any]


def summarize_run(run: Path) -> dict[str, Any]:
    """The summary of one run, as `summary.json` holds it.

    Returns:
        {"rows": [...], "settings": {...}, "chains": {...}}: rows "base", then each baseline after
        as many iterations as it has, then "iter-1", ...; `chains` holds every iteration's row of
        every chain.

    Raises:
        UsageError: no evaluated run there.
        DataError: an artefact cannot be read.
    """
    base = run / "base" / "eval.json"
    if not base.is_file():
        raise UsageError(f"{run}: not the folder of a run (no base/eval.json)")
    start = _row("base", base.parent)
    chains = {"trained": _chain(run)} | {name: _chain(run / name) for name in CHAINS}
    chains = {name: rows for name, rows in chains.items() if rows}
    others = [rows[-1] | {"model": name} for name, rows in chains.items() if name != "trained"]
    return {
        "rows": [start, *others, *chains.get("trained", [])],
        "settings": _settings(run),
        "chains": chains,
    }


def _chain(folder: Path) -> list[Row]:
    found = [p.parent for p in folder.glob("iter-*/eval.json")]
    numbered = sorted((int(p.name[5:]), p) for p in found if p.name[5:].isdecimal())
    return [_row(p.name, p) for _, p in numbered]


def _row(model: str, folder: Path) -> Row:
    results = read_object(folder / "eval.json")
    if "seconds" not in results.get("origin", {}) or "tasks" not in results:
        raise DataError(f'{folder / "eval.json"}: not a result of rzero eval (no "origin")')
    scores = _scores(results)
    graded, labelled, kept = (
        _metrics(folder / name) for name in ("graded.jsonl", "labeled.jsonl", "train.jsonl")
    )
    right, of = graded.get("correct"), graded.get("graded")
    return {
        "model": model,
        **scores,
        "label_accuracy": right / of if right is not None and of else None,
        "p_hat_mean": labelled.get("p_hat_mean"),
        "questions": labelled.get("questions"),
        "kept": kept.get("kept"),
        "seconds": round(_seconds(folder), 1),
    }


def _scores(results: dict[str, Any]) -> Row:
    """The scores of one evaluation; those of several tasks are averaged.

    `score`, with `ci95`, is mean@k where every task was sampled, the paper's overall average where
    both its suites were evaluated, and else the mean of what each task's own protocol says. The
    other scores are None where not every task has them: they would be of different tasks.
    """
    tasks = list(results["tasks"].values())

    def average(name: str) -> float | None:
        found = [task[name]["score"] for task in known if task.get(name)]
        return mean(found) if found and len(found) == len(known) else None

    known = [task for task in tasks if task["ci95"]]  # the others have no share of right answers
    used = known
    if known and all(task.get("mean_at_k") for task in known):
        used = [task["mean_at_k"] for task in known]
    elif "rzero_overall" in results.get("averages", {}):
        used = [results["averages"]["rzero_overall"]]
    score, interval = None, None
    if used:
        score, _, interval = mean_of_means(
            [one["score"] for one in used], [one["stderr"] for one in used]
        )
    return {
        "mean_at_k": average("mean_at_k"),
        "k": max((task.get("k") or 0 for task in tasks), default=0),
        "ci95": used[0]["ci95"] if len(used) == 1 else interval,
        "greedy": average("greedy"),
        "maj_at_k": average("maj_at_k"),
        "score": score,
    }


def _metrics(artefact: Path) -> dict[str, Any]:
    meta = file_meta_path(artefact)
    return dict(read_object(meta).get("metrics", {})) if meta.is_file() else {}


def _seconds(folder: Path) -> float:
    """Wall-clock time of all stages that left something in an iteration's folder."""
    records = [file_meta_path(folder / name) for name in _ARTEFACTS]
    records += [folder / name / CHECKPOINT_META for name in _CHECKPOINTS]
    spent = [read_object(path)["seconds"] for path in records if path.is_file()]
    return math.fsum([*spent, read_object(folder / "eval.json")["origin"]["seconds"]])


def _settings(run: Path) -> dict[str, Any]:
    """The settings of each stage in the first iteration, by stage."""
    first = run / "iter-1"
    records = [first / name / CHECKPOINT_META for name in _CHECKPOINTS]
    records += [file_meta_path(first / name) for name in _ARTEFACTS]
    found = [read_object(path) for path in records if path.is_file()]
    return {record["stage"]: record["settings"] for record in found}


def curves(summary: dict[str, Any]) -> dict[str, list[Row]]:
    """Each chain's rows from the base on, for a plot over iterations."""
    base = summary["rows"][0]
    return {name: [base, *rows] for name, rows in summary["chains"].items()}


def over_runs(summaries: Sequence[dict[str, Any]]) -> list[Row]:
    """Means over several runs, and the paired differences to the base and the base Challenger.

    Args:
        summaries: of at least one run each, with the same chains.

    Raises:
        UsageError: the chains are of unequal length, or one has no score.

    Returns:
        For each chain at its last iteration {"model", "runs", "mean", "sd", "values",
        "minus_base", "minus_base_challenger"}; a difference is {"mean", "sd", "values"}, paired
        by run; `sd` is the sample standard deviation, None for one run.
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
    finals = {name: headline(row) for name, row in scores.items()}
    if None in finals.values():
        raise UsageError("a run without a score per question cannot be compared")
    return {name: value for name, value in finals.items() if value is not None}


def headline(row: Row) -> float | None:
    """The score a row is compared by: mean@k, or greedy where nothing was sampled."""
    score: float | None = row["score"]
    return score


def _spread(values: Sequence[float]) -> Row:
    return {
        "mean": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "values": list(values),
    }
