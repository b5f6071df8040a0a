"""`rzero grade`: is an answer right? (`core/equivalence.py`)"""

from __future__ import annotations

from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import (
    Clock,
    input_hashes,
    record_origin,
    say,
    settings_of,
    stdin_or_help,
)
from rzero_cli.core.answers import extract_boxed
from rzero_cli.core.equivalence import Equivalence
from rzero_cli.core.streams import Line, open_output, read_lines


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
    limit: opt.Limit = None,
    output: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    config: opt.Config = None,
    preset: opt.Preset = opt.PRESET,
) -> None:
    r"""Say of each answer whether it is equivalent to the reference.

    Adds `extracted` (the answer that was compared: `answer`, or the last box of `completion`) and
    `correct`. An answer that cannot be read is wrong. With --truth the reference comes from the
    computable world of `rzero tiny-base`, so that pseudo-labels can be checked.

    [bold]Examples[/]

      rzero grade outputs.jsonl --completion-key output --reference-key gold

      rzero grade --truth runs/demo/iter-1/train.jsonl
    """
    clock = Clock()
    names = stdin_or_help(ctx, files)
    lines = read_lines(names, limit=limit)
    count = right = 0
    made_with = settings_of(ctx) | input_hashes(names)
    with (
        open_output(output, settings=made_with, force=force, resume=resume) as out,
        Equivalence() as equivalence,
    ):
        for line in lines:
            extracted = _extracted(line, answer_key, completion_key)
            record = dict(line.record)
            if truth:
                from rzero_cli.world.questions import truth as computed

                record[reference_key] = computed(line.text(question_key))
                reference = record[reference_key]
            else:
                reference = line.text(reference_key)
            correct = extracted is not None and equivalence.equal(extracted, reference)
            count, right = count + 1, right + correct
            if count > out.done:
                out.write(record | {"extracted": extracted, "correct": correct})
        timeouts = equivalence.timeouts
    record_origin(
        ctx,
        output,
        parents=names,
        clock=clock,
        metrics=lambda _: {"graded": count, "correct": right},
    )
    say(
        f"grade: {right} of {count} correct ({right / max(1, count):.1%}), "
        f"{timeouts} comparisons timed out",
        quiet=quiet,
    )


def _extracted(line: Line, answer_key: str, completion_key: str) -> str | None:
    if answer_key not in line.record and completion_key in line.record:
        return extract_boxed(line.text(completion_key))
    return line.text_or_none(answer_key)
