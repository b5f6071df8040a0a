"""The options of input and output files, messages and the metrics log."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rzero_cli.errors import UsageError
from rzero_cli.fields import argument, option
from rzero_cli.options.panels import INPUT, OUTPUT


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lines:
    """The lines to read, and the handling of bad ones."""

    PANEL: ClassVar = INPUT
    limit: int | None = option("Read only the first N records.", default=None, min=1)
    # It affects the result only if bad lines are skipped.
    strict: bool = option(
        "Reject records with duplicate keys.",
        default=False,
        recorded=lambda lines: lines.on_error == "skip",
    )
    on_error: str = option(
        "What to do at a bad line: stop, or skip it and write it to the --rejects file.",
        default="stop",
        metavar="stop|skip",
    )
    rejects: str | None = option(
        "File for skipped lines, with the reason for each. Default: OUTPUT.rejects.jsonl.",
        default=None,
        metavar="FILE",
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Files:
    """The input files."""

    PANEL: ClassVar = INPUT
    files: list[str] | None = argument(
        "JSONL files, read in order; none or - is stdin.", metavar="FILE", default=None
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source(Lines, Files):
    """The records of files or of standard input."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Shard:
    """One part of the work."""

    PANEL: ClassVar = INPUT
    shard: str | None = option(
        "Do only part I of N (I from 0 to N-1); join the outputs with `cat`.",
        default=None,
        metavar="I/N",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ShardedSource(Shard, Source):
    """Records that several jobs can share."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class QuestionKey:
    """The key of the question."""

    PANEL: ClassVar = INPUT
    question_key: str = option("Key of the question.", default="question")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReferenceKey:
    """The key of the true answer."""

    PANEL: ClassVar = INPUT
    reference_key: str = option("Key of the true answer.", default="reference")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OracleData:
    """True answers from a file."""

    PANEL: ClassVar = INPUT
    oracle_data: str | None = option(
        "JSONL of true answers (`question`, `reference`), matched by exact question.",
        default=None,
        metavar="FILE",
    )


class Written(Protocol):
    """The interface of all output groups."""

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
    """The replacement of an existing output."""

    PANEL: ClassVar = OUTPUT
    force: bool = option("Overwrite the output if it exists.", default=False, recorded=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Resuming(Replacing):
    """The continuation of an interrupted run."""

    resume: bool = option(
        "Continue an interrupted run; exits at once if it is finished.",
        default=False,
        recorded=False,
    )


def _records() -> Any:
    return output_option("Output file, instead of stdout.", "FILE", default=None)


def _checkpoint() -> Any:
    help = "Checkpoint directory to write; it appears complete or not at all."
    return output_option(help, "DIR", default=MISSING)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Target(Replacing):
    """Records for a file or standard output, written too fast to need resuming."""

    resume: ClassVar[bool] = False
    output: str | None = _records()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ResumableTarget(Resuming):
    """Records for a file, which can be resumed, or standard output."""

    output: str | None = _records()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NewCheckpoint(Replacing):
    """A checkpoint directory."""

    output: str = _checkpoint()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Checkpoint(Resuming):
    """A checkpoint directory whose training can be resumed."""

    output: str = _checkpoint()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Json:
    """The output format."""

    PANEL: ClassVar = OUTPUT
    as_json: bool = option("Print JSON.", "--json", default=False, recorded=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Seed:
    """The random seed."""

    PANEL: ClassVar = OUTPUT
    seed: int = option("Random seed.", envvar="RZERO_SEED")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Workers:
    """The number of worker processes."""

    PANEL: ClassVar = OUTPUT
    workers: int | None = option("Worker processes. Default: one per core.", default=None, min=1)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Quiet:
    """The verbosity of messages."""

    PANEL: ClassVar = OUTPUT
    quiet: bool = option("Print errors only.", "--quiet", "-q", default=False, recorded=False)


def _check_log_file(value: str | None) -> str | None:
    """Check before any work that the log can be appended to. Raises UsageError."""
    if value == "-":
        raise UsageError("--log-file -: stdout is for records: give a file")
    from rzero_cli.system.progress import check_log_file  # slow import that `filter` avoids

    if value and (reason := check_log_file(Path(value))):
        raise UsageError(f"--log-file {value}: {reason}")
    return value or None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LogFile:
    """The metrics log."""

    PANEL: ClassVar = OUTPUT
    log_file: str | None = option(
        "Append the stage's metrics to this JSONL file as it runs.",
        default=None,
        envvar="RZERO_LOG_FILE",
        metavar="FILE",
        callback=_check_log_file,
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Messages(Quiet, LogFile):
    """Messages and the metrics log."""
