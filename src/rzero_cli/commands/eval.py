"""`rzero eval`: what a model can do, with intervals (`evaluation/`)."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import (
    Clock,
    check_served,
    input_hashes,
    parents_of,
    progress,
    say,
    settings_of,
)
from rzero_cli.core.prompts import SOLVER, load_prompt
from rzero_cli.core.provenance import describe
from rzero_cli.core.streams import (
    Output,
    check_new_file,
    check_part,
    open_journal,
    part_of,
    protect_stdout,
    read_lines,
    write_json,
)
from rzero_cli.engines import derived_seed, open_engine
from rzero_cli.engines.models import require
from rzero_cli.errors import UsageError

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("eval")
EXTRACT, UNITS, PERCENT = opt.answers("eval")


def eval_(
    ctx: typer.Context,
    output: opt.OutFile,
    model: opt.Model = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="JSONL questions with their true answers.",
            rich_help_panel=opt.INPUT,
            metavar="FILE",
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="Tasks known to lm-eval, with commas between.",
            rich_help_panel=opt.INPUT,
            metavar="NAMES",
        ),
    ] = None,
    include_path: Annotated[
        str | None,
        typer.Option(
            "--include-path",
            help="A folder of lm-eval task files of your own.",
            rich_help_panel=opt.INPUT,
            metavar="DIR",
        ),
    ] = None,
    k: Annotated[
        int,
        opt.from_preset(
            "eval",
            "--k",
            help="Samples of a question; 0 is greedy alone.",
            panel=opt.DRAWING,
            min=0,
        ),
    ] = opt.PRESET,
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    stop: opt.Stop = None,
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    prompt_file: opt.PromptFile = None,
    question_key: opt.QuestionKey = "question",
    reference_key: opt.ReferenceKey = "reference",
    group_key: opt.GroupKey = "group",
    limit: opt.Limit = None,
    strict: opt.Strict = False,
    log_samples: Annotated[
        str | None,
        typer.Option(
            "--log-samples",
            help="Write every raw completion here, as JSONL.",
            rich_help_panel=opt.OUTPUT,
            metavar="FILE",
        ),
    ] = None,
    engine: opt.Engine = "auto",
    endpoint: opt.Endpoint = None,
    batch_size: opt.BatchSize = opt.PRESET,
    dtype: opt.Dtype = None,
    tensor_parallel_size: opt.TensorParallelSize = None,
    data_parallel_size: opt.DataParallelSize = None,
    gpu_memory_utilization: opt.GpuMemoryUtilization = None,
    max_model_len: opt.MaxModelLen = None,
    quantization: opt.Quantization = None,
    engine_arg: opt.EngineArg = None,
    chat_template_arg: opt.ChatTemplateArg = None,
    seed: opt.Seed = opt.PRESET,
    resume: opt.Resume = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Examine a model: pass@1 greedy, mean@k by sampling, maj@k, with 95 % intervals.

    --data takes questions with a `reference`; with a `group` key there is a line for each group.
    An answer is the last box of a completion; one that cannot be read is wrong. --tasks takes any
    of lm-eval's tasks by name, prompted and scored as lm-eval does it.

    [bold]Examples[/]

      rzero eval --model runs/demo/iter-3/solver --data heldout.jsonl -o results.json

      rzero eval --model Qwen/Qwen3-4B-Base --tasks gsm8k --limit 100 -o gsm8k.json
    """
    clock = Clock()
    how = opt.engine_options(ctx)
    opt.stops(stop)
    opt.answer_rules(ctx.params)
    checkpoint = check_served("--model", model, how)
    asked = parents_of(checkpoint, how)
    if (data is None) == (tasks is None):
        raise UsageError("give either --data FILE or --tasks NAMES")
    for name, given in (("prompt-file", prompt_file), ("stop", stop)):
        if tasks is not None and given:
            raise UsageError(f"--{name} goes with --data: a task has its own")
    target = Path(output)
    check_new_file(target, force=force or resume)
    check_part(part_of(target), force=force, resume=resume)
    if include_path is not None and not Path(include_path).is_dir():
        raise UsageError(f"--include-path {include_path}: no such folder")
    if log_samples:
        if Path(log_samples).absolute() == target.absolute():
            raise UsageError(f"--log-samples {log_samples}: is the results' own file")
        check_new_file(Path(log_samples), force=force or resume)
    load_prompt(prompt_file, SOLVER)
    made_with = settings_of(ctx) | input_hashes([data] if data else [], *asked)
    if data is not None:
        for line in read_lines([data], limit=limit, strict=strict):
            line.text(question_key), line.text(reference_key)
    require("eval", "lm_eval")
    named = None
    if tasks is not None:
        from rzero_cli.evaluation.tasks import load_tasks

        named = load_tasks([name.strip() for name in tasks.split(",")], include_path=include_path)
    with (
        open_journal(target, settings=made_with, force=force, resume=resume) as (journal, part),
        protect_stdout() as stdout,
        open_engine(model=checkpoint, seed=derived_seed(seed, journal.done), **how) as loaded,
    ):
        if named is None:
            results = _on_data(ctx.params, loaded, journal, part)
        else:
            results = _on_tasks(ctx, loaded, journal, named)
        record = describe(
            "eval",
            settings=settings_of(ctx),
            parents=[*asked, *([data] if data else [])],
            seconds=clock.seconds,
            metrics={},
        )
        write_json(target, results | {"origin": record})
        if log_samples:
            shutil.copyfile(part, log_samples)
        if as_json:
            shown = {name: value for name, value in results.items() if name != "samples"}
            stdout.write(json.dumps(shown).encode() + b"\n")
    if not (as_json or quiet):
        _print_table(results, output)


