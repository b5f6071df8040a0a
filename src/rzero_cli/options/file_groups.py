"""The options of records in and out, of messages and of the log."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rzero_cli.errors import UsageError
from rzero_cli.fields import argument, option
from rzero_cli.options.panels import INPUT, OUTPUT


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lines:
    """Which lines of a file are read, and what becomes of the bad ones."""

    PANEL: ClassVar = INPUT
    limit: int | None = option("Read only this many records.", default=None, min=1)
    # Which lines are skipped depends on it.
    strict: bool = option(
        "Refuse a record that has a key twice.",
        default=False,
        recorded=lambda lines: lines.on_error == "skip",
    )
    on_error: str = option(
        "At a bad line stop, or skip it: it goes into the file of --rejects.",
        default="stop",
        metavar="stop|skip",
    )
    rejects: str | None = option(
        "Skipped lines, each with what is wrong with it. Default: OUTPUT.rejects.jsonl.",
        default=None,
        metavar="FILE",
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Files:
    """The input files."""

    PANEL: ClassVar = INPUT
    files: list[str] | None = argument(
        "JSONL files, read one after the other; none or - is stdin.", metavar="FILE", default=None
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source(Lines, Files):
    """The records of files or of standard input."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Shard:
    """One part of the work, of many."""

    PANEL: ClassVar = INPUT
    shard: str | None = option(
        "Do only the I-th of N parts of the work, I from 0 to N-1; `cat` puts them together.",
        default=None,
        metavar="I/N",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ShardedSource(Shard, Source):
    """Records of which several jobs may do a part each."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class QuestionKey:
    """Where a record has its question."""

    PANEL: ClassVar = INPUT
    question_key: str = option("Key that holds the question.", default="question")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReferenceKey:
    """Where a record has its true answer."""

    PANEL: ClassVar = INPUT
    reference_key: str = option("Key that holds the true answer.", default="reference")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OracleData:
    """True answers from a file."""

    PANEL: ClassVar = INPUT
    oracle_data: str | None = option(
        "JSONL with the true answers (`question`, `reference`), found by exact question.",
        default=None,
        metavar="FILE",
    )


class Written(Protocol):
    """What every group of an output says."""

    @property
    def output(self) -> str | None: ...
    @property
    def force(self) -> bool: ...
    @property
    def resume(self) -> bool: ...


def output_option(help: str, metavar: str, **more: Any) -> Any:
    """Declare the field `output`."""
    return option(help, "-o", "--output", metavar=metavar, recorded=False, **more)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Replacing:
    """Whether an output that exists is replaced."""

    PANEL: ClassVar = OUTPUT
    force: bool = option("Replace the output if it exists.", default=False, recorded=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Resuming(Replacing):
    """Whether an interrupted run is continued."""

    resume: bool = option(
        "Continue an interrupted run; nothing to do if it is done.", default=False, recorded=False
    )


def _records() -> Any:
    return output_option("Write here instead of stdout.", "FILE", default=None)


def _checkpoint() -> Any:
    help = "Checkpoint directory to make; it appears whole or not at all."
    return output_option(help, "DIR", default=MISSING)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Target(Replacing):
    """Records written to a file or to standard output, faster than resuming would pay."""

    resume: ClassVar[bool] = False
    output: str | None = _records()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ResumableTarget(Resuming):
    """Records whose interrupted file can be continued."""

    output: str | None = _records()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NewCheckpoint(Replacing):
    """A checkpoint directory."""

    output: str = _checkpoint()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Checkpoint(Resuming):
    """A checkpoint directory whose interrupted training can be continued."""

    output: str = _checkpoint()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Json:
    """Output for machines."""

    PANEL: ClassVar = OUTPUT
    as_json: bool = option("Print JSON, for machines.", "--json", default=False, recorded=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Seed:
    """The seed."""

    PANEL: ClassVar = OUTPUT
    seed: int = option("Seed of everything drawn.", envvar="RZERO_SEED")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Workers:
    """How many processes read and compare answers."""

    PANEL: ClassVar = OUTPUT
    workers: int | None = option("Processes. Default: one for each core.", default=None, min=1)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Quiet:
    """Whether anything but errors is printed."""

    PANEL: ClassVar = OUTPUT
    quiet: bool = option("Print errors only.", "--quiet", "-q", default=False, recorded=False)


def _check_log_file(value: str | None) -> str | None:
    """Refuse what no line can be appended to, before any work. Raises UsageError."""
    if value == "-":
        raise UsageError("--log-file -: standard output is for records: give a file")
    from rzero_cli.system.progress import check_log_file  # `filter` starts without

    if value and (reason := check_log_file(Path(value))):
        raise UsageError(f"--log-file {value}: {reason}")
    return value or None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LogFile:
    """A log of the stage while it works."""

    PANEL: ClassVar = OUTPUT
    log_file: str | None = option(
        "Append the figures of the stage here, as JSONL, while it works.",
        default=None,
        envvar="RZERO_LOG_FILE",
        metavar="FILE",
        callback=_check_log_file,
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Messages(Quiet, LogFile):
    """What a person and a log are told."""
