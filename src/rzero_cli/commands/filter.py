"""`rzero filter`: keep the questions the Solver is uncertain of (`method/filtering.py`), and none
that repeats another (`analysis/repetition.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._input import Input
from rzero_cli.commands._output import hashed, record_origin
from rzero_cli.commands._run import Clock, say, stdin_or_help
from rzero_cli.data.json_text import quick_parser
from rzero_cli.data.jsonl import Batch, Line, Reject, parse_line, read_batches, read_lines
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.shards import Shard, parse_shard
from rzero_cli.data.whole_files import open_copy
from rzero_cli.errors import UsageError
from rzero_cli.method.filtering import Band, interval, keep, quick_keep
from rzero_cli.method.rewards import check_tokenizer

KEEP, GUARDS = "What to keep", "Guards against repetition"
BLEU, TAU_BLEU = opt.distance("filter", GUARDS)
Guard = Callable[[str, str], str | None]


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
    dedup: Annotated[
        str | None,
        opt.from_preset(
            "filter",
            "--dedup",
            help="Drop a question that was kept before: exact (white space and case apart) or near "
            "(near-duplicates, too).",
            panel=GUARDS,
            metavar="exact|near",
        ),
    ] = None,
    dedup_against: Annotated[
        list[str] | None,
        opt.from_preset(
            "filter",
            "--dedup-against",
            help="... or that is in this JSONL, such as an earlier iteration's. May be repeated.",
            panel=GUARDS,
            unset="none",
            metavar="FILE",
        ),
    ] = None,
    max_per_answer: Annotated[
        int | None,
        opt.from_preset(
            "filter",
            "--max-per-answer",
            help="Keep so many questions with one answer.",
            panel=GUARDS,
            min=1,
        ),
    ] = None,
    max_per_cluster: Annotated[
        int | None,
        opt.from_preset(
            "filter",
            "--max-per-cluster",
            help="Keep so many questions that are near one that was kept.",
            panel=GUARDS,
            min=1,
        ),
    ] = None,
    bleu: Annotated[str, BLEU] = opt.PRESET,
    tau_bleu: Annotated[float, TAU_BLEU] = opt.PRESET,
    question_key: opt.QuestionKey = "question",
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

    Self-play tends to ask the same again. The guards look at what is kept so far, first come first
    kept: with them memory grows, by 0.1 kB for a kept question, and by 2 kB for one that is near no
    other (--dedup near, --max-per-cluster) or, with --dedup near, in the files of --dedup-against.
    With --shard they look at the whole, and each part writes its own.

    [bold]Examples[/]

      rzero filter labeled.jsonl --delta 0.25 > train.jsonl

      rzero label questions.jsonl --m 10 | rzero filter --delta 0.25

      rzero filter labeled.jsonl --low 0.3 --high 0.8 -o train.jsonl

      rzero filter labeled.jsonl --dedup near --dedup-against iter-1/train.jsonl -o train.jsonl
    """
    clock = Clock()
    wanted = _interval(ctx, delta, low, high)
    part = parse_shard(shard)
    against = dedup_against or []
    _check_guards(dedup, against, bleu)
    names = stdin_or_help(ctx, files)
    given = Input(ctx, names)
    batches = read_batches(names)
    earlier = read_lines(against, strict=strict) if against else iter(())
    read = kept = 0
    # What each guard that was asked for has dropped.
    dropped = dict.fromkeys(_asked(dedup, max_per_answer, max_per_cluster), 0)

    def at_end(finished: Path) -> None:
        figures = {"read": read, "kept": kept} | dropped
        record_origin(ctx, finished, parents, clock, lambda _: figures, rejected=given.rejected)

    with (
        open_copy(output, force=force, at_end=at_end) as out,
        given.rejecting(),
    ):
        parents = hashed(*names, *against) if output and output != "-" else []
        how: dict[str, Any] = {"limit": limit, "strict": strict, "reject": given.reject}
        if dropped:
            from rzero_cli.analysis.repetition import guards  # `filter` starts without

            seen = (line.text_or_none(question_key) for line in earlier)
            how["guard"] = guards(
                dedup=dedup,
                seen=(question for question in seen if question is not None),
                max_per_answer=max_per_answer,
                max_per_cluster=max_per_cluster,
                tau_bleu=tau_bleu,
                bleu=bleu,
            )
            how["question_key"] = question_key if dedup or max_per_cluster else None
        given.good, kept = _copy(batches, out, wanted, part, dropped, **how)
        read = part.size(given.good)
    told = [
        f"{count} {name.replace('over_', 'over --').replace('_', '-')}"
        for name, count in dropped.items()
    ]
    more = f"; of these dropped: {', '.join(told)}" if told else ""
    say(
        f"filter: kept {kept} of {read} ({wanted[0]} <= p_hat <= {wanted[1]}){more}",
        quiet=quiet,
    )


