"""From verdicts on single questions to scores: means over questions, with 95 % intervals.

| score     | per question                                       |
|-----------|----------------------------------------------------|
| greedy    | is the greedy answer right (pass@1)                |
| mean_at_k | share of k independently sampled answers that are right |
| maj_at_k  | is the majority of those k answers right           |

A score is `{"score": mean, "ci95": [low, high]}`; see `core.intervals` for the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rzero_cli.core.intervals import mean_interval

__all__ = ["Sample", "score", "summarize"]

Sample = Mapping[str, Any]
"""One question's verdicts: `greedy` (bool), `correct` (k bools), `maj` (bool), `group`."""


def score(values: Sequence[float]) -> dict[str, Any]:
    """The mean of one value in [0, 1] per question, and its 95 % interval."""
    mean, low, high = mean_interval(values)
    return {"score": mean, "ci95": [low, high]}


def summarize(samples: Sequence[Sample], k: int) -> dict[str, Any]:
    """All scores of n >= 1 questions, over all of them and over those of each group.

    Args:
        samples: one per question; `group` may be None, for no group.
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
    return {
        "n": len(samples),
        "greedy": score([s["greedy"] for s in samples]),
        "mean_at_k": score([sum(s["correct"]) / k for s in samples]) if k else None,
        "maj_at_k": score([s["maj"] for s in samples]) if k else None,
    }
