"""`rzero vote` and `rzero grade`: the vote and the verdict on answers that are there already.

Each function here is opened once in every process of `core.pool`, with a worker of its own for
what has no canonical key. A completion is read in that process too: it can be long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from rzero_cli.core.equivalence import Equivalence
from rzero_cli.core.reading import Rules
from rzero_cli.core.streams import Line
from rzero_cli.core.votes import Vote, vote

__all__ = ["Graded", "Voted", "open_grader", "open_voter", "vote_keys", "vote_metrics"]


@dataclass(frozen=True, slots=True)
class Voted:
    """The answers to one question and their vote."""

    vote: Vote
    answers: list[str | None]
    timeouts: int
    """Comparisons that were given up."""


@dataclass(frozen=True, slots=True)
class Graded:
    """An answer and whether it equals its reference."""

    extracted: str | None
    correct: bool
    timeouts: int


@contextmanager
def open_voter(
    rules: Rules,
) -> Iterator[Callable[[tuple[Sequence[str | None], bool]], Voted]]:
    """A function of (answers, whether they are raw completions) that takes their vote."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(argument: tuple[Sequence[str | None], bool]) -> Voted:
            texts, raw = argument
            answers = [rules.read(text or "") if raw else text for text in texts]
            before = equivalence.timeouts
            result = vote(answers, equivalence, rule=rules.rule)
            return Voted(result, answers, equivalence.timeouts - before)

        yield work


@contextmanager
def open_grader(rules: Rules) -> Iterator[Callable[[tuple[str | None, bool, str]], Graded]]:
    """A function of (answer, whether it is a raw completion, reference) that grades it."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(argument: tuple[str | None, bool, str]) -> Graded:
            text, raw, reference = argument
            answer = rules.read(text or "") if raw else text
            if not answer or answer.isspace():
                return Graded(None, False, 0)
            before = equivalence.timeouts
            correct = equivalence.equal(answer, reference)
            return Graded(answer, correct, equivalence.timeouts - before)

        yield work


def vote_keys(vote: Vote, answers: list[str | None]) -> dict[str, Any]:
    """What `label` and `vote` add to a record."""
    tally = asdict(vote)
    votes = tally.pop("votes")
    return tally | {"answers": answers, "votes": votes}


def vote_metrics(lines: Iterable[Line]) -> dict[str, float]:
    """The figures of a labelled file."""
    count = unlabelled = 0
    total = 0.0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the count is reported
        unlabelled += line.record["answer"] is None
        total += line.record["p_hat"]
    return {"questions": count, "unlabelled": unlabelled, "p_hat_mean": total / max(1, count)}
