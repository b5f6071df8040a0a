"""Means over questions and their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of one value in [0, 1] per question and its 95 % interval over questions.

    This is Wilson's score interval with an effective number of questions: the number at which a
    binary score of this mean would vary as much. It is exactly Wilson's if every value is 0 or 1
    (pass@1, maj@k), and narrower for mean@k, whose values vary less. The variance estimate includes
    z^2 pseudo-questions with the largest variance that this mean allows. Without them the interval
    of ten questions covers the truth 92 times in 100 and may have zero width.

    Args:
        values: n >= 1 scores, one per question.

    Returns:
        (mean, low, high), with 0 <= low <= mean <= high <= 1 and low < high.
    """
    n = len(values)
    mean = math.fsum(values) / n
    return mean, *_interval(n, mean, math.fsum((v - mean) ** 2 for v in values))


def sums_interval(n: int, total: float, squares: float) -> tuple[float, float, float]:
    """Return `mean_interval` of `n` values in [0, 1] from their sum and sum of squares."""
    mean = min(1.0, total / n)
    return mean, *_interval(n, mean, max(0.0, squares - n * mean**2))


def _interval(n: int, mean: float, squares: float) -> tuple[float, float]:
    """Return the interval from the mean and the sum of squared deviations."""
    binary = mean * (1.0 - mean)
    variance = (squares + Z95**2 * binary) / (n + Z95**2)
    effective = n * binary / variance if variance > 0 else float(n)
    shrink = 1.0 + Z95**2 / effective
    centre = (mean + Z95**2 / (2 * effective)) / shrink
    half = Z95 / shrink * math.sqrt(binary / effective + Z95**2 / (4 * effective**2))
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def average(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the unweighted mean of several tasks' scores.

    Args:
        scores: `score`, in [0, 1], and `stderr`, or None, of each task. Their questions must be
            independent.

    Returns:
        `{"score", "stderr", "ci95"}`. The interval is the normal one, since a mean of several
        tasks is rarely near 0 or 1. `stderr` and `ci95` are None if any task has no `stderr`.
    """
    mean = math.fsum(one["score"] for one in scores) / len(scores)
    errors = [one["stderr"] for one in scores]
    if None in errors:
        return {"score": mean, "stderr": None, "ci95": None}
    error = math.sqrt(math.fsum(e**2 for e in errors)) / len(errors)
    interval = [max(0.0, mean - Z95 * error), min(1.0, mean + Z95 * error)]
    return {"score": mean, "stderr": error, "ci95": interval}
