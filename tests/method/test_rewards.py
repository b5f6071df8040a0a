"""The rewards of both roles, each formula worked out by hand."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rzero_cli.method.rewards import (
    ChallengerReward,
    challenger_rewards,
    cluster_questions,
    r_unc,
    solver_format,
    solver_reward,
)

near = pytest.approx


@pytest.mark.parametrize(
    ("majority", "paper", "official"),
    [
        # 1 - 2 |p - 1/2| and min(p, 1 - p) of p = majority / 10
        (0, 0.0, 0.0),
        (1, 0.2, 0.1),
        (3, 0.6, 0.3),
        (5, 1.0, 0.5),
        (7, 0.6, 0.3),
        (9, 0.2, 0.1),
        (10, 0.0, 0.0),
    ],
)
def test_r_unc_by_hand(majority: int, paper: float, official: float) -> None:
    assert r_unc(majority / 10) == near(paper, abs=1e-15)
    assert r_unc(majority / 10, rule="official") == near(official, abs=1e-15)


@given(st.floats(0, 1))
def test_r_unc_is_symmetric_and_largest_at_one_half(p_hat: float) -> None:
    for rule, largest in (("paper", 1.0), ("official", 0.5)):
        assert r_unc(p_hat, rule=rule) == near(r_unc(1 - p_hat, rule=rule), abs=1e-15)
        assert 0 <= r_unc(p_hat, rule=rule) <= largest == r_unc(0.5, rule=rule)


# Two similar questions, a different one and a malformed one: B = 4.
QUESTIONS = [
    "How many primes are there below one hundred?",
    None,
    "How many primes are there below two hundred?",
    "Reverse 123",
]
P_HATS = [0.5, None, 0.8, 0.1]


def test_challenger_rewards_of_the_paper_by_hand() -> None:
    expected = [
        # r_unc - lambda * |cluster| / B = 1 - 2/4
        ChallengerReward(0.5, 1.0, 0.5, 0),
        # malformed: 0, and nothing else is computed
        ChallengerReward(0.0),
        # 0.4 - 2/4 is below 0
        ChallengerReward(0.0, 0.4, 0.5, 0),
        # 0.2 - 1/4 as well
        ChallengerReward(0.0, 0.2, 0.25, 1),
    ]
    check(challenger_rewards(QUESTIONS, P_HATS), expected)


def test_challenger_rewards_of_official_by_hand() -> None:
    expected = [
        # min(p, 1 - p) - |cluster| / B, not clipped
        ChallengerReward(0.0, 0.5, 0.5, 0),
        # malformed: -1 - 1/B
        ChallengerReward(-1.25),
        ChallengerReward(-0.3, 0.2, 0.5, 0),
        ChallengerReward(-0.15, 0.1, 0.25, 1),
    ]
    check(challenger_rewards(QUESTIONS, P_HATS, rule="official", bleu="nltk"), expected)


def check(got: list[ChallengerReward], expected: list[ChallengerReward]) -> None:
    assert [reward.cluster for reward in got] == [reward.cluster for reward in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.as_keys() == near(other.as_keys(), abs=1e-15)


def test_lambda_rep_weighs_the_penalty() -> None:
    half = challenger_rewards(QUESTIONS, P_HATS, lambda_rep=0.5)
    assert [r.r_rep for r in half] == [0.25, None, 0.25, 0.125]
    assert half[0].reward == near(1.0 - 0.25)
    without = challenger_rewards(QUESTIONS, P_HATS, lambda_rep=0)
    assert [r.reward for r in without] == near([1.0, 0.0, 0.4, 0.2])


def test_higher_tau_bleu_joins_more_questions() -> None:
    rewards = challenger_rewards(QUESTIONS, P_HATS, tau_bleu=1.0)
    assert rewards[0].cluster == rewards[2].cluster
    rewards = challenger_rewards(QUESTIONS, P_HATS, tau_bleu=0.01)
    assert [r.r_rep for r in rewards] == [0.25, None, 0.25, 0.25]


def test_batch_of_copies_earns_nothing() -> None:
    # |cluster| / B = 1 of all that r_unc can give
    assert {r.reward for r in challenger_rewards(["same question"] * 5, [0.5] * 5)} == {0.0}
    different = [f"{chr(97 + i)} {chr(107 + i)} {i}" for i in range(10)]
    rewards = challenger_rewards(different, [0.5] * 10, tau_bleu=0.1)
    assert [r.reward for r in rewards] == near([0.9] * 10)


def test_rewards_of_malformed_and_empty_batches() -> None:
    assert [r.reward for r in challenger_rewards([None] * 4, [None] * 4)] == [0.0] * 4
    official = challenger_rewards([None] * 4, [None] * 4, rule="official")
    assert [r.reward for r in official] == [-1.25] * 4
    assert challenger_rewards([], []) == []


def test_question_without_p_hat_raises_value_error() -> None:
    with pytest.raises(ValueError, match="question 1 is well-formed but has no p_hat"):
        challenger_rewards(["a", "b"], [0.5, None])
    with pytest.raises(ValueError, match="1 questions but 2 p_hats"):
        challenger_rewards(["a"], [0.5, 0.6])
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="of question 0 is not between 0 and 1"):
            challenger_rewards(["a"], [wrong])


batches = st.lists(
    st.tuples(
        st.none() | st.lists(st.sampled_from("abcde"), min_size=1, max_size=8).map(" ".join),
        st.integers(0, 10).map(lambda majority: majority / 10),
    ),
    min_size=1,
    max_size=12,
)


@given(batches, st.randoms(use_true_random=False))
def test_rewards_ignore_the_order_of_a_batch(
    batch: list[tuple[str | None, float]], rng: random.Random
) -> None:
    # Ties between two merges are broken by position, which the formula allows.
    order = list(range(len(batch)))
    rng.shuffle(order)
    questions, p_hats = zip(*batch, strict=True)
    shuffled = [questions[i] for i in order]
    valid = [q for q in questions if q is not None]
    assume(partition(valid) == partition([q for q in shuffled if q is not None]))
    rewards = challenger_rewards(questions, p_hats)
    again = challenger_rewards(shuffled, [p_hats[i] for i in order])
    assert [rewards[i].reward for i in order] == [r.reward for r in again]


def partition(questions: list[str]) -> Counter[tuple[str, ...]]:
    clusters = cluster_questions(questions)
    return Counter(
        tuple(sorted(q for q, c in zip(questions, clusters, strict=True) if c == cluster))
        for cluster in set(clusters)
    )


@given(batches)
def test_reward_formulas_hold_for_any_batch(batch: list[tuple[str | None, float]]) -> None:
    questions, p_hats = zip(*batch, strict=True)
    size = len(batch)
    for rule in ("paper", "official"):
        rewards = challenger_rewards(questions, p_hats, rule=rule)
        members = Counter(r.cluster for r in rewards)
        for question, p_hat, r in zip(questions, p_hats, rewards, strict=True):
            p = Fraction(round(10 * p_hat), 10)
            if question is None:
                malformed = 0 if rule == "paper" else -1 - Fraction(1, size)
                assert r == ChallengerReward(near(float(malformed), abs=1e-12))
                continue
            r_rep = Fraction(members[r.cluster], size)
            r_unc = 1 - 2 * abs(p - Fraction(1, 2)) if rule == "paper" else min(p, 1 - p)
            reward = max(0, r_unc - r_rep) if rule == "paper" else r_unc - r_rep
            assert r.r_rep == near(float(r_rep), abs=1e-12)
            assert r.r_unc == near(float(r_unc), abs=1e-12)
            assert r.reward == near(float(reward), abs=1e-12)


# ---------------------------------------------------------------- the Solver


@pytest.mark.parametrize(
    ("completion", "good"),
    [
        (r"<think>hm</think> so \boxed{5}", True),
        (r"<think></think>\boxed{}", True),
        (r"well <think>hm</think> \boxed{5} there", True),
        (r"\boxed{5}", False),
        (r"<think>\boxed{5}</think>", False),
        (r"</think>\boxed{5}<think>", False),
        (r"<think>hm \boxed{5}", False),
        (r"<think>hm</think> \boxed{5", False),
        (r"<think>hm</think> 5", False),
        ("", False),
    ],
)
def test_solver_format(completion: str, good: bool) -> None:
    assert solver_format(completion) == good


@pytest.mark.parametrize(
    ("correct", "formatted", "official"),
    # 0.9 * accuracy + 0.1 * format
    [(True, True, 1.0), (True, False, 0.9), (False, True, 0.1), (False, False, 0.0)],
)
def test_solver_reward(correct: bool, formatted: bool, official: float) -> None:
    completion = r"<think>hm</think> \boxed{5}" if formatted else r"\boxed{5}"
    assert solver_reward(correct, completion) == float(correct)
    assert solver_reward(correct, completion, rule="official") == near(official, abs=1e-15)
