"""The output records of a command, and their record of origin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rzero_cli.data.journal import Output, check_output, open_output
from rzero_cli.data.jsonl import Line, read_lines
from rzero_cli.data.whole_files import part_of
from rzero_cli.errors import UsageError
from rzero_cli.options.command import Call
from rzero_cli.options.file_groups import ResumableTarget
from rzero_cli.options.source import Input


@contextmanager
def open_records(
    call: Call,
    target: ResumableTarget,
    *parents: str,
    metrics: Callable[[Iterator[Line]], dict[str, Any]],
    given: Input | None = None,
    made_with: Mapping[str, Any] = {},
) -> Iterator[Output]:
    """Open a stage's output: a file with a journal and a record of origin, or standard output.

    Args:
        parents: the files and models that the records are made from, hashed before the work.
        metrics: computes the metrics from the finished records.
        given: the input, whose bad lines are set aside in the block.
        made_with: further values that the records depend on.

    Raises:
        UsageError, AlreadyDone: as `open_output`; a checkpoint differs from its record; or the
            output is an input.
    """
    output, force, resume = target.output, target.force, target.resume
    settings, parents_found = call.compared | dict(made_with), list[dict[str, Any]]()
    if output and output != "-":
        check_not_input(output, *parents)
        check_output(Path(output), force=force, resume=resume)
        parents_found = hashed(*parents)
        settings |= made_from(parents_found)

    def at_end(finished: Path) -> None:
        place = str(output)
        record_origin(call, place, finished, parents_found, metrics, given, tokens=out.tokens)

    with (
        reporting_interruption(call, output),
        open_output(
            output,
            settings=settings,
            force=force,
            resume=resume,
            at_end=at_end,
            refused=call.refused,
        ) as out,
        given.rejecting() if given else nullcontext(),
    ):
        yield out


def check_not_input(output: str, *inputs: str) -> None:
    """Raise UsageError if an output file is one of the inputs, also by another name or link."""
    for name in inputs:
        if Path(name).is_file() and Path(output).exists() and Path(output).samefile(name):
            raise UsageError(f"-o {output}: would replace the input {name}; choose another name")


@contextmanager
def reporting_interruption(call: Call, output: str | None) -> Iterator[None]:
    """Print how to continue if Ctrl-C or SIGTERM ends the block and leaves something to resume."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if output and output != "-" and part_of(Path(output)).exists():
            call.say("interrupted: continue with --resume")
        raise


def hashed(*parents: str) -> list[dict[str, Any]]:
    """Hash files and models (`provenance.hashed_parents`), except standard input."""
    from rzero_cli.data.provenance import hashed_parents  # slow import that `filter` avoids

    return hashed_parents(name for name in parents if name != "-")


def made_from(parents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the hashes from `hashed_parents`, so that --resume refuses changed files and models.

    Pipes and hub names have no hash.
    """
    found: dict[str, list[str]] = {"inputs": [], "models": []}
    for parent in parents:
        if parent["sha256"]:
            found["models" if Path(parent["path"]).is_dir() else "inputs"].append(parent["sha256"])
    return found


def origin_of(
    call: Call,
    output: str,
    parents: list[dict[str, Any]],
    metrics: dict[str, Any],
    settings: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Return the record of origin of a command's output; `settings` are added to the command's."""
    from rzero_cli.data.provenance import describe

    return describe(
        call.command,
        output=output,
        settings=call.settings | dict(settings),
        parents=parents,
        seconds=call.seconds,
        spent=call.spent.seconds,
        metrics=metrics,
    )


def record_origin(
    call: Call,
    output: str,
    finished: Path,
    parents: list[dict[str, Any]],
    metrics: Callable[[Iterator[Line]], dict[str, Any]],
    given: Input | None,
    *,
    tokens: int | None = None,
) -> None:
    """Write `NAME.jsonl.meta.json` next to the output, before `finished` is renamed to it.

    The metrics are computed from the file itself, so interruptions do not change them; the time and
    the `tokens` generated are those of this process.
    """
    from rzero_cli.data.provenance import write_file_meta

    record = origin_of(call, output, parents, metrics(read_lines([str(finished)])))
    record |= {} if tokens is None else {"tokens": tokens}
    record["metrics"] |= given.rejected if given else {}
    write_file_meta(Path(output), finished, record)
