"""`rzero score`: the Challenger's reward of any questions, part by part (`method/rewards.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import count, islice, takewhile
from typing import Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import means, progress
from rzero_cli.commands._run import (
    Clock,
    check_served,
    parents_of,
    part_seed,
    say,
    stdin_or_help,
)
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.shards import WHOLE, parse_shard
from rzero_cli.engines import Sampling, derived_seed
from rzero_cli.engines.ahead import Ahead
from rzero_cli.engines.answering import Labelled, Solver, label_record, open_solver
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import SOLVER, load_prompt, prompt_for
from rzero_cli.method.rewards import ChallengerReward, challenger_rewards, check_tokenizer

TEMPERATURE, TOP_P, TOP_K, MAX_TOKENS = opt.drawing("score")
EXTRACT, UNITS, PERCENT = opt.answers("score")
RULE, BLEU, TAU_BLEU, LAMBDA_REP = opt.reward("score")


def score(
    ctx: typer.Context,
    files: opt.Files = None,
    solver: opt.Solver = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            help="Questions among which repetition is looked for: B. Default: the whole input. "
            "Memory grows with its square: 0.9 GiB at 8,192.",
            rich_help_panel=opt.REWARD,
            min=1,
        ),
    ] = None,
    rule: Annotated[str, RULE] = opt.PRESET,
    bleu: Annotated[str, BLEU] = opt.PRESET,
    tau_bleu: Annotated[float, TAU_BLEU] = opt.PRESET,
    lambda_rep: Annotated[float, LAMBDA_REP] = opt.PRESET,
    m: Annotated[
        int, opt.from_preset("score", "--m", help="Answers a question.", panel=opt.DRAWING, min=1)
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
    limit: opt.Limit = None,
    shard: opt.Shard = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
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
    """Give each question the reward its Challenger would get, part by part.

    Adds `r_unc` (how unsure the Solver is), `r_rep` (how much of the batch is alike), `cluster` and
    `reward`. Questions that have `p_hat` need no model; the others are labelled by --solver first.
    A null question is a malformed one: it counts in the batch.

    [bold]Examples[/]

      rzero score labeled.jsonl > scored.jsonl

      rzero score questions.jsonl --solver Qwen/Qwen3-4B-Base --batch 2048 > scored.jsonl
    """
    clock = Clock()
    how = opt.engine_options(ctx)
    part = parse_shard(shard)
    if part != WHOLE and batch is None:
        raise UsageError("--shard needs --batch: repetition is looked for within a whole batch")
    names = stdin_or_help(ctx, files)
    check_tokenizer("--bleu", bleu)
    opt.check_rule(rule)
    rules = opt.answer_rules(ctx.params)
    asks = bool(solver or how["endpoints"])
    model = check_served("--solver", solver, how) if asks else None
    asked_of = parents_of(model, how) if asks else []
    sampling = Sampling(m, temperature, top_p, top_k, max_tokens, seed, opt.stops(stop))
    prompt = load_prompt(prompt_file, SOLVER)
    given = Input(ctx, names, lambda line: _has_to_be_asked(line, question_key, asks))
    source = given.lines()
    reward: dict[str, Any] = {
        "rule": rule,
        "bleu": bleu,
        "tau_bleu": tau_bleu,
        "lambda_rep": lambda_rep,
    }
    count = ready = answered = truncated = tokens = 0
    p_hat_sum = 0.0
    given_rewards = _Sums()

    def look() -> dict[str, float]:
        # Of a batch whose rewards are not there yet, those are done that have their p_hat.
        figures = given_rewards.means() | means(answered, p_hat=p_hat_sum)
        return {"done": max(out.done, count, ready), "tokens": tokens, **figures}

    with ExitStack() as stack:
        enter = stack.enter_context
        out = enter(
            open_records(ctx, *names, *asked_of, clock=clock, metrics=_metrics, given=given)
        )

        @cache
        def opened() -> Solver:
            return enter(
                open_solver(
                    model=model,
                    sampling=sampling,
                    prompt=prompt,
                    rules=rules,
                    seed=derived_seed(part_seed(seed, part), out.done),
                    **how,
                )
            )

        enter(
            progress(ctx, given.at_most if part == WHOLE else None, look, unit="questions", out=out)
        )
        ahead = Ahead(out.ahead, out.done // batch * batch if batch else 0)
        for number, lines in part.of(enumerate(_batches(source, batch))):
            if count + len(lines) <= out.done:  # an earlier run has the whole batch
                count += len(lines)
                continue
            records = [line.record for line in lines]
            missing = [
                i for i, line in enumerate(lines) if _has_to_be_asked(line, question_key, asks)
            ]
            ready = count + len(lines) - len(missing)
            if missing:
                asked = [lines[i].text(question_key) for i in missing]
                labelled = _label(opened(), asked, seed + number, ahead.after(count))
                for i, label in zip(missing, labelled, strict=True):
                    records[i] = label_record(records[i], label)
                    truncated += sum(c.truncated for c in label.completions)
                    tokens += sum(c.tokens for c in label.completions)
                    ready, answered = ready + 1, answered + 1
                    p_hat_sum += label.vote.p_hat
            questions = [record[question_key] for record in records]
            p_hats = [record.get("p_hat") for record in records]
            rewards = challenger_rewards(questions, p_hats, **reward)
            for record, parts in zip(records, rewards, strict=True):
                count += 1
                if count > out.done:
                    out.write(record | parts.as_keys())
            given_rewards.add(rewards)
        out.tokens = tokens
    cut = f", {truncated} answers cut off at {max_tokens} tokens" if asks else ""
    say(f"score: {count} questions{cut}", quiet=quiet)


class _Sums:
    """Of the rewards so far and their parts, which malformed questions have not."""

    def __init__(self) -> None:
        self.reward = self.r_unc = self.r_rep = 0.0
        self.count = self.valid = 0

    def add(self, rewards: Sequence[ChallengerReward]) -> None:
        valid = [one for one in rewards if one.cluster is not None]
        self.reward += sum(one.reward for one in rewards)
        self.r_unc += sum(one.r_unc or 0.0 for one in valid)
        self.r_rep += sum(one.r_rep or 0.0 for one in valid)
        self.count, self.valid = self.count + len(rewards), self.valid + len(valid)

    def means(self) -> dict[str, float]:
        parts = means(self.valid, r_unc=self.r_unc, r_rep=self.r_rep)
        return means(self.count, reward=self.reward) | parts


def _has_to_be_asked(line: Line, question_key: str, asks: bool) -> bool:
    """Whether the Solver has to answer a question. DataError if none is there to ask."""
    if line.text_or_none(question_key) is None:
        return False
    if line.record.get("p_hat") is not None:
        p_hat_of(line)
        return False
    if not asks:
        raise line.error('no "p_hat": give --solver MODEL to have the questions answered')
    return True


def _label(solver: Solver, asked: list[str], seed: int, ahead: Ahead) -> Iterator[Labelled]:
    """The labels of a batch. They wait for the last of them, so each is kept, and an interrupted
    run's are taken."""
    prompts = [prompt_for(solver.prompt, question) for question in asked]
    kept = list(takewhile(bool, map(ahead.take, count(), prompts)))
    yield from (solver.read(completions or []) for completions in kept)
    drawn = solver.label(asked, seed=seed, start=len(kept), ahead=ahead)
    for i, label in enumerate(drawn, len(kept)):
        ahead.keep(i, prompts[i], label.completions)
        yield label


def _batches(lines: Iterable[Line], size: int | None) -> Iterator[list[Line]]:
    source = iter(lines)
    while batch := list(islice(source, size)):
        yield batch


def _metrics(lines: Iterator[Line]) -> dict[str, float]:
    count = malformed = 0
    total = 0.0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the count is reported
        malformed += line.record["cluster"] is None
        total += line.record["reward"]
    return {"questions": count, "malformed": malformed, "reward_mean": total / max(1, count)}