def _copy(
    batches: Iterable[Batch],
    out: IO[bytes],
    within: Band,
    part: Shard,
    dropped: dict[str, int],
    *,
    limit: int | None,
    strict: bool,
    reject: Reject | None,
    guard: Guard | None = None,
    question_key: str | None = None,
) -> tuple[int, int]:
    """Copy the lines to keep; returns how many good ones were read, and how many were kept.

    Args:
        dropped: counts what the guard drops of this part.
        guard: says of a question and its answer why not to keep it, if it is not to be kept.
        question_key: where the question is that the guard looks at; None if at answers alone.
    """
    parse, decide = quick_parser(strict=strict), quick_keep(within)
    how: dict[str, Any] = {"exact": True, "strict": strict}

    def check(line: Line) -> None:
        labelled = _labelled(line)
        if question_key is not None and keep(*labelled, within):
            line.text(question_key)

    read = kept = 0
    for source, first, lines in batches:
        for number, raw in enumerate(lines, first):
            try:
                record = parse(raw)
                wanted = decide(raw, record)
                if wanted and question_key is not None and type(record[question_key]) is not str:
                    wanted = None
            except (ValueError, RecursionError, KeyError):
                wanted = None
            if wanted is None:  # read it exactly, or say what is wrong with it
                line = parse_line(source, number, raw, check=check, reject=reject, **how)
                if line is None:
                    continue
                raw, record, wanted = line.raw, line.record, keep(*_labelled(line), within)
            if wanted and guard:
                # All parts of a whole decide alike, and each writes its own.
                question = record[question_key] if question_key is not None else ""
                if (reason := guard(question, record["answer"])) is not None:
                    wanted = False
                    dropped[reason] += part.has(read)
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


def _check_guards(dedup: str | None, against: list[str], bleu: str) -> None:
    """Raise UsageError unless the guards' options go together."""
    if dedup not in (None, "exact", "near"):
        raise UsageError(f"--dedup {dedup}: must be exact or near")
    check_tokenizer("--bleu", bleu)
    for name in against:
        if dedup is None:
            raise UsageError(f"--dedup-against {name}: needs --dedup exact or --dedup near")
        if name == "-":
            raise UsageError("--dedup-against -: standard input is for the labels: name a file")


def _asked(dedup: str | None, per_answer: int | None, per_cluster: int | None) -> list[str]:
    """What the guards that were asked for drop a question as (`analysis/repetition.py`)."""
    asked = {
        "duplicates": dedup,
        "near_duplicates": dedup == "near",
        "over_max_per_answer": per_answer,
        "over_max_per_cluster": per_cluster and dedup != "near",
    }
    return [name for name, option in asked.items() if option]


def _interval(ctx: typer.Context, delta: str, low: str | None, high: str | None) -> Band:
    """The interval of p_hat to keep: --low and --high, unless --delta was asked for itself."""
    typed = {
        name
        for name in ("delta", "low", "high")
        if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")
    }
    if "delta" in typed and len(typed) > 1:
        raise UsageError("give --delta, or --low and --high, not both")
    if "delta" in typed:
        low = high = None
    return interval(delta, low, high)
