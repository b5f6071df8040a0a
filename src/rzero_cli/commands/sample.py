"""`rzero sample`: draw questions from a Challenger (`engines/asking.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import means, progress
from rzero_cli.commands._run import (
    Clock,
    check_served,
    parents_of,
    part_seed,
    say,
)
from rzero_cli.data.jsonl import Line
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import Sampling, derived_seed, open_engine
from rzero_cli.engines.ahead import Ahead
from rzero_cli.engines.asking import sample_questions
from rzero_cli.method.prompts import CHALLENGER, load_prompt

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("sample")


def sample(
    ctx: typer.Context,
    challenger: opt.Challenger = None,
    n: Annotated[
        int,
        opt.from_preset(
            "sample", "-n", "--n", help="Completions to draw.", panel=opt.DRAWING, min=1
        ),
    ] = opt.PRESET,
    temperature: Annotated[float, TEMPERATURE] = opt.PRESET,
    top_p: Annotated[float, TOP_P] = opt.PRESET,
    top_k: Annotated[int, TOP_K] = opt.PRESET,
    max_tokens: Annotated[int, MAX_TOKENS] = opt.PRESET,
    stop: opt.Stop = None,
    shard: opt.Shard = None,
    prompt_file: opt.PromptFile = None,
    require_boxed: opt.RequireBoxed = False,
    keep_malformed: Annotated[
        bool,
        typer.Option(
            "--keep-malformed",
            help="Write malformed completions too, with question null and the raw completion.",
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
    """Draw N completions from a Challenger and keep the questions.

    Writes `id`, `question` and `proposed_answer` (the Challenger's own, or null) a line.
    Completions without a non-blank <question>...</question> are malformed: counted on stderr.

    [bold]Examples[/]

      rzero sample --challenger runs/demo/iter-1/challenger -n 600 > questions.jsonl

      rzero sample --challenger Qwen/Qwen3-4B-Base -n 8000 -o questions.jsonl --resume
    """
    clock = Clock()
    how = opt.engine_options(ctx)
    part = parse_shard(shard)
    model = check_served("--challenger", challenger, how)
    prompt = load_prompt(prompt_file, CHALLENGER)
    n, seed = part.size(n), part_seed(seed, part)
    sampling = Sampling(1, temperature, top_p, top_k, max_tokens, seed, opt.stops(stop))
    drawn = malformed = truncated = tokens = 0

    def look() -> dict[str, float]:
        figures = means(drawn, valid=drawn - malformed, truncated=truncated)
        return {"done": out.done + drawn, "tokens": tokens, **figures}

    with (
        open_records(
            ctx,
            *parents_of(model, how),
            clock=clock,
            metrics=lambda lines: _metrics(n, lines),
        ) as out,
        open_engine(model=model, seed=derived_seed(seed, out.done), **how) as loaded,
        progress(ctx, n, look, unit="draws", out=out),
    ):
        for record, completion in sample_questions(
            loaded,
            n,
            sampling,
            prompt=prompt,
            require_boxed=require_boxed,
            keep_malformed=keep_malformed,
            start=out.done,
            ahead=Ahead(out.ahead, out.done),
        ):
            out.write(record)
            malformed += record is None or record["question"] is None
            truncated += completion.truncated
            tokens += completion.tokens
            drawn += 1
        out.tokens = tokens
    say(
        f"sample: {drawn - malformed} questions of {drawn} draws, {malformed} malformed, "
        f"{truncated} cut off at {max_tokens} tokens",
        quiet=quiet,
    )


def _metrics(n: int, lines: Iterator[Line]) -> dict[str, int]:
    questions = sum(line.record["question"] is not None for line in lines)
    return {"drawn": n, "questions": questions, "malformed": n - questions}
