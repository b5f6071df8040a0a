"""The part of `rzero preflight` that runs no stage: the machine, and the plan of both trainings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from rzero_cli.commands._training import Rollout, Trained, Training, plan_training
from rzero_cli.commands.challenge import SolverAnswers
from rzero_cli.data.provenance import host
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import Plan
from rzero_cli.options.command import Call, fields_of
from rzero_cli.options.engine import EngineChoice
from rzero_cli.options.file_groups import Checkpoint
from rzero_cli.options.model_groups import EngineOptions, SolverEngine
from rzero_cli.training.layout import USABLE, devices_here, refuse
from rzero_cli.training.memory import Layout, estimate
from rzero_cli.training.rollouts import choose_rollouts
from rzero_cli.training.settings import Grpo, Hardware

G = TypeVar("G")


class Planned(NamedTuple):
    """A training of the run."""

    plan: Plan
    save_every: int
    engines: int
    """vLLM engines that generate its rollouts; 0 for transformers."""


@dataclass(frozen=True)
class Plans:
    """The machine and the trainings."""

    machine: dict[str, Any]
    """`provenance.host`, with `gpu_gib`, the memory of the smallest GPU; None without one."""
    memory: dict[str, dict[str, Any]]
    """For each training `layout` (a line), `gib` (parts and peak), `usable` (GiB), `fits`, and
    `advice`: what to change if it does not fit, else None."""
    planned: dict[str, Planned]


def make_plans(
    call: Call, challenger: str, solver: str, engine: EngineOptions, choice: EngineChoice
) -> Plans:
    """Plan both trainings; loads torch and the shapes of the models.

    Raises:
        UsageError, RzeroError: as `plan_training` and `choose_rollouts`.
    """
    devices = devices_here()
    machine = host() | {"gpu_gib": devices and round(devices.gib, 1)}
    frozen = call.group(SolverAnswers, "challenge").frozen(
        solver, choice, engine, served=served_elsewhere(call)
    )
    memory, planned = {}, {}
    for stage, model, other in (("challenge", challenger, frozen), ("train-solver", solver, None)):
        grpo = call.group(Grpo, stage)
        trained = plan_training(
            call,
            model,
            grpo,
            with_typed(call, Hardware, stage),
            call.group(Rollout, stage),
            0,
            engine,
            Training(dry_run=True),
            Checkpoint(output=""),
            other,
        )
        memory[stage] = _memory(trained, machine["memory_gib"])
        rollouts = choose_rollouts(trained.hardware, trained.plan.processes)
        engines = 0
        if rollouts.mode != "transformers":
            engines = max(1, trained.plan.processes // rollouts.tensor_parallel_size)
        planned[stage] = Planned(trained.plan, grpo.save_every, engines)
    return Plans(machine, memory, planned)


def served_elsewhere(call: Call) -> bool:
    """Return whether the configuration has the Solver of `challenge` served."""
    engine = call.group(SolverEngine, "challenge")
    return bool(engine.solver_gpus or engine.solver_endpoint)


def with_typed(call: Call, kind: type[G], stage: str) -> G:
    """Return a group with a stage's values, and those typed for this command."""
    typed = {name: call.value(name) for name, *_ in fields_of(kind) if name in call.typed}
    return replace(call.group(kind, stage), **typed)  # type: ignore[type-var]


def _memory(trained: Trained, ram: float) -> dict[str, Any]:
    """Return the memory of a training on this machine: of each GPU, or without any of the CPU's
    processes together."""
    stage, choice, plan = trained.stage, trained.chosen, trained.plan
    assert stage is not None  # a dry run has it
    if choice is not None:
        usable, advice = USABLE * choice.devices.gib, None
        if not choice.fits:
            try:
                refuse(stage, choice)
            except UsageError as error:
                advice = str(error)
        return _record(trained.why, choice.gib, usable, advice)
    hardware, solver = trained.hardware, stage.solver
    r = hardware.lora_r or 0
    layout = Layout(
        plan,
        checkpointing=bool(hardware.gradient_checkpointing),
        adapter=stage.model.adapter(r, hardware.lora_targets) if r else 0,
        eight_bit="8bit" in hardware.optim,
        reference=trained.grpo.beta > 0,
        autocast=False,
    )
    gib = estimate(
        stage.model,
        layout,
        batch_size=stage.batch_size,
        solver=solver.shape if solver else None,
        solver_tokens=solver.max_tokens if solver else 0,
    )
    gib = {name: plan.processes * size for name, size in gib.items()}
    usable, advice = USABLE * ram, None
    if gib["peak"] > usable:
        advice = (
            f"this training takes {gib['peak']:.0f} GiB and this machine, which has no GPU, leaves "
            f"{usable:.0f}: use a GPU machine, a smaller model, --lora-r 16, or lower --batch-size"
        )
    return _record("on the CPU, in float32", gib, usable, advice)


def _record(
    layout: str, gib: dict[str, float], usable: float, advice: str | None
) -> dict[str, Any]:
    fits = advice is None
    return {"layout": layout, "gib": gib, "usable": usable, "fits": fits, "advice": advice}
