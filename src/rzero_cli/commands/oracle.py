"""`rzero oracle`: the true answers of questions, where known (`data/references.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import means, progress
from rzero_cli.commands._run import (
    Clock,
    parents_of,
    part_seed,
    say,
    stdin_or_help,
)
from rzero_cli.data.journal import check_output
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.references import read_references
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import Sampling
from rzero_cli.engines.ahead import Ahead
from rzero_cli.engines.answering import InStep, open_solver
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import SOLVER, load_prompt

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("oracle")
EXTRACT, UNITS, PERCENT = opt.answers("oracle")
Ask = Callable[..., Iterator[tuple[str | None, int]]]
"""Of questions, and of how many to leave out at their start, gives the true answers, each with the
tokens it took."""


def oracle(
    ctx: typer.Context,
    files: opt.Files = None,
    oracle_data: opt.OracleData = None,
    oracle_question_key: Annotated[
        str,
        typer.Option(
            "--oracle-question-key",
            help="Key of a question in --oracle-data.",
            rich_help_panel=opt.INPUT,
        ),
    ] = "question",
    oracle_reference_key: Annotated[
        str,
        typer.Option(
            "--oracle-reference-key",
            help="Key of a true answer in --oracle-data.",
            rich_help_panel=opt.INPUT,
        ),
    ] = "reference",
    oracle_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--oracle-endpoint",
            help="Base URL of a server whose model knows better; several share the work.",
            rich_help_panel=opt.MODEL,
            metavar="URL",
        ),
    ] = None,
    oracle_model: Annotated[
        str | None,
        typer.Option(
            "--oracle-model",
            help="The name of that model there; it can be left out where it is the only one.",
            rich_help_panel=opt.MODEL,
            metavar="NAME",
        ),
    ] = None,
    world: Annotated[
        bool,
        typer.Option(
            "--world",
            help="Compute the answers of questions in the world of tiny-base.",
            rich_help_panel=opt.INPUT,
        ),
    ] = False,
    m: Annotated[
        int,
        opt.from_preset(
            "oracle",
            "--m",
            help="Answers the model gives; the majority of several counts, one is greedy.",
            panel=opt.DRAWING,
            min=1,
        ),
    ] = opt.PRESET,
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    stop: opt.Stop = None,
    prompt_file: opt.PromptFile = None,
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    question_key: opt.QuestionKey = "question",
    reference_key: opt.ReferenceKey = "reference",
    known: Annotated[
        bool,
        typer.Option(
            "--known",
            help="Leave out the questions whose true answer is not known, as `rzero eval` needs.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = False,
    limit: opt.Limit = None,
    shard: opt.Shard = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    batch_size: opt.BatchSize = opt.PRESET,
    engine_arg: opt.EngineArg = None,
    chat_template_arg: opt.ChatTemplateArg = None,
    seed: opt.Seed = opt.PRESET,
    output: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Add the true answer of each question: from a file, a stronger model, or computed.

    Adds `reference`, null where it is not known: the question is not in --oracle-data, or no answer
    of the model at --oracle-endpoint can be read. Then `rzero stats` says how many labels are true,
    and `rzero eval --data` how hard the questions are for a Solver. --limit 200 is the paper's
    sample.

    [bold]Examples[/]

      rzero oracle labeled.jsonl --oracle-data answers.jsonl | rzero stats

      rzero oracle labeled.jsonl --limit 200 --oracle-endpoint http://127.0.0.1:8000/v1 -o t.jsonl

      rzero oracle runs/demo/iter-1/labeled.jsonl --world -o truth.jsonl
    """
    clock = Clock()
    sources = {"--oracle-data": oracle_data, "--oracle-endpoint": oracle_endpoint, "--world": world}
    if sum(map(bool, sources.values())) != 1:
        raise UsageError(f"give one of {', '.join(sources)}: whoever knows the true answers")
    how = opt.server_options(ctx, "--oracle-endpoint", oracle_endpoint) if oracle_endpoint else {}
    if oracle_model and not how:
        raise UsageError("--oracle-model goes with --oracle-endpoint")
    part = parse_shard(shard)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names, lambda line: line.text(question_key))
    opt.answer_rules(ctx.params), opt.stops(stop), load_prompt(prompt_file, SOLVER)
    data = [oracle_data] if oracle_data else []
    total = given.count()
    count = unknown = tokens = 0

    def look() -> dict[str, float]:
        figures = means(count, known=count - unknown)
        return {"done": out.done + count, "tokens": tokens, **figures}

    if output and output != "-":
        check_output(Path(output), force=force, resume=resume)
    with (
        _open(ctx, how, part_seed(seed, part)) as (ask, answered_by),
        open_records(
            ctx,
            *names,
            *data,
            *(parents_of(answered_by["oracle"], how) if how else []),
            clock=clock,
            metrics=lambda lines: _metrics(reference_key, out.done + count, lines),
            given=given,
            made_with=answered_by,
        ) as out,
        progress(
            ctx,
            None if total is None else part.size(total),
            look,
            unit="questions",
            out=out,
        ),
    ):
        asked = InStep(
            part.of(given.lines()),
            lambda line: line.text(question_key),
            start=out.done,
        )
        for reference, spent in ask(asked.questions(), out.done, Ahead(out.ahead, out.done)):
            record = asked.next().record
            # One oracle after another: what an earlier one knew stays.
            reference = record.get(reference_key) if reference is None else reference
            record |= {reference_key: reference}
            out.write(None if known and reference is None else record)
            count, unknown = count + 1, unknown + (reference is None)
            tokens += spent
        asked.end()
    count += out.done
    if output and out.done:  # the file has those of the earlier run, too
        unknown = count - _metrics(reference_key, count, read_lines([output]))["known"]
    say(f"oracle: {count} questions, {unknown} without a known answer", quiet=quiet)


