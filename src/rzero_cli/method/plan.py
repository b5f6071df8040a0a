"""The steps, updates and rollouts of a GRPO stage (paper, section 4.1 and appendix).

A *step* samples `prompts` x `group` rollouts; an *update* of the weights uses `batch` of those
prompts. A step therefore makes `prompts / batch` updates: in the paper's setting 32 for the
Challenger and 4 for the Solver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rzero_cli.errors import UsageError

LENGTH = "completions/mean_length"
"""TRL's metric for the rollouts of a step; logged only with the step's first update."""

MOST_PER_PASS = 8
"""The largest number of rollouts per pass that is chosen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of one training stage."""

    steps: int
    prompts: int
    batch: int
    group: int
    per_device: int
    """Rollouts in one forward and backward pass on one device."""
    processes: int
    max_tokens: int

    @property
    def updates_per_step(self) -> int:
        return self.prompts // self.batch

    @property
    def updates(self) -> int:
        """TRL's `max_steps`."""
        return self.steps * self.updates_per_step

    @property
    def rollouts_per_step(self) -> int:
        """TRL's `generation_batch_size`, and B of the repetition penalty."""
        return self.prompts * self.group

    @property
    def rollouts(self) -> int:
        return self.steps * self.rollouts_per_step

    @property
    def gradient_accumulation(self) -> int:
        return self.batch * self.group // (self.per_device * self.processes)

    @property
    def tokens(self) -> int:
        """An upper bound on the tokens generated."""
        return self.rollouts * self.max_tokens

    def describe(self) -> str:
        """Return a one-line summary."""
        return (
            f"{self.steps} steps x {self.updates_per_step} updates = {self.updates} updates; "
            f"{self.rollouts:,} rollouts ({self.prompts} prompts x {self.group} a step), "
            f"at most {self.tokens:,} tokens"
        )

    def as_record(self) -> dict[str, Any]:
        """Return the fields and the derived numbers, for `rzero.json`."""
        derived = {
            name: getattr(self, name)
            for name in (
                "updates_per_step",
                "updates",
                "rollouts_per_step",
                "rollouts",
                "gradient_accumulation",
                "tokens",
            )
        }
        return asdict(self) | derived


def sizes_of_passes(rollouts: int, most: int) -> list[int]:
    """Return the numbers of rollouts per pass, up to `most`, that divide `rollouts`, largest
    first."""
    return [n for n in range(min(most, rollouts), 0, -1) if rollouts % n == 0]


def make_plan(
    *,
    steps: int,
    prompts: int,
    batch: int,
    group: int,
    max_tokens: int,
    per_device: int | None = None,
    processes: int = 1,
) -> Plan:
    """Return the plan of a stage, with its sizes checked.

    Args:
        steps: sampling steps.
        prompts: prompts in a step.
        batch: prompts in an update; must divide `prompts`.
        group: rollouts per prompt, at least 2.
        max_tokens: the longest completion, in tokens.
        per_device: rollouts in one pass on a device; by default the largest number up to
            MOST_PER_PASS that divides a process's rollouts of an update.
        processes: data-parallel processes.

    Raises:
        UsageError: the sizes do not divide; the message names the options.
    """
    if group < 2:
        raise UsageError("--group must be at least 2: GRPO compares the rollouts of a prompt")
    if prompts % batch:
        raise UsageError(
            f"--prompts {prompts} is not a multiple of --batch {batch}: a step makes prompts/batch "
            "updates"
        )
    rollouts = batch * group
    if rollouts % processes:
        raise UsageError(
            f"--batch {batch} x --group {group} = {rollouts} rollouts an update cannot be split "
            f"over {processes} processes"
        )
    share = rollouts // processes
    chosen = per_device or sizes_of_passes(share, MOST_PER_PASS)[0]
    if share % chosen:
        raise UsageError(
            f"--per-device {chosen} does not divide the {share} rollouts of an update on each "
            "process"
        )
    return Plan(steps, prompts, batch, group, chosen, processes, max_tokens)


def tokens_written(log: Iterable[Mapping[str, float]], rollouts_per_step: int) -> int:
    """Return the number of completion tokens used in updates.

    TRL's own `num_tokens` also counts the prompts.

    Args:
        log: TRL's logged metrics of each update.
        rollouts_per_step: as in `Plan`.
    """
    return round(sum(update.get(LENGTH, 0.0) for update in log) * rollouts_per_step)
