"""The statistics of the study, against scipy and by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy import stats

from .significance import holm, sign_flip, t_interval, two_level


def test_t_interval_agrees_with_scipy() -> None:
    values = [3.0, 5.0, 4.0, 8.0]
    low, high = t_interval(values) or (0.0, 0.0)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert t_interval([3.0]) is None


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # unflipped and all flipped are the two farthest from 0
        ([-1.0, -2.0, -3.0], 2 / 8),
        ([1.0, 2.0, -3.0], 1.0),  # no sum is nearer to 0
        ([0.1, 0.2, 0.3, -0.1], 6 / 16),  # 0.7; 0.5 if either 0.1 is flipped; and these flipped
        ([0.0, 0.0], 1.0),
        ([2.0], 1.0),
    ],
)
def test_sign_flip_by_hand(values: list[float], p: float) -> None:
    assert sign_flip(values) == pytest.approx(p)


def test_sign_flip_counts_ties_that_floats_would_separate() -> None:
    rng = np.random.default_rng(3)
    values = [int(v) for v in rng.integers(-9, 20, size=9)]
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in _signs(9)]
    exact = Fraction(sum(one >= abs(sum(values)) for one in sums), len(sums))
    assert sign_flip([v / 720 / 8 for v in values]) == pytest.approx(float(exact))


def _signs(n: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=n))


def test_sign_flip_refuses_more_differences_than_it_enumerates() -> None:
    with pytest.raises(ValueError, match="21 differences"):
        sign_flip([1.0] * 21)


def test_holm_by_hand() -> None:
    # 3 x 0.01, 2 x 0.03, and no less for the largest than for the one before it.
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("apart", [0.0, 0.1, 1.0])
def test_two_level_varies_over_bases_and_their_questions(apart: float) -> None:
    rng = np.random.default_rng(0)
    bases = [[rng.binomial(8, 0.5, 720) / 8 + apart * i] for i in range(6)]
    between = np.var([values.mean() for (values,) in bases]) / 6
    within = np.mean([values.var() for (values,) in bases]) / 6 / 720
    low, high = two_level(bases)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(between + within), rel=0.1)
    assert two_level(bases) == (low, high) != two_level(bases, seed=1)


def test_two_level_resamples_two_sets_of_questions_independently() -> None:
    ones, halves = np.ones(100), np.repeat([0.0, 1.0], 50)
    low, high = two_level([[ones, -halves]])
    assert low < 0.5 < high
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05, rel=0.1)
    assert two_level([[ones, -ones], [ones, -ones]]) == (0.0, 0.0)
