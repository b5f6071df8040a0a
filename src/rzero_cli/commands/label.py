"""`rzero label`: pseudo-labels by majority vote (paper, section 3.3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from rzero_cli.answers.unread import count_unread, hints, unread_in_words
from rzero_cli.data.records import vote_metrics
from rzero_cli.data.shards import parse_shard
from rzero_cli.engines import derived_seed
from rzero_cli.engines.token_estimate import SHARES, estimate_tokens
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.prompts import SOLVER
from rzero_cli.method.votes import vote_keys
from rzero_cli.options.command import Call, command
from rzero_cli.options.engine import choose_engine
from rzero_cli.options.file_groups import Json, QuestionKey, ResumableTarget, Seed, ShardedSource
from rzero_cli.options.general import Logged
from rzero_cli.options.method_groups import Completions, Reading, VoteRule
from rzero_cli.options.model_groups import EngineOptions, SolverModel
from rzero_cli.options.panels import OUTPUT, SAMPLING
from rzero_cli.options.source import Input, part_seed
from rzero_cli.options.stage_progress import kept_by_filter, progress
from rzero_cli.options.target import open_records
from rzero_cli.system.messages import print_json
from rzero_cli.system.progress import means


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Labelling:
    """The number of answers, and the output options."""

    PANEL: ClassVar = OUTPUT
    m: int = option("Answers per question.", panel=SAMPLING, min=1)
    dry_run: bool = option(
        "Print an estimate of the tokens needed, then stop.", default=False, recorded=False
    )
    keep_completions: bool = option("Also write the raw answers, as `completions`.", default=False)


@command("label", Logged)
def label(
    call: Call,
    source: ShardedSource,
    key: QuestionKey,
    solver: SolverModel,
    labelling: Labelling,
    completions: Completions,
    reading: Reading,
    vote: VoteRule,
    engine: EngineOptions,
    seeded: Seed,
    target: ResumableTarget,
    form: Json,
) -> None:
    """Sample m Solver answers per question and take the majority as the label.

    Adds `answer` (the pseudo-label, or null), `p_hat` (its fraction of the m answers), `m`,
    `majority`, `answers` and `votes`; other keys are kept. Answers are equal if they are
    mathematically equivalent. An unreadable answer counts in m but never in the majority.

    [bold]Examples[/]

      rzero label questions.jsonl --solver runs/demo/iter-1/solver --m 10 > labeled.jsonl

      rzero label questions.jsonl --endpoint http://127.0.0.1:8000/v1 -o labeled.jsonl --resume

      RZERO_SOLVER=Qwen/Qwen3-4B-Base rzero label questions.jsonl --m 10 | rzero filter --delta 0.25
    """
    choice = choose_engine(call, engine)
    part = parse_shard(source.shard)
    model = choice.check("--solver", solver.solver)
    names = call.stdin_or_help(source.files)
    given = Input(
        call,
        names,
        source,
        lambda line: line.text(key.question_key),
        target=target,
        dry=labelling.dry_run,
    )
    rules = reading.rules(vote.rule)
    prompt = completions.prompt(SOLVER)
    if labelling.dry_run:
        m = labelling.m if completions.temperature else 1  # greedy answers are one answer
        found = estimate_tokens(
            (line.text(key.question_key) for line in part.of(given.lines())),
            prompt,
            model=None if choice.is_server else model,
            template_args=choice.template_args,
            m=m,
            max_tokens=completions.max_tokens,
        )
        print_json(found) if form.as_json else _show(found, m, completions.max_tokens)
        return
    if form.as_json:
        raise UsageError("--json requires --dry-run")
    total = given.count(part)
    seed = part_seed(seeded.seed, part)
    sampling = completions.sampling(labelling.m, seed)
    keeps = kept_by_filter(call)
    count = kept = unlabelled = truncated = tokens = 0
    reading_counts = Counter[str]()
    p_hats = 0.0

    def look() -> dict[str, float]:
        figures = means(count, p_hat=p_hats, kept=kept, unreadable=unlabelled)
        return {"done": out.earlier + count, "tokens": tokens, **figures}

    with (
        open_records(
            call, target, *names, *choice.parents(model), metrics=vote_metrics, given=given
        ) as out,
        choice.open_solver(
            model,
            sampling,
            prompt,
            rules,
            seed=derived_seed(seed, out.earlier),
            spent=call.spent,
        ) as opened,
        progress(call, total, look, unit="questions", out=out),
    ):
        questions = (
            ((number, line), line.text(key.question_key))
            for number, line in enumerate(part.of(given.lines()))
        )
        for (number, line), labelled in opened.answer(questions, done=out.done, out=out):
            record = line.record | vote_keys(labelled.vote, labelled.answers)
            if labelling.keep_completions:
                record["completions"] = [c.text for c in labelled.completions]
            out.write(number, record)
            count += 1
            unlabelled += labelled.vote.answer is None
            p_hats += labelled.vote.p_hat
            kept += keeps(labelled.vote.answer, labelled.vote.p_hat)
            truncated += sum(c.truncated for c in labelled.completions)
            tokens += sum(c.tokens for c in labelled.completions)
            texts = [c.text for c in labelled.completions]
            reading_counts += count_unread(texts, labelled.answers, rules.extract)
        out.tokens = tokens
        call.say(
            f"{count} questions x {labelling.m} answers, {unlabelled} without a readable one, "
            f"{truncated} answers truncated at {completions.max_tokens} tokens, "
            f"{opened.equivalence.timeouts} comparisons timed out, "
            f"{unread_in_words(reading_counts)}"
        )
        for hint in hints(reading_counts, rules.extract):
            call.say(hint)


def _show(found: dict[str, Any], m: int, max_tokens: int) -> None:
    """Print the token estimate as text."""
    number = found["questions"]
    typer.echo(f"{number:,} questions x {m} answers of at most {max_tokens:,} tokens")
    title = "prompts, once each" if found["prompt_tokens_exact"] else "prompts, about"
    typer.echo(f"{title:<28}{found['prompt_tokens']:>18,} tokens")
    for name, tokens in zip(SHARES, found["completion_tokens"], strict=True):
        typer.echo(f"{f'answers, {name}':<28}{tokens:>18,} tokens")
