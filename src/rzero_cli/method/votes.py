"""Majority vote: m answers to one question -> pseudo-label and empirical accuracy (section 3.3).

    y~    = the largest class of equivalent answers
    p_hat = (answers in that class) / m

An unreadable answer counts in m but never in the majority. The paper does not define ties: here the
class with the smallest canonical key wins, so the order of the answers never matters.

`official` divides by m minus the empty boxes, as the authors' code does. Three of its other rules
are not reproduced because they are defects: an answer without a box votes as the text "None", any
two answers that contain "no " are equal, and which answers are compared depends on their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Any

from rzero_cli.answers import Conventions, canonical_key, latex_form
from rzero_cli.answers.equivalence import Equivalence


@dataclass(frozen=True)
class Vote:
    """The outcome of one vote.

    Attributes:
        answer: the pseudo-label y~, None if no answer was readable.
        p_hat: majority / m, 0.0 if no answer was readable.
        m: number of answers, including unreadable ones.
        majority: size of the largest class.
        votes: label of each class -> its size, largest first.
    """

    answer: str | None
    p_hat: float
    m: int
    majority: int
    votes: dict[str, int]


def vote(answers: Sequence[str | None], equivalence: Equivalence, *, rule: str = "paper") -> Vote:
    """Return the majority of the answers.

    Args:
        answers: m answers, None if unreadable, blank for an empty box.
        equivalence: decides which answers are equivalent.
        rule: "paper" or "official", which excludes empty boxes from p_hat's denominator.

    Raises:
        TypeError: an answer is neither text nor None.
    """
    if wrong := [answer for answer in answers if not isinstance(answer, (str, NoneType))]:
        kind = type(wrong[0]).__name__
        raise TypeError(f"answer {wrong[0]!r} is of type {kind}: give texts, None if unreadable")
    counts = Counter(answer for answer in answers if answer and not answer.isspace())
    classes = []
    for spellings in equivalence.classes(counts):
        size = sum(counts[spelling] for spelling in spellings)
        classes.append((-size, _class_key(spellings, equivalence.conventions), spellings))
    classes.sort()
    votes = {_label(spellings, counts): -size for size, _, spellings in classes}
    m, majority = len(answers), max(votes.values(), default=0)
    counted = m if rule == "paper" else m - sum(a is not None and not a.strip() for a in answers)
    p_hat = majority / counted if majority else 0.0
    return Vote(next(iter(votes), None), p_hat, m, majority, votes)


def _class_key(spellings: list[str], conventions: Conventions) -> tuple[bool, str]:
    """Return the sort key of a class: its canonical key, or after all others its smallest LaTeX."""
    keys = [canonical_key(spelling, conventions) for spelling in spellings]
    if known := [key for key in keys if key is not None]:
        return False, min(known)
    return True, min(latex_form(spelling, conventions) for spelling in spellings)


def _label(spellings: list[str], counts: Counter[str]) -> str:
    """Return the most frequent spelling, then the shortest, then the first in code-point order."""
    return min(spellings, key=lambda spelling: (-counts[spelling], len(spelling), spelling))


def vote_keys(vote: Vote, answers: list[str | None]) -> dict[str, Any]:
    """Return the keys that `label` and `vote` add to a record."""
    tally = asdict(vote)
    votes = tally.pop("votes")
    return tally | {"answers": answers, "votes": votes}
