"""Majority votes: pseudo-label, p_hat, independence from the order of answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.method.votes import Vote, vote


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as equivalence:
        yield equivalence


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["7", "7", "8"], Vote("7", 2 / 3, 3, 2, {"7": 2, "8": 1})),
        # unreadable answers count in m but never in the majority
        (["7", None, None, None], Vote("7", 0.25, 4, 1, {"7": 1})),
        ([None, None], Vote(None, 0.0, 2, 0, {})),
        (["7", "", " "], Vote("7", 1 / 3, 3, 1, {"7": 1})),
        ([], Vote(None, 0.0, 0, 0, {})),
        # the most frequent spelling is the label, then the shortest, then the first
        (["1/2", "0.5", "0.5", "2"], Vote("0.5", 0.75, 4, 3, {"0.5": 3, "2": 1})),
        (["0.50", "1/2", r"\frac12"], Vote("1/2", 1.0, 3, 3, {"1/2": 3})),
        (["1/2", "0.5"], Vote("0.5", 1.0, 2, 2, {"0.5": 2})),
        # a tie goes to the smallest key: "10" < "9" as text
        (["9", "10"], Vote("10", 0.5, 2, 1, {"10": 1, "9": 1})),
        ([r"\sin x", "yes"], Vote("yes", 0.5, 2, 1, {"yes": 1, r"\sin x": 1})),
        # classes that need the worker
        ([r"\log_2 8", "3", "4", None], Vote("3", 0.5, 4, 2, {"3": 2, "4": 1})),
    ],
)
def test_vote_by_hand(equivalence: Equivalence, answers: list[str | None], expected: Vote) -> None:
    for order in (answers, answers[::-1]):
        result = vote(order, equivalence)
        assert result == expected
        assert list(result.votes) == list(expected.votes)


@pytest.mark.parametrize(
    ("answers", "p_hat"),
    [
        (["7", "7", "8", ""], 2 / 3),  # the empty box is not counted
        (["7", "7", "8", None], 2 / 4),  # a missing one counts in m but has no vote
        (["no idea", "no clue", "7"], 1 / 3),  # containing "no " does not make them equal
        (["", " "], 0.0),
    ],
)
def test_official_rule_ignores_empty_boxes(
    equivalence: Equivalence, answers: list[str | None], p_hat: float
) -> None:
    result = vote(answers, equivalence, rule="official")
    assert result.p_hat == p_hat
    assert result.m == len(answers)


ANSWERS = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(["1", "1.0", "1/2", "0.5", "yes", r"\text{Yes}", r"2^n", r"\cos 0"]),
        st.text(max_size=4),
    ),
    max_size=12,
)


@settings(max_examples=80)
@given(ANSWERS, st.randoms(use_true_random=False))
def test_vote_satisfies_its_invariants_in_any_order(
    equivalence: Equivalence, answers: list[str | None], random: Any
) -> None:
    result = vote(answers, equivalence)
    readable = [answer for answer in answers if answer is not None and answer.strip()]
    assert result.m == len(answers)
    assert sum(result.votes.values()) == len(readable)
    assert result.p_hat == (result.majority / result.m if answers else 0.0)
    assert round(result.p_hat * result.m) == pytest.approx(result.p_hat * result.m)
    assert list(result.votes.values()) == sorted(result.votes.values(), reverse=True)
    assert result.answer == (next(iter(result.votes)) if readable else None)
    assert set(result.votes) <= set(readable)
    random.shuffle(answers)
    shuffled = vote(answers, equivalence)
    assert shuffled == result
    assert list(shuffled.votes) == list(result.votes)


def test_answers_that_are_not_text_are_refused(equivalence: Equivalence) -> None:
    with pytest.raises(TypeError, match="answer 1 is of type int: give texts, None if unreadable"):
        vote([1, 1, 2], equivalence)  # type: ignore[list-item]
