"""The layout of a training on the GPUs of this machine, chosen before anything is loaded.

The first layout that fits is chosen, by the estimate of `memory.py` and with a tenth of each GPU to
spare. All weights come before an adapter, a whole copy on each GPU before shards (FSDP2), and many
rollouts per pass before few. An adapter is not sharded. Given options are not changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor
from typing import Any, NoReturn

from rzero_cli.engines.shapes import Model
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import MOST_PER_PASS, Plan, sizes_of_passes
from rzero_cli.training.checks import plan_of
from rzero_cli.training.memory import ASLEEP, PHASES, Layout, estimate, host_estimate, least_engine
from rzero_cli.training.settings import Grpo, Hardware

USABLE = 0.9
"""Fraction of a GPU's memory to plan with; CUDA, NCCL and fragmentation take the rest."""
LORA_R = 16
_MOST_VLLM = 0.6
"""The largest fraction of a GPU that is chosen for an engine: more only lengthens its start."""
_PROMPT = 256
_SHARDED = "fsdp2"
_PER_MACHINE = 8


@dataclass(frozen=True, slots=True)
class Devices:
    """GPUs to plan for."""

    number: int
    gib: float
    """Memory of each; of the smallest, if they differ."""
    bf16: bool = True
    """They compute in bfloat16, not by emulation; otherwise training is in float32."""

    def __str__(self) -> str:
        return f"{self.number} GPU{'s' * (self.number > 1)} of {self.gib:.0f} GiB"


@dataclass(frozen=True, slots=True)
class FrozenSolver:
    """The frozen Solver of `challenge`."""

    m: int
    """Answers per rollout."""
    max_tokens: int
    name: str | None
    """None if a server answers."""
    shape: Model | None = None
    in_vllm: bool = False
    """In an engine of vLLM next to the training; otherwise in transformers, or on a server."""
    context: int | None = None
    """vLLM's `max_model_len`."""
    sleeps: bool = True
    """Its engine sleeps except while it answers."""
    fraction: float | None = None
    """`--gpu-memory-utilization`."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A training stage, as far as its memory depends on it."""

    model: Model
    grpo: Grpo
    hardware: Hardware
    max_tokens: int
    batch_size: int
    """Rollouts, or the Solver's answers, per batch with transformers."""
    rollouts: str
    """"transformers", "colocate" or "server"."""
    sharded: bool | None = None
    """Whether the configuration of accelerate shards the weights; None if none is given."""
    processes: int | None = None
    """Training processes; None lets the layout decide."""
    solver: FrozenSolver | None = None
    most_per_pass: int = MOST_PER_PASS
    """The largest number of rollouts per pass that is chosen."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A layout with its estimate."""

    devices: Devices
    layout: Layout
    lora_r: int
    rollout_memory: float
    """Fraction of a GPU for vLLM's rollouts; 0 if vLLM does not generate next to the training."""
    solver_memory: float
    """The same for the Solver's engine."""
    context: int | None
    """`max_model_len` of the Solver's engine."""
    gib: dict[str, float]
    """From `memory.estimate`."""
    host: float
    """GiB of host memory that loading takes on each machine."""
    fits: bool

    @property
    def plan(self) -> Plan:
        return self.layout.plan

    @property
    def solver_arguments(self) -> dict[str, Any]:
        """Arguments of the Solver's vLLM engine, which takes one GPU and sleeps except while it
        answers."""
        return {
            "gpu_memory_utilization": self.solver_memory,
            "max_model_len": self.context,
            "data_parallel_size": 1,
            "enable_sleep_mode": True,
        }

    @property
    def accelerate(self) -> str | None:
        return _SHARDED if self.layout.sharded else None

    def describe(self) -> str:
        """Return a line of text."""
        trained = f"LoRA r = {self.lora_r}" if self.lora_r else "all weights"
        where = "sharded" if self.layout.sharded else "a copy on each GPU"
        kind = f"{trained}, {where}" if self.plan.processes > 1 else trained
        number = self.plan.per_device
        passes = f"{number} rollout{'s' * (number > 1)} per pass"
        peak = f"peak {self.gib['peak']:.0f} of {USABLE * self.devices.gib:.0f} GiB"
        return f"{kind}, {passes}, {peak}" + ("" if self.fits else ": does not fit")


def devices_here() -> Devices | None:
    """Return the GPUs visible to this process; None without any."""
    import torch

    if not torch.cuda.is_available():
        return None
    number = torch.cuda.device_count()
    sizes = [torch.cuda.get_device_properties(i).total_memory for i in range(number)]
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Devices(number, min(sizes) / (1 << 30), bf16)


