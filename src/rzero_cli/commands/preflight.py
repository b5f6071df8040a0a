"""`rzero preflight`: what a run takes on this machine, and whether it fits."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from rzero_cli.analysis.projection import whole
from rzero_cli.commands._preflight import AT_ONCE, Loop
from rzero_cli.commands._preflight_plan import Plans, make_plans, served_elsewhere, with_typed
from rzero_cli.commands._preflight_report import show
from rzero_cli.commands._training import Rollout
from rzero_cli.commands.eval import Sampled
from rzero_cli.commands.label import Labelling
from rzero_cli.commands.sample import Draws
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.engines import DEFAULT_BATCH_SIZE
from rzero_cli.engines.models import check_model, require
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.evaluation.suite import MATH_ANSWERS
from rzero_cli.fields import option
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import EngineChoice, choose_engine
from rzero_cli.options.file_groups import Json
from rzero_cli.options.general import Defaults, General
from rzero_cli.options.method_groups import Completions
from rzero_cli.options.model_groups import (
    Batching,
    ChallengerModel,
    EngineOptions,
    SolverEngine,
    SolverModel,
)
from rzero_cli.system.messages import print_json
from rzero_cli.system.processes import ended_with_us, in_child
from rzero_cli.system.requirements import packages
from rzero_cli.training.settings import Hardware

GROUPS: dict[str, tuple[type, ...]] = {
    "sample": (Defaults, EngineOptions),
    "label": (Defaults, EngineOptions),
    "filter": (Defaults,),
    "challenge": (Defaults, SolverEngine, Hardware),
    "train-solver": (Defaults, Batching, Hardware),
    "eval": (Defaults, EngineOptions),
}
"""The options that are passed on to each stage."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Expected:
    """The run to project."""

    PANEL: ClassVar = "Projection"
    iterations: int = option("Iterations of the loop.", default=3, unset=True, min=1)
    data: str | None = option(
        "JSONL file of held-out questions for the evaluations.",
        default=None,
        unset="the benchmarks of rzero_math",
        metavar="FILE",
    )
    price: float | None = option(
        "Price of an hour of this machine, with all of its GPUs; adds the cost of the run.",
        default=None,
        min=0.0,
    )


@command("preflight", General)
def preflight(
    call: Call,
    challenger: ChallengerModel,
    solver: SolverModel,
    expected: Expected,
    engine: EngineOptions,
    hardware: Hardware,
    form: Json,
) -> None:
    """Check whether a run fits this machine, and project its time and cost.

    Reports the versions, the devices and the memory of both trainings. Then it runs every stage on
    a few prompts, by its own command, in a temporary folder next to your files, and projects the
    time of the whole run. Sizes are those of the preset and rzero.toml; options of engines and
    memory are passed on to the stages. If the run does not fit or a stage fails, the exit status
    is 1, after the report.

    [bold]Examples[/]

      rzero preflight --challenger Qwen/Qwen3-4B-Base --solver Qwen/Qwen3-4B-Base --price 12

      rzero preflight --preset qwen3-4b,official --lora-r 16 --json > preflight.json

      rzero preflight --challenger base --solver base --preset tiny --data base/heldout.jsonl
    """
    choice = choose_engine(call, engine)
    generator = check_model("--challenger", challenger.challenger)
    answerer = check_model("--solver", solver.solver)
    held_out = _held_out(expected.data)
    require("train", "torch", "transformers", "trl", "accelerate")
    require("eval", "lm_eval")
    if choice.is_server:
        with choice.open(answerer):  # a dead server ends it here, not in every stage
            pass
    call.say("versions, devices, memory")
    # In a child, since torch would keep memory of a GPU.
    plans = in_child(lambda: make_plans(call, generator, answerer, engine, choice))
    found = packages(("train", "vllm", "eval", "openai", "report"))
    report: dict[str, Any] = {
        "challenger": generator,
        "solver": answerer,
        "versions": [package._asdict() | {"fits": package.fits} for package in found],
        "machine": plans.machine,
        "memory": plans.memory,
    }
    wrong = {stage: memory["advice"] for stage, memory in plans.memory.items() if memory["advice"]}
    if not wrong:
        here = Path.cwd()  # the disk of the run; a temporary one may be too small
        with (
            tempfile.TemporaryDirectory(prefix=".preflight-", dir=here) as folder,
            ended_with_us(),
        ):
            loop = _loop(call, choice, plans, generator, answerer, held_out, Path(folder))
            loop.measure()
        wrong = loop.errors
        report |= _measured(loop, expected)
    print_json(report) if form.as_json else show(report)
    if wrong:
        raise RzeroError("; ".join(f"{stage}: {error}" for stage, error in wrong.items()))


