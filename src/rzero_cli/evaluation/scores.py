"""From verdicts on single questions to scores: means over questions, with 95 % intervals.

| score     | per question                                       |
|-----------|----------------------------------------------------|
| greedy    | is the greedy answer right (pass@1)                |
| mean_at_k | share of k independently sampled answers that are right |
| maj_at_k  | is the majority of those k answers right           |

A score is `{"score": mean, "stderr": standard error, "ci95": [low, high]}`. The standard error is
lm-eval's, that of a mean over questions; see `analysis.intervals` for the interval, which is not
the mean and two of them: it holds for few questions and near 0 and 1, too.
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
    """A request more that is answered, for whoever waits."""

    answers: int
    tokens: int
    right: int | None
    """Of the answers; None where only the whole task can tell."""
    earlier: bool
    """It was an interrupted run that answered."""


def score(values: Sequence[float]) -> dict[str, Any]:
    """The mean of one value in [0, 1] per question, its standard error and its 95 % interval.

    The standard error of a single question is None.
    """
    mean, low, high = mean_interval(values)
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"score": mean, "stderr": error, "ci95": [low, high]}


def summarize(samples: Sequence[Sample], k: int) -> dict[str, Any]:
    """All scores of n >= 1 questions, over all of them and over those of each group.

    Args:
        samples: one per question; `group` may be None, for no group; `greedy` is None in all of
            them where nothing was answered greedily.
        k: sampled answers per question; 0 leaves `mean_at_k` and `maj_at_k` None.

    Returns:
        `{"n", "k", "greedy", "mean_at_k", "maj_at_k", "groups": {group: the same, but "k"}}`.
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