@contextmanager
def _open(
    ctx: typer.Context, how: dict[str, Any], seed: int
) -> Iterator[tuple[Ask, dict[str, str]]]:
    """Whoever knows the true answers, and what a journal has to have been begun with beside the
    settings: the model of a server that was not asked for one by name. Raises DataError for
    --oracle-data that is wrong."""
    options = ctx.params
    if options["world"]:
        from rzero_cli.world.questions import truth

        yield _each(truth), {}
    elif options["oracle_data"]:
        keys = {name: options[f"oracle_{name}"] for name in ("question_key", "reference_key")}
        lines = read_lines([options["oracle_data"]], strict=options["strict"])
        yield _each(read_references(lines, **keys).get), {}
    else:
        # One answer is the likeliest; several have to differ.
        temperature = options["temperature"] if options["m"] > 1 else 0.0
        sampling = Sampling(
            options["m"],
            temperature,
            options["top_p"],
            options["top_k"],
            options["max_tokens"],
            seed,
            opt.stops(options["stop"]),
        )
        with open_solver(
            model=options["oracle_model"],
            sampling=sampling,
            prompt=load_prompt(options["prompt_file"], SOLVER),
            rules=opt.answer_rules(options),
            **how,
        ) as solver:
            served: Any = solver.engine

            def ask(
                questions: Iterable[str], start: int, ahead: Ahead
            ) -> Iterator[tuple[str | None, int]]:
                for one in solver.label(questions, start=start, ahead=ahead):
                    yield one.vote.answer, sum(c.tokens for c in one.completions)

            yield ask, {"oracle": str(served.model)}


def _each(find: Callable[[str], str | None]) -> Ask:
    def ask(questions: Iterable[str], start: int, ahead: Ahead) -> Iterator[tuple[str | None, int]]:
        return ((find(question), 0) for question in islice(questions, start, None))

    return ask


def _metrics(reference_key: str, asked: int, lines: Iterator[Line]) -> dict[str, int]:
    references = [line.record[reference_key] for line in lines]
    known = len(references) - references.count(None)
    return {"questions": len(references), "known": known, "asked": asked}
