"""The records that a command writes, and the record of where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from rzero_cli.commands._input import Input
from rzero_cli.commands._run import Clock, settings_of
from rzero_cli.data.journal import Output, check_output, open_output
from rzero_cli.data.jsonl import Line, read_lines

__all__ = ["hashed", "made_from", "open_records", "record_origin"]


@contextmanager
def open_records(
    ctx: typer.Context,
    *parents: str,
    clock: Clock,
    metrics: Callable[[Iterator[Line]], dict[str, Any]],
    given: Input | None = None,
    made_with: Mapping[str, Any] = {},
) -> Iterator[Output]:
    """Open the output of a stage, by -o, --force and --resume, for its records: a file with its
    journal and its record, or standard output.

    Args:
        parents: files and models that the records are made from, hashed before the work.
        clock: of the command.
        metrics: figures, from the records.
        given: the input, whose bad lines are set aside within.
        made_with: what the records depend on beside the settings and the parents.

    Raises:
        UsageError, AlreadyDone: as `open_output`; a checkpoint is not what its own record says.
    """
    options = ctx.params
    output, force, resume = (options[name] for name in ("output", "force", "resume"))
    settings, origin = settings_of(ctx) | dict(made_with), list[dict[str, Any]]()
    if output and output != "-":
        check_output(Path(output), force=force, resume=resume)
        origin = hashed(*parents)
        settings |= made_from(origin)

    def at_end(finished: Path) -> None:
        rejected = given.rejected if given else None
        record_origin(ctx, finished, origin, clock, metrics, tokens=out.tokens, rejected=rejected)

    with (
        open_output(output, settings=settings, force=force, resume=resume, at_end=at_end) as out,
        given.rejecting() if given else nullcontext(),
    ):
        yield out


def hashed(*parents: str) -> list[dict[str, Any]]:
    """`provenance.hashed_parents` of files and models; standard input is none."""
    from rzero_cli.data.provenance import hashed_parents  # `filter` starts without

    return hashed_parents(name for name in parents if name != "-")


def made_from(parents: list[dict[str, Any]]) -> dict[str, Any]:
    """The hashes of files and models, by `hashed_parents`, so that what is unfinished is not
    continued with others in their place. Pipes and hub names have none."""
    found: dict[str, list[str]] = {"inputs": [], "models": []}
    for parent in parents:
        if parent["sha256"]:
            found["models" if Path(parent["path"]).is_dir() else "inputs"].append(parent["sha256"])
    return found


def record_origin(
    ctx: typer.Context,
    finished: Path,
    parents: list[dict[str, Any]],
    clock: Clock,
    metrics: Callable[[Iterator[Line]], dict[str, Any]],
    *,
    tokens: int | None = None,
    rejected: int | None = None,
) -> None:
    """Write `NAME.jsonl.meta.json` beside the output, before `finished` takes its place there.

    The figures are taken from the file itself, so they are the same however often the stage was
    interrupted; the time, and the `tokens` generated, are of this process.
    """
    from rzero_cli.data.provenance import describe, write_file_meta

    output = str(ctx.params["output"])
    record = describe(
        str(ctx.command.name),
        output=output,
        settings=settings_of(ctx),
        parents=parents,
        seconds=clock.seconds,
        metrics=metrics(read_lines([str(finished)])),
    )
    record |= {} if tokens is None else {"tokens": tokens}
    record["metrics"] |= {} if rejected is None else {"rejected": rejected}
    write_file_meta(Path(output), finished, record)