def _on_data(options: dict[str, Any], engine: Any, journal: Output, part: Path) -> dict[str, Any]:
    from rzero_cli.core.equivalence import Equivalence
    from rzero_cli.evaluation.data import evaluate_data

    names = ("k", "temperature", "top_p", "top_k", "max_tokens", "seed", "stop")
    keys = ("question_key", "reference_key", "group_key")
    earlier = [line.record for line in read_lines([str(part)])]
    rules = opt.answer_rules(options)
    with (
        Equivalence(conventions=rules.conventions) as equivalence,
        _bar(options) as on_progress,
    ):
        return evaluate_data(
            engine,
            read_lines([options["data"]], limit=options["limit"], strict=options["strict"]),
            **{name: options[name] for name in (*names, *keys)},
            equivalence=equivalence,
            read=rules.read,
            prompt=load_prompt(options["prompt_file"], SOLVER),
            on_progress=on_progress,
            log=journal.write,
            done=earlier,
        )


def _on_tasks(ctx: typer.Context, engine: Any, journal: Output, named: Any) -> dict[str, Any]:
    from rzero_cli.evaluation.tasks import evaluate_tasks

    options = ctx.params
    names = ("k", "temperature", "top_p", "top_k", "seed", "limit")
    # A task says itself how long an answer may be, unless somebody has typed something else.
    typed = str(ctx.get_parameter_source("max_tokens")).endswith("COMMANDLINE")
    return evaluate_tasks(
        engine,
        named,
        **{name: options[name] for name in names},
        max_tokens=options["max_tokens"] if typed else None,
        progress=not options["quiet"] and sys.stderr.isatty(),
        log=journal.write,
    )


@contextmanager
def _bar(options: dict[str, Any]) -> Iterator[Any]:
    with progress("eval", None, quiet=options["quiet"]) as advance:
        seen = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal seen
            advance(done - seen)
            seen = done

        yield on_progress


def _print_table(results: dict[str, Any], output: str) -> None:
    from rich.console import Console

    from rzero_cli.evaluation.tables import results_table

    tasks = results.get("tasks") or {"all": results}
    Console(stderr=True).print(results_table(tasks))
    say(f"eval: {output}")
