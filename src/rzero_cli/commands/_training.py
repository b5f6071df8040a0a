"""The options and the training run that `challenge` and `train-solver` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rzero_cli.data.journal import check_part
from rzero_cli.data.locks import check_free
from rzero_cli.data.provenance import write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, part_of
from rzero_cli.engines import DEFAULT_BATCH_SIZE
from rzero_cli.engines.models import require
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.engines.shapes import read_model
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.plan import Plan, sizes_of_passes
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
    adapter_shape,
    check_correction,
    check_engine_size,
    check_hardware,
    plan_of,
    reporters_of,
)
from rzero_cli.training.dry_run import print_plan
from rzero_cli.training.launch import (
    is_launched,
    on_cpu,
    processes_here,
    processes_of,
    restarted,
    sharded_by,
)
from rzero_cli.training.layout import (
    Choice,
    FrozenSolver,
    Stage,
    choose,
    devices_here,
    host_memory,
    reasons,
    refuse,
)
from rzero_cli.training.rollouts import Rollouts, check_mode
from rzero_cli.training.settings import Grpo, Hardware
from rzero_cli.training.watching import Watched, line_of, step_of

LORA_FACTOR = 10
"""An adapter's learning rate, relative to that of all weights: the best ratio found by Schulman et
al. (2025, "LoRA Without Regret") for supervised and reinforcement learning."""
_PROMPT_ROOM = 512
"""Tokens of the Solver's prompt around a question."""
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
    stage: Stage | None
    """What the layout depends on; None without GPUs to plan for."""
    chosen: Choice | None
    why: str
    """A line about the choice."""

    @property
    def decided(self) -> dict[str, Any]:
        """The settings that the options may leave open, for the record and for `--resume`."""
        return {
            "processes": self.plan.processes,
            "lora_r": self.hardware.lora_r,
            "lora_alpha": self.hardware.lora_alpha,
            "learning_rate": self.grpo.learning_rate,
        }

    def ready(self) -> Rollouts | None:
        """Check the hardware options before anything heavy is loaded.

        Returns:
            The source of rollouts; None after a dry run, which prints the plan.

        Raises:
            UsageError: an option is unknown or unavailable here, or the training does not fit the
                GPUs.
        """
        template_args(self.batching)
        if self.hardware.rollout_endpoint:
            check_url(self.hardware.rollout_endpoint, "--rollout-endpoint")
        check_correction(self.grpo.rollout_correction, self.hardware.rollouts)
        if self.training.dry_run:
            if not rank():
                assert self.stage is not None
                print_plan(
                    self.call.command,
                    self.plan,
                    self.model,
                    stage=self.stage,
                    as_json=self.training.as_json,
                )
            return None
        if self.training.as_json:
            raise UsageError("--json requires --dry-run")
        reporters_of(self.training.report_to)
        known = preset_value(self.call.command, "optim")
        rollouts = check_hardware(self.model, self.hardware, self.plan.processes, known_optim=known)
        check_correction(self.grpo.rollout_correction, rollouts.mode)
        check_engine_size(rollouts, self.plan)
        if self.stage and self.chosen:
            if not self.chosen.fits:
                refuse(self.stage, self.chosen)
            if not restarted():
                self.call.say(self.why)
                if self.chosen.host > (there := host_memory()):
                    self.call.say(
                        f"loading takes {self.chosen.host:.0f} GiB of host memory, and this "
                        f"machine has {there:.0f}"
                    )
        return rollouts


