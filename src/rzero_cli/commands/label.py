"""`rzero label`: pseudo-labels by majority vote (`engines/answering.py`)."""

from __future__ import annotations

from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._estimate import parse_price, print_estimate
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import kept_by_filter, means, progress
from rzero_cli.commands._run import (
    Clock,
    check_served,
    parents_of,
    part_seed,
    say,
    stdin_or_help,
)
from rzero_cli.data.records import vote_metrics
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import Sampling, derived_seed
from rzero_cli.engines.ahead import Ahead
from rzero_cli.engines.answering import InStep, label_record, open_solver
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import SOLVER, load_prompt

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("label")
EXTRACT, UNITS, PERCENT = opt.answers("label")


def label(
    ctx: typer.Context,
    files: opt.Files = None,
    solver: opt.Solver = None,
    m: Annotated[
        int, opt.from_preset("label", "--m", help="Answers a question.", panel=opt.DRAWING, min=1)
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
    rule: Annotated[str, opt.vote_rule("label")] = opt.PRESET,
    question_key: opt.QuestionKey = "question",
    limit: opt.Limit = None,
    shard: opt.Shard = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the tokens it would take, and with --price the cost, and stop.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = False,
    price: Annotated[
        str | None,
        typer.Option(
            "--price",
            help="Of a million tokens of prompts and of completions, for --dry-run.",
            rich_help_panel=opt.OUTPUT,
            metavar="PROMPT/COMPLETION",
        ),
    ] = None,
    as_json: opt.Json = False,
    keep_completions: Annotated[
        bool,
        typer.Option(
            "--keep-completions",
            help="Write the raw answers too, as `completions`.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = False,
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
    output: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Let the Solver answer each question m times and take the majority as the label.

    Adds `answer` (the pseudo-label, or null), `p_hat` (its share of m), `m`, `majority`, `answers`
    and `votes`; other keys pass through. Answers count as equal when they are mathematically; one
    that cannot be read counts in m and never in the majority.

    [bold]Examples[/]

      rzero label questions.jsonl --solver runs/demo/iter-1/solver --m 10 > labeled.jsonl

      rzero label questions.jsonl --endpoint http://127.0.0.1:8000/v1 -o labeled.jsonl --resume

      RZERO_SOLVER=Qwen/Qwen3-4B-Base rzero label questions.jsonl --m 10 | rzero filter --delta 0.25
    """
    clock = Clock()
    how = opt.engine_options(ctx)
    part = parse_shard(shard)
    model = check_served("--solver", solver, how)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names, lambda line: line.text(question_key))
    rules = opt.answer_rules(ctx.params, rule)
    prompt = load_prompt(prompt_file, SOLVER)
    costs = parse_price(price)
    if dry_run:
        print_estimate(
            (line.text(question_key) for line in part.of(given.lines())),
            prompt,
            model=model,
            how=how,
            m=m if temperature else 1,  # greedy answers are one answer
            max_tokens=max_tokens,
            price=costs,
            as_json=as_json,
        )
        return
    if price or as_json:
        raise UsageError("--price and --json go with --dry-run")
    total = given.count()
    total = None if total is None else part.size(total)
    seed = part_seed(seed, part)
    sampling = Sampling(m, temperature, top_p, top_k, max_tokens, seed, opt.stops(stop))
    keeps = kept_by_filter(ctx)
    count = kept = unlabelled = truncated = tokens = 0
    p_hats = 0.0

    def look() -> dict[str, float]:
        figures = means(count, p_hat=p_hats, kept=kept, unreadable=unlabelled)
        return {"done": out.done + count, "tokens": tokens, **figures}

    with (
        open_records(
            ctx, *names, *parents_of(model, how), clock=clock, metrics=vote_metrics, given=given
        ) as out,
        open_solver(
            model=model,
            sampling=sampling,
            prompt=prompt,
            rules=rules,
            seed=derived_seed(seed, out.done),
            **how,
        ) as opened,
        progress(ctx, total, look, unit="questions", out=out),
    ):
        asked = InStep(
            part.of(given.lines()),
            lambda line: line.text(question_key),
            start=out.done,
        )
        for labelled in opened.label(
            asked.questions(), start=out.done, ahead=Ahead(out.ahead, out.done)
        ):
            record = label_record(asked.next().record, labelled)
            if keep_completions:
                record["completions"] = [c.text for c in labelled.completions]
            out.write(record)
            count += 1
            unlabelled += labelled.vote.answer is None
            p_hats += labelled.vote.p_hat
            kept += keeps(labelled.vote.answer, labelled.vote.p_hat)
            truncated += sum(c.truncated for c in labelled.completions)
            tokens += sum(c.tokens for c in labelled.completions)
        asked.end()
        out.tokens = tokens
        say(
            f"label: {count} questions x {m} answers, {unlabelled} without a readable one, "
            f"{truncated} answers cut off at {max_tokens} tokens, "
            f"{opened.equivalence.timeouts} comparisons timed out",
            quiet=quiet,
        )
