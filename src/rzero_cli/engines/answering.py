"""A Solver: it answers each question m times, and the majority is the label.

Paper, section 3.3. The label may be wrong; p_hat says how sure the Solver is of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.data.journal import Output
from rzero_cli.engines import Completion, Engine, K, Sampling, in_turn, open_engine
from rzero_cli.method.prompts import Messages, Prompt, prompt_for
from rzero_cli.method.votes import Vote, vote


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

    def label(self, questions: Iterable[str], *, seed: int | None = None) -> Iterator[Labelled]:
        """Answer each question m times and take the vote, in order, streaming.

        Args:
            questions: read lazily, with the engine's look-ahead.
            seed: instead of the sampling's own.
        """
        return in_turn(self.answer(enumerate(questions), seed=seed))

    def answer(
        self,
        asked: Iterable[tuple[K, str]],
        *,
        seed: int | None = None,
        done: Collection[int] = (),
        out: Output | None = None,
        numbers: Sequence[int] | None = None,
    ) -> Iterator[tuple[K, Labelled]]:
        """Answer questions as `label` does, and yield each as it finishes, with what it belongs to.

        Args:
            asked: questions, each with whatever it belongs to.
            done: places of those to leave out, as for `Engine.complete`.
            out: keeps answers that wait for the vote on others, and has those of an earlier run.
            numbers: of the inputs there, where they are not their places.
        """
        sampling = self.sampling if seed is None else replace(self.sampling, seed=seed)
        skipped, waiting = {*done}, dict[int, str]()
        kept = deque[tuple[K, list[Completion]]]()
        number = numbers.__getitem__ if numbers else lambda place: place

        def prompts() -> Iterator[tuple[tuple[int, K], Prompt]]:
            for place, (item, question) in enumerate(asked):
                if place not in skipped:
                    match None if out is None else out.kept(number(place)):
                        # What comes through a pipe may have changed.
                        case [before, list(values)] if before == question:
                            kept.append((item, [Completion(*value) for value in values]))
                            skipped.add(place)
                        case _:
                            waiting[place] = question
                yield (place, item), prompt_for(self.prompt, question)

        def keep(place: int, completions: list[Completion]) -> None:
            values = [[c.text, c.tokens, c.truncated] for c in completions]
            # A full disk is reported with the next record; after the last one nothing is kept.
            with suppress(OSError, ValueError):
                if out is not None:
                    out.keep(number(place), [waiting[place], values])

        for (place, item), completions in self.engine.complete(
            prompts(), sampling, done=skipped, keep=None if out is None else keep
        ):
            while kept:
                earlier, there = kept.popleft()
                yield earlier, self.read(there)
            yield item, self.read(completions)
            del waiting[place]
        for earlier, there in kept:
            yield earlier, self.read(there)

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
