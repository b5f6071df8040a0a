"""The options and the training run that `challenge` and `train-solver` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rzero_cli.data.journal import check_part
from rzero_cli.data.locks import check_free
from rzero_cli.data.provenance import write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, part_of
from rzero_cli.engines import DEFAULT_BATCH_SIZE
from rzero_cli.engines.models import require
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.plan import Plan
from rzero_cli.options.command import Call
from rzero_cli.options.engine import check_url, template_args
from rzero_cli.options.file_groups import Checkpoint, Json
from rzero_cli.options.method_groups import PromptFile
from rzero_cli.options.model_groups import Batching
from rzero_cli.options.presets import preset_value
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import made_from, origin_of, reporting_interruption
from rzero_cli.system.processes import importing, rank
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.training.checks import (
    REPORTERS,
    check_engine_size,
    check_hardware,
    reporters_of,
)
from rzero_cli.training.dry_run import FrozenSolver, print_plan
from rzero_cli.training.rollouts import Rollouts
from rzero_cli.training.settings import Grpo, Hardware
from rzero_cli.training.watching import Watched, line_of, step_of

LEAST_LORA_RATE = 1e-5
"""At 1e-6, the paper's rate for all weights, 160 updates of one sign change an adapted matrix by
7e-4 of its size; at 1e-4 by 7e-2."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Rollout(PromptFile, SamplingOptions):
    """The prompt and the sampling settings of rollouts."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Training(Json):
    """The options of the dry run and of metric reporting."""

    dry_run: bool = option(
        "Print the plan and a memory estimate, then stop; --json prints them as JSON.",
        default=False,
        recorded=False,
    )
    report_to: list[str] | None = option(
        f"Also log each update's metrics to {', '.join(REPORTERS)}. May be repeated.",
        default=None,
        metavar="NAME",
        recorded=False,
    )


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A training: its model, plan and options."""

    call: Call
    model: str
    plan: Plan
    grpo: Grpo
    hardware: Hardware
    rollout: Rollout
    seed: int
    batching: Batching
    training: Training
    target: Checkpoint

    def ready(self, solver: FrozenSolver | None = None) -> Rollouts | None:
        """Check the hardware options and the output before anything heavy is loaded.

        Args:
            solver: the frozen Solver, for `challenge`.

        Returns:
            The source of rollouts; None after a dry run, which prints the plan.

        Raises:
            UsageError: an option is unknown or unavailable here, or the output exists.
        """
        require("train", "torch", "transformers", "trl", "accelerate")
        template_args(self.batching)
        if self.hardware.rollout_endpoint:
            check_url(self.hardware.rollout_endpoint, "--rollout-endpoint")
        if self.training.dry_run:  # the plan may be for another machine
            if not rank():
                print_plan(
                    self.call.command,
                    self.plan,
                    self.model,
                    grpo=self.grpo,
                    hardware=self.hardware,
                    batch_size=self.batching.batch_size,
                    solver=solver,
                    as_json=self.training.as_json,
                )
            return None
        if self.training.as_json:
            raise UsageError("--json requires --dry-run")
        reporters_of(self.training.report_to)
        known = preset_value(self.call.command, "optim")
        rollouts = check_hardware(self.model, self.hardware, known_optim=known)
        check_engine_size(rollouts, self.plan)
        target, force, resume = Path(self.target.output), self.target.force, self.target.resume
        check_new_directory(target, force=force or resume)
        if not rank():
            check_free(target)
        check_part(part_of(target), force=force, resume=resume)
        return rollouts


def run_training(
    options: Trained,
    rows: list[dict[str, Any]],
    reward: Callable[..., list[float]],
    rollouts: Rollouts,
    *,
    parents: list[dict[str, Any]],
    rejected: Mapping[str, int] = {},
) -> None:
    """Train a model and write the checkpoint, with its record of origin."""
    with importing():
        from rzero_cli.training.grpo import lay_out_rows, train
        from rzero_cli.training.saving import open_checkpoint, save_as_it_is

    call, model, plan, output = options.call, options.model, options.plan, options.target.output
    # Recorded here because a launcher can set it without any option.
    processes = {"processes": plan.processes}
    watched = Watched(plan)

    def write_record(part: Path, metrics: dict[str, Any]) -> None:
        record = origin_of(call, output, parents, metrics, processes)
        write_checkpoint_meta(part, record | {"plan": plan.as_record()})

    with (
        protect_stdout(),
        reporting_interruption(call, output),
        open_checkpoint(
            Path(output),
            settings=call.compared | processes | made_from(parents),
            resume=options.target.resume,
            force=options.target.force,
        ) as (part, finished),
        progress(
            call,
            plan.updates,
            lambda: watched.seen,
            unit="updates",
            # Each step samples its rollouts before its first update.
            points=2 * plan.updates_per_step + 1,
            settings=processes,
        ) as tell,
    ):
        if finished:  # except for the rename
            return
        if not rows:
            call.say("no questions to train on: the model is saved unchanged")
            if not rank():
                save_as_it_is(model, part)
                write_record(part, {"trained": False, **rejected})
            return
        call.say(plan.describe())
        if rollouts.notice:
            call.say(rollouts.notice)
        if options.hardware.lora_r and options.grpo.learning_rate < LEAST_LORA_RATE:
            call.say(
                f"--learning-rate {options.grpo.learning_rate:g} hardly changes an adapter: "
                f"use {LEAST_LORA_RATE:g} to 1e-4"
            )

        def on_update(figures: dict[str, Any]) -> None:
            watched.add(figures)
            if "loss" not in figures:  # no update has run yet
                return
            tell({"step": step_of(figures, plan)} | figures)
            if "reward" in figures:
                call.say(line_of(figures, plan))

        figures = train(
            model,
            lay_out_rows(rows, plan, options.seed),
            reward,
            plan=plan,
            grpo=options.grpo,
            hardware=options.hardware,
            sampling=options.rollout,
            seed=options.seed,
            part=part,
            batch_size=options.batching.batch_size or DEFAULT_BATCH_SIZE,
            on_update=on_update,
            rollouts=rollouts,
            template_args=template_args(options.batching),
            report_to=reporters_of(options.training.report_to),
            run_name="/".join(Path(output).parts[-3:]).lstrip("/"),
        )
        if not rank():
            write_record(part, figures | dict(rejected))
