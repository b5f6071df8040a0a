"""`rzero grade`: is an answer right?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Any

import typer

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import Rules
from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import open_records
from rzero_cli.commands._progress import means, progress
from rzero_cli.commands._run import Clock, say, stdin_or_help
from rzero_cli.data.jsonl import Line
from rzero_cli.data.shards import parse_shard
from rzero_cli.system.pool import default_workers, in_order

EXTRACT, UNITS, PERCENT = opt.answers("grade")


def grade(
    ctx: typer.Context,
    files: opt.Files = None,
    answer_key: Annotated[
        str,
        typer.Option("--answer-key", help="Key that holds the answer.", rich_help_panel=opt.INPUT),
    ] = "answer",
    completion_key: Annotated[
        str,
        typer.Option(
            "--completion-key",
            help="Key of a raw completion, read where there is no answer.",
            rich_help_panel=opt.INPUT,
        ),
    ] = "completion",
    reference_key: opt.ReferenceKey = "reference",
    question_key: opt.QuestionKey = "question",
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="Compute the reference of questions in the world of tiny-base.",
            rich_help_panel=opt.INPUT,
        ),
    ] = False,
    extract: Annotated[str, EXTRACT] = opt.PRESET,
    units: Annotated[str, UNITS] = opt.PRESET,
    percent: Annotated[str, PERCENT] = opt.PRESET,
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
    r"""Say of each answer whether it is equivalent to the reference.

    Adds `extracted` (the answer that was compared: `answer`, or what --extract finds in
    `completion`) and `correct`. An answer that cannot be read is wrong, and so is one whose
    comparison takes too long. Runs on all cores. With --truth the reference comes from the
    computable world of `rzero tiny-base`, so that pseudo-labels can be checked.

    [bold]Examples[/]

      rzero grade outputs.jsonl --completion-key output --reference-key gold

      rzero grade gsm8k.jsonl --extract boxed,hashes,phrase | jq .correct

      rzero grade --truth runs/demo/iter-1/train.jsonl
    """
    clock = Clock()
    rules = opt.answer_rules(ctx.params)
    names = stdin_or_help(ctx, files)
    keys = answer_key, completion_key
    known = question_key if truth else reference_key
    given = Input(ctx, names, lambda line: (line.text(known), _answer(line, *keys)))
    part = parse_shard(shard)
    lines = part.of(given.lines())
    count = right = timeouts = 0

    def look() -> dict[str, float]:
        return {"done": out.done + count, **means(count, right=right)}

    with (
        open_records(ctx, *names, clock=clock, metrics=_metrics, given=given) as out,
        progress(ctx, lambda: given.at_most(part), look, unit="answers", out=out),
    ):

        def inputs() -> Iterator[tuple[dict[str, Any], tuple[str | None, bool, str]]]:
            for line in islice(lines, out.done, None):
                # Before the truth takes its place, should they have one name.
                answer, raw = _answer(line, *keys)
                if truth:
                    from rzero_cli.world.questions import truth as computed

                    line.record[reference_key] = computed(line.text(question_key))
                yield line.record, (answer, raw, line.text(reference_key))

        results = in_order(
            partial(open_grader, rules), inputs(), workers=workers or default_workers()
        )
        for record, graded in results:
            out.write(record | {"extracted": graded.extracted, "correct": graded.correct})
            count, right = count + 1, right + graded.correct
            timeouts += graded.timeouts
    say(
        f"grade: {right} of {count} correct ({right / max(1, count):.1%}), "
        f"{timeouts} comparisons timed out",
        quiet=quiet,
    )


def _answer(line: Line, answer_key: str, completion_key: str) -> tuple[str | None, bool]:
    """The answer of a record, and whether it is a raw completion."""
    if answer_key not in line.record and completion_key in line.record:
        return line.text(completion_key), True
    return line.text_or_none(answer_key), False


def _metrics(lines: Iterable[Line]) -> dict[str, int]:
    verdicts = [line.record["correct"] for line in lines]
    return {"graded": len(verdicts), "correct": sum(verdicts)}


@dataclass(frozen=True, slots=True)
class Graded:
    """An answer and whether it equals its reference."""

    extracted: str | None
    correct: bool
    timeouts: int


@contextmanager
def open_grader(rules: Rules) -> Iterator[Callable[[tuple[str | None, bool, str]], Graded]]:
    """A function of (answer, whether it is a raw completion, reference) that grades it."""
    with Equivalence(conventions=rules.conventions) as equivalence:

        def work(argument: tuple[str | None, bool, str]) -> Graded:
            text, raw, reference = argument
            answer = rules.read(text or "") if raw else text
            if not answer or answer.isspace():
                return Graded(None, False, 0)
            before = equivalence.timeouts
            correct = equivalence.equal(answer, reference)
            return Graded(answer, correct, equivalence.timeouts - before)

        yield work
