"""Scores computed from verdicts: means over questions with 95 % intervals.

| score     | per question                                              |
|-----------|-----------------------------------------------------------|
| greedy    | is the greedy answer right (pass@1)                       |
| mean_at_k | fraction of k independently sampled answers that are right |
| maj_at_k  | is the majority of those k answers right                  |

A score is `{"score": mean, "stderr": standard error, "ci95": [low, high]}`. The standard error is
lm-eval's, of a mean over questions. The interval (`analysis.intervals`) is not the mean plus or
minus two of them: it is also valid for few questions and near 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any, NamedTuple

from rzero_cli.analysis.intervals import mean_interval

Sample = Mapping[str, Any]
"""One question's verdicts: `greedy` (bool), `correct` (k bools), `maj` (bool), `group`."""


class Answered(NamedTuple):
    """Progress by one answered request."""

    answers: int
    tokens: int
    right: int | None
    """The number of right answers; None if they are graded only with the whole task."""
    earlier: bool
    """It was answered in an interrupted run."""


def score(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of one value in [0, 1] per question, its standard error and 95 % interval.

    The standard error is None for a single question.
    """
    mean, low, high = mean_interval(values)
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"score": mean, "stderr": error, "ci95": [low, high]}


def summarize(samples: Sequence[Sample], k: int) -> dict[str, Any]:
    """Return all scores of n >= 1 questions, overall and by group.

    Args:
        samples: one per question; `group` may be None; `greedy` is None in all samples if there was
            no greedy pass.
        k: sampled answers per question; with 0, `mean_at_k` and `maj_at_k` are None.

    Returns:
        `{"n", "k", "greedy", "mean_at_k", "maj_at_k", "groups": {group: the same, without "k"}}`.
    """
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample["group"] is not None:
            members.setdefault(sample["group"], []).append(sample)
    groups = {name: _scores(members[name], k) for name in sorted(members)}
    return {"k": k, **_scores(samples, k), "groups": groups}


def _scores(samples: Sequence[Sample], k: int) -> dict[str, Any]:
    greedy = [s["greedy"] for s in samples]
    return {
        "n": len(samples),
        "greedy": score(greedy) if None not in greedy else None,
        "mean_at_k": score([sum(s["correct"]) / k for s in samples]) if k else None,
        "maj_at_k": score([s["maj"] for s in samples]) if k else None,
    }
