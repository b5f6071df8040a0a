"""The Solver: it answers each question m times, and the majority is the pseudo-label.

Paper, section 3.3. The label may be wrong; p_hat is the Solver's confidence in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.data.journal import Output
from rzero_cli.engines import Completion, Engine, K, Sampling, in_turn, open_engine
from rzero_cli.method.prompts import Messages, Prompt, prompt_for
from rzero_cli.method.votes import Vote, vote
from rzero_cli.system.stopwatch import ANSWERS, VOTES, Stopwatch


@dataclass(frozen=True, slots=True)
class Labelled:
    """The m answers to one question and their vote."""

    vote: Vote
    answers: list[str | None]
    completions: list[Completion]


@dataclass(frozen=True, slots=True)
class Solver:
    """A frozen Solver with its prompt, sampling settings and answer rules."""

    engine: Engine
    sampling: Sampling
    """Sampling of the answers; m = `sampling.n`."""
    prompt: Messages
    equivalence: Equivalence
    """Decides which answers are equivalent."""
    rules: Rules = PAPER
    """Rules that extract an answer from a completion."""
    spent: Stopwatch = field(default_factory=Stopwatch)
    """Counts the time of generating and of reading and voting."""

    def label(self, questions: Iterable[str], *, seed: int | None = None) -> Iterator[Labelled]:
        """Answer each question m times and yield the votes as a stream, in order.

        Args:
            questions: read lazily, with the engine's look-ahead.
            seed: replaces `sampling.seed`.
        """
        return in_turn(self.answer(enumerate(questions), seed=seed))

    def answer(
        self,
        questions: Iterable[tuple[K, str]],
        *,
        seed: int | None = None,
        done: Collection[int] = (),
        out: Output | None = None,
        numbers: Sequence[int] | None = None,
    ) -> Iterator[tuple[K, Labelled]]:
        """Answer questions as `label` does, but yield each as it finishes, with its item.

        Args:
            questions: (item, question) pairs.
            seed: replaces `sampling.seed`.
            done: indices of questions to skip, as for `Engine.complete`.
            out: keeps answers that wait while others are voted on; holds those of an earlier run.
            numbers: the inputs' numbers in `out`, if they differ from the indices.
        """
        sampling = self.sampling if seed is None else replace(self.sampling, seed=seed)
        skipped, waiting = {*done}, dict[int, str]()
        kept = deque[tuple[K, list[Completion]]]()
        number = numbers.__getitem__ if numbers else lambda place: place

        def prompts() -> Iterator[tuple[tuple[int, K], Prompt]]:
            for place, (item, question) in enumerate(questions):
                if place not in skipped:
                    match None if out is None else out.kept(number(place)):
                        # Input from a pipe may have changed since the earlier run.
                        case [before, list(values)] if before == question:
                            kept.append((item, [Completion(*value) for value in values]))
                            skipped.add(place)
                        case _:
                            waiting[place] = question
                yield (place, item), prompt_for(self.prompt, question)

        def keep(place: int, completions: list[Completion]) -> None:
            values = [[c.text, c.tokens, c.truncated] for c in completions]
            # If the disk is full, writing the next record reports it.
            with suppress(OSError, ValueError):
                if out is not None:
                    out.keep(number(place), [waiting[place], values])

        results = self.engine.complete(
            prompts(), sampling, done=skipped, keep=None if out is None else keep
        )
        for (place, item), completions in self.spent.each(ANSWERS, results):
            while kept:
                earlier, there = kept.popleft()
                yield earlier, self.read(there)
            yield item, self.read(completions)
            del waiting[place]
        for earlier, there in kept:
            yield earlier, self.read(there)

    def read(self, completions: list[Completion]) -> Labelled:
        """Extract the answers from one question's completions and take the vote."""
        with self.spent.during(VOTES):
            answers = [self.rules.read(completion.text) for completion in completions]
            majority = vote(answers, self.equivalence, rule=self.rules.rule)
        return Labelled(majority, answers, completions)


@contextmanager
def open_solver(
    name: str,
    model: str | None,
    sampling: Sampling,
    prompt: Messages,
    *,
    rules: Rules = PAPER,
    spent: Stopwatch | None = None,
    **engine: Any,
) -> Iterator[Solver]:
    """Load a Solver.

    Args:
        name, model, engine: arguments of `engines.open_engine`.
        sampling, prompt, rules, spent: as in `Solver`.

    Raises:
        UsageError, RzeroError: as `engines.open_engine`.
    """
    with (
        open_engine(name, model, **engine) as loaded,
        Equivalence(conventions=rules.conventions) as equivalence,
    ):
        yield Solver(loaded, sampling, prompt, equivalence, rules, spent or Stopwatch())