def plan_training(
    call: Call,
    model: str,
    grpo: Grpo,
    hardware: Hardware,
    rollout: Rollout,
    seed: int,
    batching: Batching,
    training: Training,
    target: Checkpoint,
    solver: FrozenSolver | None = None,
) -> Trained:
    """Return the training with everything decided that the options leave open.

    An adapter is continued in its own shape. On GPUs the layout is chosen (`training/layout.py`).

    Args:
        solver: the frozen Solver, for `challenge`; its shape is read if needed.

    Raises:
        UsageError: a package is not installed, the output exists, the sizes of the plan do not
            divide, or --rollouts is unknown.
        RzeroError: a model's configuration cannot be read.
    """
    require("train", "torch", "transformers", "trl", "accelerate")
    if not training.dry_run:
        _check_output(target)
    check_mode(hardware.rollouts)
    own = adapter_shape(model)
    if own and hardware.lora_r is None:
        hardware = replace(hardware, lora_r=own[0], lora_alpha=own[1])
    stage = choice = None
    why = ""
    processes = processes_of(hardware)
    devices = None if on_cpu(hardware) else devices_here()
    if devices and hardware.gpu_memory:
        typed = training.dry_run or "gpu_memory" in call.typed
        gib = hardware.gpu_memory if typed else min(devices.gib, hardware.gpu_memory)
        devices = replace(devices, gib=gib)
    if devices and not is_launched():
        _check_number(processes, processes_here(hardware), devices.number)
    if devices or training.dry_run:
        if solver and solver.name:
            shape = read_model(solver.name)
            room = rollout.max_tokens + solver.max_tokens + _PROMPT_ROOM
            context = solver.context or min(shape.positions or room, room)
            solver = replace(solver, shape=shape, context=context)
        stage = Stage(
            model=read_model(model),
            grpo=grpo,
            hardware=hardware,
            max_tokens=rollout.max_tokens,
            batch_size=batching.batch_size or DEFAULT_BATCH_SIZE,
            # On a GPU without vLLM, `auto` is refused.
            rollouts="colocate" if hardware.rollouts == "auto" else hardware.rollouts,
            sharded=sharded_by(hardware),
            processes=processes,
            solver=solver,
        )
        if "per_device" not in call.chosen:  # the preset's is for a CPU
            most = grpo.per_device or stage.most_per_pass
            stage = replace(stage, grpo=replace(grpo, per_device=None), most_per_pass=most)
    if devices and stage:
        choice, rest = choose(stage, devices)
        why = reasons(choice, rest)
        processes = choice.plan.processes
        grpo = replace(grpo, per_device=choice.plan.per_device)
        hardware = replace(
            hardware,
            lora_r=choice.lora_r,
            rollout_memory=choice.rollout_memory or None,
            processes=processes,
            accelerate=hardware.accelerate or choice.accelerate,
        )
    if hardware.lora_r and "learning_rate" not in call.chosen:
        rate = float(f"{LORA_FACTOR * grpo.learning_rate:.6g}")  # 10 x 1e-6 is not quite 1e-5
        grpo = replace(grpo, learning_rate=rate)
    hardware = replace(hardware, lora_r=hardware.lora_r or 0)
    if grpo.per_device and "per_device" not in call.chosen:  # the preset's, of another plan
        share = grpo.batch * grpo.group // (processes or 1)
        grpo = replace(grpo, per_device=next(iter(sizes_of_passes(share, grpo.per_device)), None))
    plan = plan_of(grpo, rollout.max_tokens, processes or 1)
    return Trained(
        *(call, model, plan, grpo, hardware, rollout, seed, batching, training, target),
        *(stage, choice, why),
    )


def _check_number(wanted: int | None, here: int, gpus: int) -> None:
    """Raise UsageError if the processes of this machine do not have one GPU each, or one process
    would see several."""
    if wanted and here > gpus:
        raise UsageError(
            f"{here} processes on this machine, which has {gpus} GPU{'s' * (gpus > 1)}: "
            f"--processes {gpus}"
        )
    if wanted == 1 and gpus > 1:
        raise UsageError(
            f"--processes 1 on a machine with {gpus} GPUs: choose one with CUDA_VISIBLE_DEVICES, "
            f"or use all with --processes {gpus}"
        )


def _check_output(checkpoint: Checkpoint) -> None:
    """Raise UsageError if the output exists, or is being made by another process."""
    target, force, resume = Path(checkpoint.output), checkpoint.force, checkpoint.resume
    check_new_directory(target, force=force or resume)
    if not rank():
        check_free(target)
    check_part(part_of(target), force=force, resume=resume)


def run_training(
    options: Trained,
    rows: list[dict[str, Any]],
    reward: Callable[..., list[float]],
    rollouts: Rollouts,
    *,
    parents: list[dict[str, Any]],
    on_rollouts: Callable[[list[str], int], None] | None = None,
    rejected: Mapping[str, int] = {},
) -> None:
    """Train a model and write the checkpoint, with its record of origin."""
    with importing():
        from rzero_cli.training.grpo import lay_out_rows, train
        from rzero_cli.training.saving import open_checkpoint, save_as_it_is

    call, model, plan, output = options.call, options.model, options.plan, options.target.output
    watched = Watched(plan)

    def write_record(part: Path, metrics: dict[str, Any]) -> None:
        record = origin_of(call, output, parents, metrics, options.decided)
        write_checkpoint_meta(part, record | {"plan": plan.as_record()})

    with (
        protect_stdout(),
        reporting_interruption(call, output),
        open_checkpoint(
            Path(output),
            settings=call.compared | options.decided | made_from(parents),
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
            settings=options.decided,
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
            tell({"step": step_of(figures, plan), "spent": call.spent.seconds} | figures)
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
            on_rollouts=on_rollouts,
            spent=call.spent,
            template_args=template_args(options.batching),
            report_to=reporters_of(options.training.report_to),
            run_name="/".join(Path(output).parts[-3:]).lstrip("/"),
        )
        if not rank():
            write_record(part, figures | dict(rejected))
