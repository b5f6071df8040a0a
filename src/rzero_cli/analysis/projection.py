"""The projected time of a run, from short runs of its stages on the same machine.

A generating stage takes `fixed + each x texts` seconds: `fixed` is starting, loading and saving.
A training takes `fixed`, and for each step its rollouts, the Solver's answers and the rewards, its
updates, and at times a saved state. Both are measured, so no constant of a machine is assumed. The
upper bound stretches all texts to their token limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rzero_cli.method.plan import Plan


class Run(NamedTuple):
    """A short run of a generating stage."""

    texts: int
    tokens: int
    """Of all texts."""
    work: float
    """Seconds without starting, loading and saving."""
    seconds: float
    """Seconds of the command."""


def _stretch(limit: int, length: float) -> float:
    return max(1.0, limit / max(1.0, length))


@dataclass(frozen=True, slots=True)
class Generation:
    """The cost of a generating stage."""

    fixed: float
    each: float
    """Seconds of one more text."""
    length: float
    """Mean tokens of a text."""
    limit: int
    """Most tokens of a text."""

    @property
    def stretch(self) -> float:
        """The tokens of the longest text for one of a mean text."""
        return _stretch(self.limit, self.length)

    @property
    def tokens_per_second(self) -> float:
        """The rate without starting, loading and saving."""
        return self.length / self.each if self.each else 0.0

    def seconds(self, texts: float, *, longest: bool = False) -> float:
        """Return the seconds of a stage with this many texts, of mean or of longest length."""
        return self.fixed + texts * self.each * (self.stretch if longest else 1.0)


def fit(small: Run, large: Run, limit: int) -> Generation:
    """Return the cost of a stage from two sizes.

    The difference of their work is free of warming up, and of the wait for the longest text where
    the engine takes all at once. If noise makes it negative, the larger run alone counts.
    """
    each = (large.work - small.work) / (large.texts - small.texts)
    if each <= 0:
        each = large.work / large.texts
    return _generation((small, large), each, limit)


def fit_like(one: Run, other: Generation, limit: int) -> Generation:
    """Return the cost of a stage from one run, if a token costs what it costs in another stage."""
    each = other.each * one.tokens / one.texts / max(1.0, other.length)
    return _generation((one,), each, limit)


def _generation(runs: tuple[Run, ...], each: float, limit: int) -> Generation:
    fixed = sum(run.seconds - each * run.texts for run in runs) / len(runs)
    length = sum(run.tokens for run in runs) / sum(run.texts for run in runs)
    return Generation(max(0.0, fixed), each, length, limit)


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of one training step by activity."""

    rollouts: float
    answers: float
    """Of the frozen Solver."""
    rewards: float
    """Work on the CPU, and waiting for other processes."""
    update: float
    """Of one update, with its part of the log-probabilities that TRL computes before the first."""
    saving: float
    """Of a state to resume from."""

    def total(self, updates: int) -> float:
        """Return the seconds of a step with this number of updates."""
        each = self.rollouts + self.answers + self.rewards + self.saving
        return each + updates * self.update


@dataclass(frozen=True, slots=True)
class Further:
    """Seconds of one more rollout in a step, beyond those of the measured step."""

    rollout: float
    answers: float = 0.0
    """The Solver's answers to it."""


@dataclass(frozen=True, slots=True)
class Training:
    """The cost of a training."""

    fixed: float
    step: Step
    size: int
    """Rollouts of the measured step."""
    length: float
    """Mean tokens of its rollouts."""
    limit: int
    """Most tokens of a rollout."""
    updates: int = 1
    """Updates of the measured step."""

    @property
    def stretch(self) -> float:
        """As in `Generation`."""
        return _stretch(self.limit, self.length)

    @property
    def tokens_per_second(self) -> dict[str, float]:
        """The rates of rollouts and of updates, in tokens of the rollouts."""
        tokens, step = self.size * self.length, self.step
        times = {"rollouts": step.rollouts, "updates": self.updates * step.update}
        return {name: tokens / seconds if seconds else 0.0 for name, seconds in times.items()}

    def seconds(
        self,
        plan: Plan,
        save_every: int,
        further: Further,
        *,
        longest: bool = False,
        answer_stretch: float = 1.0,
    ) -> float:
        """Return the seconds of a whole training.

        Args:
            plan: its steps, rollouts and updates.
            save_every: steps between saved states.
            further: the cost of the rollouts that its steps have and the measured step had not.
            longest: stretch all texts to their limits.
            answer_stretch: `Generation.stretch` of the Solver's answers.
        """
        step, more = self.step, plan.rollouts_per_step - self.size
        ours, theirs = (self.stretch, answer_stretch) if longest else (1.0, 1.0)
        each = ours * (step.rollouts + more * further.rollout)
        each += theirs * (step.answers + more * further.answers)
        each += step.rewards * plan.rollouts_per_step / self.size
        each += ours * step.update * plan.updates_per_step
        return self.fixed + plan.steps * each + plan.steps // save_every * step.saving


def training(
    total: float,
    step: Step,
    steps: int,
    *,
    updates: int = 1,
    size: int,
    length: float,
    limit: int,
) -> Training:
    """Return the cost of a training from a run of `total` seconds with `steps` equal steps, one of
    which was measured. What its first step took longer counts as fixed."""
    fixed = max(0.0, total - steps * step.total(updates))
    return Training(fixed, step, size, length, limit, updates)


class Projected(NamedTuple):
    """One stage of the projected run."""

    stage: str
    times: int
    """How often the run has it."""
    seconds: float
    """Each time."""
    at_most: float
    """If every text reached its token limit."""


def whole(stages: list[Projected]) -> tuple[float, float]:
    """Return the seconds of a run, and its upper bound."""
    return (
        sum(one.times * one.seconds for one in stages),
        sum(one.times * one.at_most for one in stages),
    )
