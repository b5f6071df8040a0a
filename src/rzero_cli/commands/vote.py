"""`rzero vote`: pseudo-labels from answers that are there already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated

import typer

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import Rules
from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import kept_by_filter, means, progress
from rzero_cli.commands._run import Clock, say, stdin_or_help
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import texts_of, vote_metrics
from rzero_cli.data.shards import parse_shard
from rzero_cli.method import votes as method
from rzero_cli.method.votes import Vote, vote_keys
from rzero_cli.system.pool import default_workers, in_order

EXTRACT, UNITS, PERCENT = opt.answers("vote")


def vote(
    ctx: typer.Context,
    files: opt.Files = None,
    answers_key: Annotated[
        str,
        typer.Option("--answers-key", help="Key of the answers.", rich_help_panel=opt.INPUT),
    ] = "answers",
    completions_key: Annotated[
        str,
        typer.Option(
            "--completions-key",
            help="Key of raw completions, read where there are no answers.",
            rich_help_panel=opt.INPUT,
        ),
    ] = "completions",
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
    rule: Annotated[str, opt.vote_rule("vote")] = opt.PRESET,
    workers: opt.Workers = None,
    limit: opt.Limit = None,
    shard: opt.Shard = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    output: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Label without a model: the majority over the answers that are there already.

    Reads `answers` (a list of texts, null for an unreadable one) or raw `completions`, and adds
    what `label` adds: `answer`, `p_hat`, `m`, `majority`, `answers` and `votes`. The outcome does
    not depend on the order of the answers. Runs on all cores.

    [bold]Examples[/]

      rzero vote answers.jsonl > labeled.jsonl

      rzero vote outputs.jsonl --completions-key samples --extract boxed,phrase | rzero filter
    """
    clock = Clock()
    rules = opt.answer_rules(ctx.params, rule)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names, lambda line: _answers(line, answers_key, completions_key))
    part = parse_shard(shard)
    lines = part.of(given.lines())
    keeps = kept_by_filter(ctx)
    count = kept = unlabelled = timeouts = 0
    p_hats = 0.0

    def look() -> dict[str, float]:
        figures = means(count, p_hat=p_hats, kept=kept, unreadable=unlabelled)
        return {"done": out.done + count, **figures}

    with (
        open_records(ctx, *names, clock=clock, metrics=vote_metrics, given=given) as out,
        progress(ctx, lambda: given.at_most(part), look, unit="questions", out=out),
    ):

        def inputs() -> Iterator[tuple[Line, tuple[Sequence[str | None], bool]]]:
            for line in islice(lines, out.done, None):
                yield line, _answers(line, answers_key, completions_key)

        results = in_order(
            partial(open_voter, rules), inputs(), workers=workers or default_workers()
        )
        for line, voted in results:
            out.write(line.record | vote_keys(voted.vote, voted.answers))
            count += 1
            unlabelled += voted.vote.answer is None
            p_hats += voted.vote.p_hat
            kept += keeps(voted.vote.answer, voted.vote.p_hat)
            timeouts += voted.timeouts
    say(
        f"vote: {count} questions, {unlabelled} without a readable answer, {timeouts} comparisons "
        "timed out",
        quiet=quiet,
    )


def _answers(
    line: Line, answers_key: str, completions_key: str
) -> tuple[Sequence[str | None], bool]:
    """The answers of a record, and whether they are raw completions. DataError if ill-typed."""
    raw = answers_key not in line.record and completions_key in line.record
    key = completions_key if raw else answers_key
    return texts_of(line, key), raw


@dataclass(frozen=True, slots=True)
class Voted:
    """The answers to one question and their vote."""

    vote: Vote
    answers: list[str | None]
    timeouts: int
    """Comparisons that were given up."""


@contextmanager
def open_voter(
    rules: Rules,
) -> Iterator[Callable[[tuple[Sequence[str | None], bool]], Voted]]:
    """A function of (answers, whether they are raw completions) that takes their vote."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(argument: tuple[Sequence[str | None], bool]) -> Voted:
            texts, raw = argument
            answers = [rules.read(text or "") if raw else text for text in texts]
            before = equivalence.timeouts
            result = method.vote(answers, equivalence, rule=rules.rule)
            return Voted(result, answers, equivalence.timeouts - before)

        yield work
