"""A Solver: it answers each question m times, and the majority is the label.

Paper, section 3.3. The label may be wrong; p_hat says how sure the Solver is of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.engines import Completion, Engine, Sampling, open_engine
from rzero_cli.engines.ahead import Ahead
from rzero_cli.errors import DataError
from rzero_cli.method.prompts import Messages, prompt_for
from rzero_cli.method.votes import Vote, vote, vote_keys

__all__ = ["InStep", "Labelled", "Solver", "label_record", "open_solver"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Labelled:
    """The m answers to one question and their vote."""

    vote: Vote
    answers: list[str | None]
    completions: list[Completion]


@dataclass(frozen=True, slots=True)
class Solver:
    """A frozen Solver, and how it is asked."""

    engine: Engine
    sampling: Sampling
    """m = `sampling.n`, and how answers are drawn."""
    prompt: Messages
    equivalence: Equivalence
    """Decides which answers are the same."""
    rules: Rules = PAPER
    """How answers are read."""

    def label(
        self,
        questions: Iterable[str],
        *,
        seed: int | None = None,
        start: int = 0,
        ahead: Ahead | None = None,
    ) -> Iterator[Labelled]:
        """Answer each question m times and take the vote, in order, streaming.

        Args:
            questions: read lazily, with the engine's look-ahead.
            seed: instead of the sampling's own.
            start: questions to leave out because an earlier run has them.
            ahead: as for the engine.
        """
        sampling = self.sampling if seed is None else replace(self.sampling, seed=seed)
        prompts = (prompt_for(self.prompt, question) for question in questions)
        return map(self.read, self.engine.generate(prompts, sampling, start=start, ahead=ahead))

    def read(self, completions: list[Completion]) -> Labelled:
        """The answers in the completions of one question, and their vote."""
        answers = [self.rules.read(completion.text) for completion in completions]
        return Labelled(vote(answers, self.equivalence, rule=self.rules.rule), answers, completions)


@contextmanager
def open_solver(
    name: str,
    model: str | None,
    sampling: Sampling,
    prompt: Messages,
    *,
    rules: Rules = PAPER,
    **engine: Any,
) -> Iterator[Solver]:
    """Load a Solver.

    Args:
        name, model, engine: as for `engines.open_engine`, which says what can go wrong.
        sampling, prompt, rules: as `Solver` has them.
    """
    with (
        open_engine(name, model, **engine) as loaded,
        Equivalence(conventions=rules.conventions) as equivalence,
    ):
        yield Solver(loaded, sampling, prompt, equivalence, rules)


def label_record(record: dict[str, Any], labelled: Labelled) -> dict[str, Any]:
    """`record` with label's keys added, or replaced where they were there."""
    return record | vote_keys(labelled.vote, labelled.answers)


class InStep(Generic[T]):
    """Inputs given to an engine that reads ahead, remembered until their results come out.

    A bad input ends the stream instead of the run: the results of those before it come out first,
    then `end` raises the error.
    """

    def __init__(self, items: Iterable[T], question: Callable[[T], str], *, start: int = 0) -> None:
        self._items, self._question, self._start = items, question, start
        self._waiting: deque[T] = deque()
        self._error: DataError | None = None

    def questions(self) -> Iterator[str]:
        """The question of each input, for the engine."""
        try:
            for number, item in enumerate(self._items):
                question = self._question(item)
                if number >= self._start:
                    self._waiting.append(item)
                yield question
        except DataError as error:
            self._error = error

    def next(self) -> T:
        """The input that the next result belongs to."""
        return self._waiting.popleft()

    def end(self) -> None:
        """Raise the error that ended the stream early, if one did."""
        if self._error:
            raise self._error