def host_memory() -> float:
    """Return the memory of this machine in GiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)


def choose(stage: Stage, devices: Devices) -> tuple[Choice, list[Choice]]:
    """Choose a layout.

    Returns:
        The first one that fits, or else the one with the least peak; and those preferred to it.

    Raises:
        UsageError: the sizes of the plan do not divide.
    """
    rest = list[Choice]()
    for one in alternatives(stage, devices):
        if one.fits:
            return one, rest
        rest.append(one)
    return min(rest, key=lambda one: one.gib["peak"]), []


def alternatives(stage: Stage, devices: Devices) -> Iterator[Choice]:
    """Yield the layouts in the order of preference, each with the most rollouts per pass that fit,
    or else the least. Raises as `choose`."""
    hardware, grpo = stage.hardware, stage.grpo
    processes = stage.processes or most_processes(grpo, devices.number)
    shardings = [stage.sharded] if stage.sharded is not None else [False, True][: min(2, processes)]
    for lora_r in (0, LORA_R) if hardware.lora_r is None else (hardware.lora_r,):
        adapter = stage.model.adapter(lora_r, hardware.lora_targets) if lora_r else 0
        for sharded in shardings:
            if sharded and adapter and stage.sharded is None:
                continue
            for per_device in _per_device(stage, processes):
                layout = Layout(
                    plan_of(replace(grpo, per_device=per_device), stage.max_tokens, processes),
                    sharded=sharded,
                    checkpointing=hardware.gradient_checkpointing is not False,
                    adapter=adapter,
                    eight_bit="8bit" in hardware.optim,
                    reference=grpo.beta > 0,
                    autocast=devices.bf16,
                )
                found = _placed(stage, devices, layout, lora_r)
                if found.fits:
                    break
            yield found


def reasons(choice: Choice, rest: list[Choice]) -> str:
    """Return a line with the layout chosen, and the peaks of those preferred to it."""
    kinds = {
        (0, False): "all weights",
        (0, True): "all weights, sharded,",
        (1, False): "an adapter",
        (1, True): "a sharded adapter",
    }
    why = " and ".join(
        f"{kinds[min(1, one.lora_r), one.layout.sharded]} would take {one.gib['peak']:.0f}"
        for one in rest
    )
    return f"{choice.devices}: {choice.describe()}" + (f"; {why}" if why else "")


def refuse(stage: Stage, choice: Choice) -> NoReturn:
    """Raise UsageError with the options, or the number of GPUs, that would fit."""
    devices, free = choice.devices, replace(stage.hardware, rollout_memory=None)
    ways = [
        ("", replace(stage, hardware=free, grpo=replace(stage.grpo, per_device=None)), devices),
        ("", replace(stage, hardware=replace(free, lora_r=LORA_R)), devices),
    ]
    ways += [
        (
            f"use {n} such GPUs: ",
            replace(stage, hardware=free, processes=n),
            replace(devices, number=n),
        )
        for n in (2, 4, 8, 16, 32, 64)
        if n > choice.plan.processes
    ]
    for prefix, changed, there in ways:
        try:
            other, _ = choose(changed, there)
        except UsageError:
            continue
        if other.fits:
            raise UsageError(f"{_too_large(choice)}; {prefix}{_as_flags(stage, other)}")
    raise UsageError(
        f"{_too_large(choice)}: use larger GPUs, a smaller model, or lower --max-tokens"
    )


def _too_large(choice: Choice) -> str:
    gib, room = choice.gib, USABLE * choice.devices.gib
    if gib["peak"] <= room:
        return f"vLLM does not fit next to this training on {choice.devices}"
    return (
        f"this training takes {gib['peak']:.0f} GiB on each GPU and {choice.devices} leave "
        f"{room:.0f} (--dry-run shows the parts)"
    )


def _as_flags(stage: Stage, choice: Choice) -> str:
    flags = f"--lora-r {choice.lora_r} --per-device {choice.plan.per_device}"
    if choice.plan.processes > 1:
        flags += f" --processes {choice.plan.processes}"
    name = stage.hardware.accelerate or choice.accelerate
    if name == _SHARDED and choice.plan.processes > _PER_MACHINE:
        name = f"{_SHARDED}-nodes"
    return flags + (f" --accelerate {name}" if name else "")


def most_processes(grpo: Grpo, gpus: int) -> int:
    """Return the largest number of processes, up to `gpus`, that divides an update's rollouts."""
    return max(n for n in range(1, gpus + 1) if grpo.batch * grpo.group % n == 0)


def _per_device(stage: Stage, processes: int) -> list[int | None]:
    grpo = stage.grpo
    share = grpo.batch * grpo.group // processes
    if grpo.per_device:
        return [grpo.per_device]
    return [*sizes_of_passes(share, stage.most_per_pass)] or [None]


def _placed(stage: Stage, devices: Devices, layout: Layout, lora_r: int) -> Choice:
    """Return a layout with the fractions of a GPU that its vLLM engines get, and the estimate."""
    room, solver = USABLE * devices.gib, stage.solver
    colocated, answers = stage.rollouts == "colocate", solver is not None and solver.in_vllm
    beside = solver.shape if solver and not answers else None

    def estimated(rollout_engine: float, solver_engine: float) -> dict[str, float]:
        return estimate(
            stage.model,
            layout,
            batch_size=stage.batch_size,
            prompt_tokens=_PROMPT,
            generates=stage.rollouts == "transformers",
            rollout_engine=rollout_engine,
            solver_engine=solver_engine,
            sleep=solver.sleeps if solver else True,
            solver=beside,
            solver_tokens=solver.max_tokens if solver else 0,
        )

    bare = estimated(colocated * 1e-9, answers * 1e-9)

    def fraction(phase: str, given: float | None, other: bool) -> float:
        left = room - bare[phase] - (ASLEEP if other else 0.0)
        return given or max(0.0, floor(min(_MOST_VLLM, left / devices.gib) * 100) / 100)

    generates = answering = 0.0
    fits = True
    if colocated:
        generates = fraction(PHASES[0], stage.hardware.rollout_memory, answers)
        # TRL lets its engine generate all rollouts of a process together.
        together = layout.plan.rollouts_per_step // layout.plan.processes
        least = least_engine(stage.model, _PROMPT + stage.max_tokens, together)
        fits = least <= generates * devices.gib * stage.hardware.rollout_tensor_parallel_size
    if solver and solver.shape and answers:
        answering = fraction(PHASES[2], solver.fraction, colocated)
        fits &= least_engine(solver.shape, solver.context or 0) <= answering * devices.gib
    gib = estimated(generates * devices.gib, answering * devices.gib)
    fits &= gib["peak"] <= room
    context = solver.context if solver else None
    local = min(layout.plan.processes, devices.number)
    host = host_estimate(stage.model, layout, local, solver.shape if solver and answers else None)
    return Choice(devices, layout, lora_r, generates, answering, context, gib, host, fits)
