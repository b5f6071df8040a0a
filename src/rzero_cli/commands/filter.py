"""`rzero filter`: keep the questions the Solver is uncertain about (`method/filtering.py`) and drop
repetitions (`analysis/repetition.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import IO, ClassVar

from rzero_cli.data.json_text import quick_parser
from rzero_cli.data.jsonl import (
    Batch,
    Line,
    Reject,
    parse_line,
    read_batches,
    read_lines,
)
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.shards import Shard, parse_shard
from rzero_cli.data.whole_files import open_copy
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.method.filtering import Band, keep, quick_keep
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Lines, QuestionKey, ShardedSource, Target
from rzero_cli.options.general import General
from rzero_cli.options.method_groups import Distance, Keep
from rzero_cli.options.source import Input
from rzero_cli.options.target import check_not_input, hashed, record_origin

Guard = Callable[[str, str], str | None]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Guards(Distance):
    """The guards against repetition among the kept questions."""

    PANEL: ClassVar = "Guards against repetition"
    dedup: str | None = option(
        "Drop duplicates of kept questions: exact (ignoring white space and case) or near "
        "(near-duplicates as well).",
        metavar="exact|near",
    )
    dedup_against: list[str] | None = option(
        "Also drop duplicates of questions in this JSONL file, e.g. an earlier iteration's. "
        "May be repeated.",
        unset="none",
        metavar="FILE",
    )
    max_per_answer: int | None = option("Maximum kept questions with the same answer.", min=1)
    max_per_cluster: int | None = option(
        "Maximum kept questions per cluster of near-duplicates.", min=1
    )

    def check(self) -> None:
        """Raise UsageError if the options contradict each other."""
        if self.dedup not in (None, "exact", "near"):
            raise UsageError(f"--dedup {self.dedup}: must be exact or near")
        super().check()
        for name in self.dedup_against or ():
            if self.dedup is None:
                raise UsageError(f"--dedup-against {name}: requires --dedup exact or --dedup near")
            if name == "-":
                raise UsageError("--dedup-against -: stdin is for the labels: give a file")

    def reasons(self) -> list[str]:
        """Return the reasons for which the enabled guards drop questions, as in
        `analysis/repetition.py`."""
        enabled = {
            "duplicates": self.dedup,
            "near_duplicates": self.dedup == "near",
            "over_max_per_answer": self.max_per_answer,
            "over_max_per_cluster": self.max_per_cluster and self.dedup != "near",
        }
        return [name for name, wanted in enabled.items() if wanted]


@command("filter", General)
def filter_(
    call: Call,
    source: ShardedSource,
    kept_interval: Keep,
    guarding: Guards,
    key: QuestionKey,
    target: Target,
) -> None:
    """Keep the questions the Solver is uncertain about; drop easy and hopeless ones.

    Reads the output of `label` and copies lines byte for byte, in constant memory. Records without
    a label (`answer` null) are always dropped.

    Self-play tends to repeat questions. The guards compare each question with those kept so far, in
    input order. They need memory: 0.1 kB per kept question. With --dedup near or --max-per-cluster,
    each question that is near no other takes 2 kB; with --dedup near, so does each question in the
    --dedup-against files. With --shard the guards see the whole input, and each part writes its own
    questions.

    [bold]Examples[/]

      rzero filter labeled.jsonl --delta 0.25 > train.jsonl

      rzero label questions.jsonl --m 10 | rzero filter --delta 0.25

      rzero filter labeled.jsonl --low 0.3 --high 0.8 -o train.jsonl

      rzero filter labeled.jsonl --dedup near --dedup-against iter-1/train.jsonl -o train.jsonl
    """
    wanted = _interval(call, kept_interval)
    part = parse_shard(source.shard)
    against = guarding.dedup_against or []
    guarding.check()
    names = call.stdin_or_help(source.files)
    if target.output:
        check_not_input(target.output, *names, *against)
    given = Input(call, names, source, target=target)
    batches = read_batches(names)
    earlier = read_lines(against, strict=source.strict) if against else iter(())
    read = kept = 0
    # Questions dropped, by enabled guard.
    dropped = dict.fromkeys(guarding.reasons(), 0)

    def at_end(finished: Path) -> None:
        figures = {"read": read, "kept": kept} | dropped
        record_origin(call, str(target.output), finished, parents, lambda _: figures, given)

    with (
        open_copy(target.output, force=target.force, at_end=at_end) as out,
        given.rejecting(),
    ):
        parents = hashed(*names, *against) if target.output and target.output != "-" else []
        guard, question_key = None, None
        if dropped:
            from rzero_cli.analysis.repetition import guards  # slow, and only needed here

            seen = (line.text_or_none(key.question_key) for line in earlier)
            guard = guards(
                dedup=guarding.dedup,
                seen=(question for question in seen if question is not None),
                max_per_answer=guarding.max_per_answer,
                max_per_cluster=guarding.max_per_cluster,
                tau_bleu=guarding.tau_bleu,
                bleu=guarding.bleu,
            )
            if guarding.dedup or guarding.max_per_cluster:
                question_key = key.question_key
        given.good, kept = _copy(
            batches, out, wanted, part, source, given.reject, dropped, guard, question_key
        )
        read = part.size(given.good)
    counts = [
        f"{count} {name.replace('over_', 'over --').replace('_', '-')}"
        for name, count in dropped.items()
    ]
    more = f"; dropped by guards: {', '.join(counts)}" if counts else ""
    call.say(f"kept {kept} of {read} ({wanted[0]} <= p_hat <= {wanted[1]}){more}")


def _copy(
    batches: Iterable[Batch],
    out: IO[bytes],
    within: Band,
    part: Shard,
    options: Lines,
    reject: Reject | None,
    dropped: dict[str, int],
    guard: Guard | None,
    question_key: str | None,
) -> tuple[int, int]:
    """Copy the lines to keep, and return how many valid lines were read and how many kept.

    Args:
        dropped: updated with the questions of this part that the guard drops, by reason.
        guard: returns the reason to drop a question, given it and its answer, or None.
        question_key: key of the question for the guard; None if the guard needs only answers.
    """
    strict = options.strict
    parse, decide = quick_parser(strict=strict), quick_keep(within)

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
            if wanted is None:  # parse it exactly, or report the error
                line = parse_line(
                    source, number, raw, check=check, reject=reject, exact=True, strict=strict
                )
                if line is None:
                    continue
                raw, record, wanted = line.raw, line.record, keep(*_labelled(line), within)
            if wanted and guard:
                # All parts make the same decisions; each part writes its own lines.
                question = record[question_key] if question_key is not None else ""
                if (reason := guard(question, record["answer"])) is not None:
                    wanted = False
                    dropped[reason] += part.has(read)
            if wanted and part.has(read):
                kept += 1
                out.write(raw)
            read += 1
            if read == options.limit:
                return read, kept
        out.flush()  # so that the next stage of a pipe need not wait for a full buffer
    return read, kept


def _labelled(line: Line) -> tuple[str | None, Decimal]:
    """Return the label and p_hat, as `keep` takes them. Raises DataError."""
    return line.text_or_none("answer"), p_hat_of(line)


def _interval(call: Call, given: Keep) -> Band:
    """Return the interval of p_hat to keep; a typed --delta overrides --low and --high."""
    typed = call.typed & {"delta", "low", "high"}
    if "delta" in typed and len(typed) > 1:
        raise UsageError("give either --delta or --low and --high, not both")
    return (replace(given, low=None, high=None) if "delta" in typed else given).interval()