def _held_out(path: str | None) -> list[dict[str, Any]]:
    """Read the held-out questions. Raises UsageError or DataError."""

    def check(line: Line) -> object:
        return line.text("question"), line.text("reference")

    lines = [line.record for line in read_lines([path], check=check)] if path else []
    if path and not lines:
        raise UsageError(f"--data {path}: no questions")
    return lines


def _loop(
    call: Call,
    choice: EngineChoice,
    plans: Plans,
    challenger: str,
    solver: str,
    held_out: list[dict[str, Any]],
    folder: Path,
) -> Loop:
    """Return the loop with its sizes, from the settings of its stages."""
    evaluated = call.group(Sampled, "eval")
    k = evaluated.k if evaluated.temperature else 0
    engine = with_typed(call, EngineOptions, "label")
    on_gpu = plans.machine["gpu_gib"] is not None and find_spec("vllm") is not None
    by_arrival = choice.is_server or choice.name == "vllm" or (choice.name == "auto" and on_gpu)
    options = {
        stage: [w for group in of for w in call.words(group)] for stage, of in GROUPS.items()
    }
    if "endpoint" in call.typed:
        options["challenge"] += [w for url in choice.endpoints for w in ("--solver-endpoint", url)]
    limits = {stage: call.group(Completions, stage).max_tokens for stage in ("sample", "label")}
    limits |= {stage: call.group(Rollout, stage).max_tokens for stage in plans.planned}
    return Loop(
        say=call.say,
        folder=folder,
        challenger=challenger,
        solver=solver,
        options=options,
        at_once=engine.batch_size or (AT_ONCE if by_arrival else DEFAULT_BATCH_SIZE),
        n=call.group(Draws, "sample").n,
        m=call.group(Labelling, "label").m,
        k=k,
        heldout=len(held_out) * (1 + k) if held_out else MATH_ANSWERS,
        limits=limits | {"eval": evaluated.max_tokens},
        planned=plans.planned,
        copies=engine.data_parallel_size or 1,
        served=choice.is_server or served_elsewhere(call),
        data=held_out,
    )


def _measured(loop: Loop, expected: Expected) -> dict[str, Any]:
    """Return what was measured, and the projection; its totals are None if a stage failed."""
    stages: dict[str, Any] = {}
    for stage in GROUPS:
        cost, error = loop.found.get(stage), loop.errors.get(stage)
        stages[stage] = {"passed": error is None, "error": error}
        if isinstance(cost, float):
            stages[stage] |= {"fixed": cost}
        elif cost is not None:
            stages[stage] |= asdict(cost) | {"tokens_per_second": cost.tokens_per_second}
        if stage in loop.valid:
            stages[stage] |= {"valid": loop.valid[stage]}
        if stage in loop.planned:
            sent = stage in loop.found if loop.planned[stage].engines else None
            stages[stage] |= {"weights_sent_to_vllm": sent}
    projected = loop.project(expected.iterations)
    seconds = most = None
    if not loop.errors:
        seconds, most = whole(projected)
    projection: dict[str, Any] = {
        "iterations": expected.iterations,
        "stages": [one._asdict() for one in projected],
        "seconds": seconds,
        "at_most": most,
    }
    if expected.price is not None:
        projection["price"] = expected.price
        for name, hours in (("cost", seconds), ("cost_at_most", most)):
            projection[name] = None if hours is None else hours / 3600 * expected.price
    return {"stages": stages, "projection": projection}
