"""The confidence interval of a mean: golden values, properties, coverage by simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.analysis.intervals import mean_interval, sums_interval

shares = st.lists(st.floats(0, 1), min_size=1, max_size=40)
verdicts = st.lists(st.booleans(), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Wilson's interval as tabulated: 0 of 10, 5 of 10, 1 of 1, 90 of 100.
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1, 1, 0.2065, 1.0), (90, 100, 0.8256, 0.9448)],
)
def test_binary_scores_get_wilsons_interval(right: int, n: int, low: float, high: float) -> None:
    assert mean_interval([1] * right + [0] * (n - right)) == pytest.approx(
        (right / n, low, high), abs=5e-5
    )


def test_interval_of_equal_scores_by_hand() -> None:
    # n = 4, mean 1/2, no variance: (0 + z^2/4) / (4 + z^2) = 0.12247, so 8.1653 questions, and
    # 1.95996 / 1.47047 * sqrt(0.030617 + 0.014405) = 0.28281.
    assert mean_interval([0.5] * 4) == pytest.approx((0.5, 0.21719, 0.78281), abs=2e-5)


def wilson(p: float, n: float) -> tuple[float, float]:
    """The two roots of (p - x)^2 = z^2 x (1 - x) / n, from the quadratic formula."""
    z = 1.959963984540054
    a, b, c = 1 + z * z / n, -(2 * p + z * z / n), p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@given(verdicts)
def test_interval_ends_are_the_roots_of_the_score_equation(values: list[bool]) -> None:
    mean, low, high = mean_interval(values)
    assert (low, high) == pytest.approx(wilson(mean, len(values)), abs=1e-9)


@given(shares)
def test_interval_contains_the_mean_within_0_and_1(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    assert 0 <= low <= mean <= high <= 1
    assert low < high


@given(shares, st.randoms(use_true_random=False))
def test_interval_ignores_the_order_of_questions(
    values: list[float], chance: random.Random
) -> None:
    shuffled = chance.sample(values, len(values))
    assert mean_interval(shuffled) == pytest.approx(mean_interval(values), abs=1e-12)


@given(st.lists(st.integers(0, 8).map(lambda right: right / 8), min_size=1, max_size=40))
def test_interval_of_flipped_scores_is_mirrored(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    mirrored = mean_interval([1 - v for v in values])
    assert mirrored == pytest.approx((1 - mean, 1 - high, 1 - low), abs=1e-9)


@given(shares)
def test_fractional_scores_are_never_less_certain_than_binary_ones(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    widest = wilson(mean, len(values))
    assert widest[0] - 1e-9 <= low
    assert high <= widest[1] + 1e-9


@given(shares)
def test_interval_narrows_with_more_questions(values: list[float]) -> None:
    _, low, high = mean_interval(values)
    _, low4, high4 = mean_interval(values * 4)
    assert high4 - low4 < high - low


def beta(a: float, b: float):
    return lambda chance: chance.betavariate(a, b)


def constant(p: float):
    return lambda chance: p


def hopeless(share: float, p: float):
    """Most questions are beyond the model, some it gets right with probability p."""
    return lambda chance: p if chance.random() < share else 0.0


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("k", [1, 8, 32])
@pytest.mark.parametrize(
    ("difficulty", "truth"),
    [
        (beta(0.3, 0.7), 0.3),
        (beta(5, 5), 0.5),
        (constant(0.4), 0.4),
        (hopeless(0.5, 0.8), 0.4),
    ],
)
def test_interval_covers_the_truth_as_often_as_stated(n, k, difficulty, truth) -> None:
    chance, runs, covered = random.Random(0), 600, 0
    for _ in range(runs):
        chances = [difficulty(chance) for _ in range(n)]
        _, low, high = mean_interval(
            [sum(chance.random() < p for _ in range(k)) / k for p in chances]
        )
        covered += low <= truth <= high
    # 95 % less what discreteness takes (Wilson's own dips) and three standard errors of 600 runs.
    assert covered / runs > 0.915


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_interval_from_sums_equals_interval_from_values(values: list[float]) -> None:
    sums = len(values), sum(values), sum(value**2 for value in values)
    assert sums_interval(*sums) == pytest.approx(mean_interval(values), abs=1e-6)
