"""`--dry-run` of the trainings: the plan, and memory per GPU on 1, 4 and 8 GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from rzero_cli.engines import DEFAULT_BATCH_SIZE
from rzero_cli.engines.shapes import read_model
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import Plan
from rzero_cli.system.messages import print_json
from rzero_cli.system.terminal import plain
from rzero_cli.training.checks import plan_of
from rzero_cli.training.memory import Layout, estimate
from rzero_cli.training.rollouts import check_mode
from rzero_cli.training.settings import Grpo, Hardware

GPUS = (1, 4, 8)
_GPU_GIB = 80  # of an A100 or H100, where this machine has no GPU
_MARGIN = 0.9  # usable fraction; CUDA, NCCL and fragmentation take the rest


@dataclass(frozen=True, slots=True)
class FrozenSolver:
    """The frozen Solver of `challenge`."""

    m: int
    """Answers per rollout."""
    max_tokens: int
    model: str | None
    """None if a server answers."""
    engine: str
    gpu_memory_utilization: float | None


def print_plan(
    command: str,
    plan: Plan,
    model: str,
    *,
    grpo: Grpo,
    hardware: Hardware,
    batch_size: int | None,
    solver: FrozenSolver | None = None,
    as_json: bool = False,
) -> None:
    """Print the plan and a memory estimate on standard output.

    Args:
        command: the stage.
        plan: for the running or requested number of processes.
        model: the model to train.
        grpo, hardware: the options.
        batch_size: rollouts, or the Solver's answers, per batch with transformers.
        solver: the frozen Solver, for `challenge`.
        as_json: print JSON instead of tables.

    Raises:
        UsageError: --rollouts is unknown.
        RzeroError: a model's configuration cannot be read.
    """
    check_mode(hardware.rollouts)
    trained, gpu = read_model(model), _gpu_gib()
    adapters = {0}
    if hardware.lora_r:
        adapters |= {trained.adapter(hardware.lora_r, hardware.lora_targets)}
    layouts, skipped = [], []
    for processes in sorted({*GPUS, plan.processes}):
        try:
            spread = plan_of(grpo, plan.max_tokens, processes)
        except UsageError as error:
            skipped.append(f"{processes} GPUs: {error}")
            continue
        where = _who_generates(hardware, gpu, solver, processes)
        where["batch_size"] = batch_size or DEFAULT_BATCH_SIZE
        for adapter in sorted(adapters):
            for sharded in (False, True) if processes > 1 else (False,):
                eight_bit, reference = "8bit" in hardware.optim, grpo.beta > 0
                with_checkpointing, without = (
                    estimate(
                        trained,
                        Layout(spread, sharded, checkpointing, adapter, eight_bit, reference),
                        **where,
                    )
                    for checkpointing in (True, False)
                )
                layouts.append(
                    {
                        "gpus": processes,
                        "sharded": sharded,
                        "lora_parameters": adapter,
                        "per_device": spread.per_device,
                        "gradient_accumulation": spread.gradient_accumulation,
                        "gib": with_checkpointing,
                        "gib_without_checkpointing": without,
                    }
                )
    answers = plan.rollouts * solver.m if solver else 0
    record = {
        "command": command,
        "model": model,
        "parameters": trained.parameters,
        "solver": solver.model if solver else None,
        "plan": plan.as_record(),
        "solver_answers": answers,
        "solver_tokens": answers * solver.max_tokens if solver else 0,
        "gpu_gib": gpu,
        "layouts": layouts,
        "skipped": skipped,
    }
    if as_json:
        print_json(record)
    else:
        _show(record, plan, solver)


def _who_generates(
    hardware: Hardware, gpu: float, solver: FrozenSolver | None, processes: int
) -> dict[str, Any]:
    """Return `estimate`'s arguments for rollouts and the Solver's answers; `gpu` is in GiB.

    With several processes each loads the Solver with transformers, unless it is on a server.
    """
    installed = find_spec("vllm") is not None
    rollouts = hardware.rollouts
    if rollouts == "auto":
        rollouts = "colocate" if installed else "transformers"
    where: dict[str, Any] = {"generates": rollouts == "transformers"}
    if rollouts == "colocate":
        where["rollout_engine"] = hardware.rollout_memory * gpu
    if solver and solver.model:
        in_vllm = solver.engine == "vllm" or (solver.engine == "auto" and installed)
        if processes == 1 and in_vllm:
            where["solver_engine"] = (solver.gpu_memory_utilization or 0.0) * gpu
        else:
            where |= {"solver": read_model(solver.model), "solver_tokens": solver.max_tokens}
    return where


def _gpu_gib() -> float:
    import torch

    if not torch.cuda.is_available():
        return _GPU_GIB
    return float(torch.cuda.get_device_properties(0).total_memory) / (1 << 30)


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
    for adapter in sorted({layout["lora_parameters"] for layout in record["layouts"]}):
        chosen = [x for x in record["layouts"] if x["lora_parameters"] == adapter]
        trained = f"LoRA, {_millions(adapter)} parameters" if adapter else "all weights"
        console.print(f"\n{trained}, GiB per GPU:")
        console.print(_table(chosen, record["gpu_gib"]))
    for reason in record["skipped"]:
        console.print(plain(reason))
    console.print(
        "\nFor the longest completions and prompts of 256 tokens. The peak is the largest of the "
        "three phases,\nin which engines of vLLM sleep unless it is theirs. CUDA, NCCL and "
        "fragmentation come on top."
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

    def row(title: str, part: str, source: str = "gib") -> None:
        sizes = [layout[source][part] for layout in layouts]
        if any(sizes):
            table.add_row(title, *(f"{size:.1f}" for size in sizes))

    kept = "gib_without_checkpointing"
    for part in layouts[0]["gib"]:
        if part in ("activations", "during updates", "peak"):
            row(f"{part}, checkpointed", part)
            row(f"{part}, kept", part, kept)
        else:
            row(part, part)
    fits = [layout["gib"]["peak"] <= _MARGIN * gpu for layout in layouts]
    title = f"fits in {_MARGIN:.0%} of {gpu:.0f} GiB"
    table.add_row(title, *("yes" if fit else "no" for fit in fits))
    return table
