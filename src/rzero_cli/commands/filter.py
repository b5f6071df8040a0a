"""`rzero filter`: keep the questions the Solver is unsure of (`core/keep.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import hashed, record_origin
from rzero_cli.commands._run import Clock, say, stdin_or_help
from rzero_cli.core.keep import Band, band, keep, quick_keep
from rzero_cli.core.outputs import open_copy
from rzero_cli.core.records import p_hat_of
from rzero_cli.core.shards import Shard, parse_shard
from rzero_cli.core.streams import Batch, Line, Reject, parse_line, quick_parser, read_batches
from rzero_cli.errors import UsageError

KEEP = "What to keep"
# 1/2 - 1e-999999999 has a billion digits.
MOST_PLACES = 1000


def filter_(
    ctx: typer.Context,
    files: opt.Files = None,
    delta: Annotated[
        str,
        opt.from_preset(
            "filter", "--delta", help="Keep |p_hat - 1/2| <= delta, boundary included.", panel=KEEP
        ),
    ] = opt.PRESET,
    low: Annotated[
        str | None,
        opt.from_preset(
            "filter", "--low", help="Keep p_hat from here on, instead of --delta.", panel=KEEP
        ),
    ] = None,
    high: Annotated[
        str | None, opt.from_preset("filter", "--high", help="... up to here.", panel=KEEP)
    ] = None,
    limit: opt.Limit = None,
    shard: opt.Shard = None,
    strict: opt.Strict = False,
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    output: opt.Out = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Keep the questions the Solver is unsure of; drop the easy and the hopeless.

    Copies lines byte for byte, in constant memory. A record without a label (`answer` null) is
    always dropped. Reads what `label` writes.

    [bold]Examples[/]

      rzero filter labeled.jsonl --delta 0.25 > train.jsonl

      rzero label questions.jsonl --m 10 | rzero filter --delta 0.25

      rzero filter labeled.jsonl --low 0.3 --high 0.8 -o train.jsonl
    """
    clock = Clock()
    interval = _interval(ctx, delta, low, high)
    part = parse_shard(shard)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names)
    batches = read_batches(names)
    read = kept = 0

    def at_end(finished: Path) -> None:
        figures = {"read": read, "kept": kept}
        record_origin(ctx, finished, parents, clock, lambda _: figures, rejected=given.rejected)

    with (
        open_copy(output, force=force, at_end=at_end) as out,
        given.rejecting(),
    ):
        parents = hashed(*names) if output and output != "-" else []
        how: dict[str, Any] = {"limit": limit, "strict": strict, "reject": given.reject}
        given.good, kept = _copy(batches, out, interval, part, **how)
        read = part.size(given.good)
    say(f"filter: kept {kept} of {read} ({interval[0]} <= p_hat <= {interval[1]})", quiet=quiet)


def _copy(
    batches: Iterable[Batch],
    out: IO[bytes],
    interval: Band,
    part: Shard,
    *,
    limit: int | None,
    strict: bool,
    reject: Reject | None,
) -> tuple[int, int]:
    """Copy the lines to keep; returns how many good ones were read, and how many were kept."""
    parse, decide = quick_parser(strict=strict), quick_keep(interval)
    how: dict[str, Any] = {"exact": True, "strict": strict}
    read = kept = 0
    for source, first, lines in batches:
        for number, raw in enumerate(lines, first):
            try:
                wanted = decide(raw, parse(raw))
            except (ValueError, RecursionError):
                wanted = None
            if wanted is None:  # read it exactly, or say what is wrong with it
                line = parse_line(source, number, raw, check=_labelled, reject=reject, **how)
                if line is None:
                    continue
                raw, wanted = line.raw, keep(*_labelled(line), interval)
            if wanted and part.has(read):
                kept += 1
                out.write(raw)
            read += 1
            if read == limit:
                return read, kept
        out.flush()  # whoever reads our pipe should not wait for a full buffer
    return read, kept


def _labelled(line: Line) -> tuple[str | None, Decimal]:
    """What `keep` looks at. Raises DataError."""
    return line.text_or_none("answer"), p_hat_of(line)


def _interval(ctx: typer.Context, delta: str, low: str | None, high: str | None) -> Band:
    """The interval of p_hat to keep: --low and --high, unless --delta was asked for itself."""
    typed = {
        name
        for name in ("delta", "low", "high")
        if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")
    }
    if "delta" in typed and len(typed) > 1:
        raise UsageError("give --delta, or --low and --high, not both")
    if (low is None and high is None) or "delta" in typed:
        return band(_number("--delta", delta, Decimal("0.5")))
    bounds = _number("--low", low or "0"), _number("--high", high or "1")
    if bounds[0] > bounds[1]:
        raise UsageError(f"--low {low} is above --high {high}")
    return bounds


def _number(option: str, text: str, largest: Decimal = Decimal(1)) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{option} {text}: not a number") from None
    if value.is_nan() or not 0 <= value <= largest:
        raise UsageError(f"{option} {text}: must be between 0 and {largest}")
    if value.adjusted() < -MOST_PLACES or len(value.as_tuple().digits) > MOST_PLACES:
        raise UsageError(f"{option} {text}: more than {MOST_PLACES} decimal places")
    return value
