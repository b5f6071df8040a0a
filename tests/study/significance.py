"""The statistics of the study. The base model is the unit: n is the number of bases.

| function     | result                                                                           |
|--------------|----------------------------------------------------------------------------------|
| t_interval   | interval of a mean difference over bases, Student's t with n - 1 degrees of      |
|              | freedom                                                                          |
| sign_flip    | exact permutation test: the fraction of all 2^n sign patterns whose mean is at   |
|              | least as far from 0                                                              |
| holm         | p values of a family of tests, adjusted for the family-wise error rate (Holm     |
|              | 1979)                                                                            |
| two_level    | interval of a mean difference by resampling bases, and the questions within each |
|              | (percentile bootstrap)                                                           |
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

__all__ = ["MOST_FLIPPED", "holm", "mean_sd", "sign_flip", "t_interval", "two_level"]

MOST_FLIPPED = 20
"""The largest n whose sign patterns are enumerated, about a million."""

Values = np.ndarray


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and sample standard deviation (None if n = 1) of n >= 1 values."""
    mean = math.fsum(values) / len(values)
    return mean, (float(np.std(values, ddof=1)) if len(values) > 1 else None)


def t_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of n differences; None if n < 2."""
    mean, sd = mean_sd(differences)
    if sd is None:
        return None
    n = len(differences)
    half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p of n >= 1 differences being symmetric about 0, at least 2 / 2^n.

    Raises:
        ValueError: there are more than `MOST_FLIPPED`.
    """
    n = len(differences)
    if n > MOST_FLIPPED:
        raise ValueError(f"{n} differences: more than {MOST_FLIPPED} are not enumerated")
    values = np.asarray(differences, dtype=float)
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    # Sums of the same values in another order may differ in their last digits.
    least = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    return float(np.mean(np.abs(sums) >= least))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p values, in the given order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def two_level(
    bases: Sequence[Sequence[Values]], *, seed: int = 0, resamples: int = 10_000
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over bases.

    If bases differ only by the noise of their questions, that noise counts on both levels, and the
    interval is too wide rather than too narrow.

    Args:
        bases: n >= 1 of them; each has one or more arrays with one value per question, which are
            resampled independently and whose means add up to the base's value. A difference on the
            same questions is one array; on two sets of questions it is two, the second negated.
    """
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(bases), size=(resamples, len(bases)))
    means = np.zeros(picks.shape)
    for number, arrays in enumerate(bases):
        where = picks == number
        for values in arrays:
            means[where] += _resampled_means(np.asarray(values, dtype=float), where.sum(), rng)
    low, high = np.percentile(means.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _resampled_means(values: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Return means of as many values sampled with replacement, by counts of distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    sampled = rng.multinomial(len(values), counts / len(values), size=resamples)
    return np.asarray(sampled @ distinct / len(values))
