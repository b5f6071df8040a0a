"""`--dry-run` of the trainings: the plan, and memory per GPU on 1, 4 and 8 GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rzero_cli.errors import UsageError
from rzero_cli.method.plan import Plan
from rzero_cli.system.messages import print_json, say
from rzero_cli.system.terminal import plain
from rzero_cli.training.layout import (
    USABLE,
    Choice,
    Devices,
    FrozenSolver,
    Stage,
    alternatives,
    choose,
    devices_here,
    reasons,
    refuse,
)

GPUS = (1, 4, 8)
_GPU_GIB = 79.1  # of an A100 or H100 of 80 GB, where no GPU is named and this machine has none


def print_plan(
    command: str, plan: Plan, model: str, *, stage: Stage, as_json: bool = False
) -> None:
    """Print the plan and a memory estimate on standard output.

    Args:
        command: the command.
        plan: for the running or requested number of processes.
        model: the model to train.
        stage: what its memory depends on.
        as_json: print JSON instead of tables.

    Raises:
        UsageError: the training does not fit the GPUs of this machine.
    """
    here = devices_here()
    gib = stage.hardware.gpu_memory or (here.gib if here else _GPU_GIB)
    choices, layouts, skipped = list[str](), list[Choice](), list[str]()
    for number in sorted({*GPUS, plan.processes, here.number if here else 1}):
        devices = Devices(number, gib)
        there = replace(stage, processes=number)
        try:
            layouts += alternatives(there, devices)
            choices.append(reasons(*choose(there, devices)))
        except UsageError as error:
            skipped.append(f"{number} GPUs: {error}")
    solver = stage.solver
    answers = plan.rollouts * solver.m if solver else 0
    record = {
        "command": command,
        "model": model,
        "parameters": stage.model.parameters,
        "solver": solver.name if solver else None,
        "plan": plan.as_record(),
        "solver_answers": answers,
        "solver_tokens": answers * solver.max_tokens if solver else 0,
        "gpu_gib": gib,
        "chosen": choices,
        "layouts": [_as_record(one) for one in layouts],
        "skipped": skipped,
    }
    if as_json:
        print_json(record)
    else:
        _show(record, plan, solver)
    if here:
        choice, rest = choose(stage, replace(here, gib=gib))
        if not choice.fits:
            refuse(stage, choice)
        say(f"{command}: {reasons(choice, rest)}")


def _as_record(one: Choice) -> dict[str, Any]:
    return {
        "gpus": one.devices.number,
        "sharded": one.layout.sharded,
        "lora_r": one.lora_r,
        "lora_parameters": one.layout.adapter,
        "per_device": one.plan.per_device,
        "gradient_accumulation": one.plan.gradient_accumulation,
        "rollout_memory": one.rollout_memory,
        "solver_memory": one.solver_memory,
        "gib": one.gib,
        "host_gib": one.host,
        "fits": one.fits,
    }


def _show(record: dict[str, Any], plan: Plan, solver: FrozenSolver | None) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    millions = _millions(record["parameters"])
    console.print(plain(f"{record['command']} {record['model']}: {millions} parameters"))
    console.print(plain(plan.describe()))
    if solver:
        where = record["solver"] or "on a server"
        console.print(
            plain(
                f"the Solver {where} generates {record['solver_answers']:,} answers "
                f"({solver.m} per rollout), at most {record['solver_tokens']:,} tokens"
            )
        )
    console.print()
    for line in (*record["chosen"], *record["skipped"]):
        console.print(plain(line))
    for adapter in sorted({layout["lora_parameters"] for layout in record["layouts"]}):
        chosen = [x for x in record["layouts"] if x["lora_parameters"] == adapter]
        trained = f"LoRA, {_millions(adapter)} parameters" if adapter else "all weights"
        console.print(f"\n{trained}, GiB per GPU:")
        console.print(_table(chosen, record["gpu_gib"]))
    console.print(
        "\nFor the longest completions and prompts of 256 tokens. CUDA, NCCL and fragmentation "
        "come on top."
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} million"


def _table(layouts: list[dict[str, Any]], gpu: float) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for layout in layouts:
        kind = "sharded" if layout["sharded"] else "GPU" if layout["gpus"] == 1 else "GPUs"
        table.add_column(f"{layout['gpus']} {kind}", justify="right", no_wrap=True)
    for key, title in (
        ("per_device", "--per-device"),
        ("gradient_accumulation", "passes per update"),
    ):
        table.add_row(title, *(str(layout[key]) for layout in layouts))
    for key, title in (("rollout_memory", "vLLM: rollouts"), ("solver_memory", "vLLM: Solver")):
        if any(layout[key] for layout in layouts):
            table.add_row(title, *(f"{layout[key]:.0%}" for layout in layouts))
    parts = dict.fromkeys(part for layout in layouts for part in layout["gib"])
    for part in parts:
        sizes = [layout["gib"].get(part, 0.0) for layout in layouts]
        if any(sizes):
            table.add_row(part, *(f"{size:.1f}" for size in sizes))
    table.add_row("host, while loading", *(f"{layout['host_gib']:.0f}" for layout in layouts))
    title = f"fits in {USABLE:.0%} of {gpu:.0f} GiB"
    table.add_row(title, *("yes" if layout["fits"] else "no" for layout in layouts))
    return table
