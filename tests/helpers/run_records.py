"""The records of runs that `rzero report` reads, each value different from the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STAGES = {
    "questions.jsonl": "sample",
    "labeled.jsonl": "label",
    "train.jsonl": "filter",
    "graded.jsonl": "grade",
    "challenger": "challenge",
    "solver": "train-solver",
}


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def scored(value: float) -> dict[str, Any]:
    """Return a score with a distinct interval, so that mix-ups are noticed."""
    interval = [round(value - 0.03, 6), round(value + 0.04, 6)]
    return {"score": value, "stderr": 0.02, "ci95": interval}


def evaluated(mean: float, *, seconds: float = 1.0, k: int = 8) -> dict[str, Any]:
    """Return an eval.json with greedy 0.1 below and maj@k 0.1 above mean@k."""
    greedy = scored(round(mean - 0.1, 6))
    only = {
        "metric": "mean_at_k" if k else "greedy",
        **(scored(mean) if k else greedy),
        "k": k,
        "n": 100,
        "greedy": greedy,
        "mean_at_k": scored(mean) if k else None,
        "maj_at_k": scored(round(mean + 0.1, 6)) if k else None,
        "groups": {},
        "samples": [],
    }
    return {"tasks": {"heldout": only}, "origin": {"stage": "eval", "seconds": seconds}}


def by_tasks(**tasks: Any) -> dict[str, Any]:
    return {"tasks": tasks, "groups": {}, "origin": {"stage": "eval", "seconds": 1.0}}


def task(greedy: float | None, mean: float | None = None, k: int = 0) -> dict[str, Any]:
    no_share = {"score": 0.5, "stderr": None, "ci95": None}
    return {
        "metric": "exact_match,none",
        **(no_share if greedy is None else scored(greedy)),
        "k": k,
        "n": 100,
        "greedy": None if greedy is None else scored(greedy),
        "mean_at_k": None if mean is None else scored(mean),
        "metrics": {"exact_match,none": 0.5},
        "samples": [],
    }


def iteration(
    folder: Path,
    results: dict[str, Any],
    *,
    graded: tuple[int, int] | None = None,
    labelled: tuple[int, float] = (600, 0.75),
    kept: int = 200,
    challenger: bool = True,
) -> None:
    """Write the records of one iteration's artefacts; `graded` is (correct, graded)."""
    metrics: dict[str, dict[str, Any]] = {
        "questions.jsonl": {"questions": labelled[0]},
        "labeled.jsonl": {"questions": labelled[0], "p_hat_mean": labelled[1]},
        "train.jsonl": {"read": labelled[0], "kept": kept},
        "solver": {"loss": 0.5},
    }
    if challenger:
        metrics["challenger"] = {"loss": 0.5}
    if graded is not None:
        metrics["graded.jsonl"] = {"correct": graded[0], "graded": graded[1]}
    for name, found in metrics.items():
        is_file = name.endswith(".jsonl")
        record = {
            "stage": STAGES[name],
            "settings": {"seed": 1, "made": f"<{name}>"},
            "metrics": found,
            "seconds": 10.25,
        }
        write(folder / (f"{name}.meta.json" if is_file else f"{name}/rzero.json"), record)
    write(folder / "eval.json", results)


def chain(folder: Path, means: list[float], **kwargs: Any) -> None:
    for number, mean in enumerate(means, 1):
        iteration(folder / f"iter-{number}", evaluated(mean), **kwargs)


def run_of(
    folder: Path, base: float, trained: list[float], baseline: list[float] | None = None
) -> Path:
    write(folder / "base" / "eval.json", evaluated(base))
    chain(folder, trained, graded=(150, 200))
    chain(folder / "base-challenger", baseline or [], graded=(90, 100), challenger=False)
    return folder
