"""JSONL in and out: lines that know where they came from, files that appear whole.

Lines are read and written through `jsonlines`, with orjson behind it where that gives what the
standard library gives, and the standard library where it does not. A stage that only selects lines
reads them in batches of raw bytes instead, and copies them untouched. Writing goes to standard
output, or to a journal beside the target (`FILE.part`) which is renamed when the stage has finished
and which `--resume` continues.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from math import isinf
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from rzero_cli.errors import AlreadyDone, ClosedPipe, DataError, UsageError

# `filter` starts faster than jsonlines is imported, so that waits until it is used.
if TYPE_CHECKING:
    import jsonlines

__all__ = [
    "Batch",
    "Line",
    "Output",
    "can_continue",
    "check_new",
    "check_new_file",
    "check_output",
    "check_part",
    "open_copy",
    "open_journal",
    "open_output",
    "parse_line",
    "part_of",
    "protect_stdout",
    "quick_parser",
    "read_batches",
    "read_lines",
    "read_object",
    "write_json",
]

# What a journal holds for an input that gives no record, so that its lines stay aligned with the
# inputs; removed when the file is finished. No record is written with this space.
_NO_RECORD = b'{"rzero_no_record": true}\n'
_COMPACT = (",", ":")
# Integers that 64 bits cannot hold have at least 19 digits.
_ONLY_ZEROS, _LONG = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 19
_BATCH = 1 << 18


Batch = tuple[str, int, list[bytes]]
"""A source, the number of a line of it, and the raw lines from there on, each with its end."""


@dataclass(slots=True)  # frozen, it would take as long to make as its JSON to parse
class Line:
    """One record of an input file, with the place it was read from."""

    source: str
    number: int
    raw: bytes
    record: dict[str, Any]

    def text(self, key: str) -> str:
        """The string under `key`; DataError names file, line and key if it is not one."""
        value = self.value(key, "a string")
        if not isinstance(value, str):
            raise self.error(f'key "{key}" must be a string, not {_kind(value)}')
        return value

    def text_or_none(self, key: str) -> str | None:
        """The string or null under `key`; DataError if it is missing or anything else."""
        return None if self.value(key, "a string or null") is None else self.text(key)

    def value(self, key: str, wanted: str) -> Any:
        """Whatever is under `key`; DataError if the key is missing."""
        if key not in self.record:
            there = ", ".join(list(self.record)[:8]) or "none"
            raise self.error(f'key "{key}" ({wanted}) is missing; keys here: {there}')
        return self.record[key]

    def error(self, message: str) -> DataError:
        """A DataError that begins with this line's file and number."""
        return DataError(f"{self.source}:{self.number}: {message}")


def _kind(value: object) -> str:
    names = {bool: "true or false", dict: "an object", list: "a list", type(None): "null"}
    names |= {int: "a number", float: "a number", Decimal: "a number", str: "a string"}
    return names.get(type(value), type(value).__name__)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text} is out of range") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        quoted = json.dumps(twice, ensure_ascii=False)
        raise ValueError(f"key {quoted} is there more than once")
    return record


def _parser(*, exact: bool = False, strict: bool = False) -> Callable[[str], Any]:
    """What the standard library makes of a line, with orjson's help where the two agree."""
    decode = json.JSONDecoder(
        parse_constant=_reject_constant,
        parse_float=_decimal if exact else _float,
        object_pairs_hook=_unique if strict else None,
    ).decode

    def loads(text: str) -> Any:
        raw = text.encode()
        # orjson makes floats of integers beyond 64 bits. This finds them faster than a pattern.
        if _LONG in raw.translate(_ONLY_ZEROS):
            return decode(text)
        try:
            return orjson.loads(raw)
        except ValueError:
            # It refuses lone surrogates and deep nesting; what is wrong is said as ever.
            return decode(text)

    return decode if exact or strict else loads


def quick_parser(*, strict: bool = False) -> Callable[[bytes], Any]:
    """A parser of raw lines for whoever leaves to `parse_line` what it refuses (ValueError or
    RecursionError). It refuses more than that does, never less, and makes floats of integers that
    64 bits cannot hold.
    """
    if not strict:
        return orjson.loads
    decode = _parser(strict=True)
    return lambda raw: decode(raw.decode())


def read_lines(
    files: Sequence[str], *, limit: int | None = None, exact: bool = False, strict: bool = False
) -> Iterator[Line]:
    """Stream the records of `files` one after the other; none, or "-", is standard input.

    With `exact`, numbers with a point are `Decimal`, so a boundary can be decided on their text.
    With `strict`, an object that has a key twice is an error; otherwise its last value counts.

    Raises:
        UsageError: a file is not there or cannot be read (before anything is yielded).
        DataError: a line is not a JSON object; names file and line.
    """
    names = _checked(files)
    loads = _parser(exact=exact, strict=strict)
    lines = (line for name in names for line in _read_file(name, loads))
    return islice(lines, limit)


def read_batches(files: Sequence[str]) -> Iterator[Batch]:
    """The raw lines of `files`, as many at a time as are there: a pipe's as soon as they come.

    Raises:
        UsageError: as `read_lines`.
    """
    return (batch for name in _checked(files) for batch in _read_batches(name))


def parse_line(
    source: str, number: int, raw: bytes, *, exact: bool = False, strict: bool = False
) -> Line | None:
    """One raw line as `read_lines` reads it; None for a blank one.

    Raises:
        DataError: as `read_lines`.
    """
    return next(_parse(source, number, [raw], _parser(exact=exact, strict=strict)), None)


def _checked(files: Sequence[str]) -> list[str]:
    names = list(files) or ["-"]
    if "-" in names and sys.stdin is None:
        raise UsageError("standard input is closed: name a file, or open it")
    for name in names:
        # A pipe is as good as a file: `rzero filter <(zcat labeled.jsonl.gz)`.
        if name != "-" and (Path(name).is_dir() or not Path(name).exists()):
            what = "is a directory, not a file" if Path(name).is_dir() else "no such file"
            raise UsageError(f"{name}: {what}")
    return names


def _standard_input() -> io.BufferedReader:
    """A reader of our own: a thread may wait in it when the process ends, and python would then
    wait for the lock of its own one."""
    try:
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:  # somebody has put something else in its place
        return io.BufferedReader(io.BytesIO(sys.stdin.buffer.read()))


@contextmanager
def _open(name: str) -> Iterator[tuple[str, io.BufferedReader]]:
    """The name of a source as messages give it, and its bytes."""
    with ExitStack() as stack:
        if name == "-":
            yield "<stdin>", stack.enter_context(_standard_input())
            return
        try:
            stream = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}") from error
        yield name, stream


def _read_file(name: str, loads: Callable[[str], Any]) -> Iterator[Line]:
    with _open(name) as (source, stream):
        yield from _parse(source, 1, stream, loads)


def _read_batches(name: str) -> Iterator[Batch]:
    with _open(name) as (source, stream):
        number, begun = 1, b""
        while block := stream.read1(_BATCH):
            # A line longer than a batch is read to its end.
            if b"\n" not in block:
                block += stream.readline()
            lines = io.BytesIO(begun + block).readlines()
            begun = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield source, number, lines
            number += len(lines)
        if begun:
            yield source, number, [begun + b"\n"]


def _parse(
    source: str, first: int, raw_lines: Iterable[bytes], loads: Callable[[str], Any]
) -> Iterator[Line]:
    import jsonlines

    number, raw = first, b""

    def lines() -> Iterator[bytes]:
        nonlocal number, raw
        for number, raw in enumerate(raw_lines, first):  # noqa: B007 - read by the loop below
            yield raw

    reader = jsonlines.Reader(lines(), loads=loads)
    try:
        for record in reader.iter(type=dict, skip_empty=True):
            yield Line(source, number, raw, record)
    except jsonlines.InvalidLineError as error:
        raise DataError(f"{source}:{number}: {_reason(error)}") from error
    except RecursionError as error:
        raise DataError(f"{source}:{number}: JSON nested too deeply") from error


def _reason(error: jsonlines.InvalidLineError) -> str:
    cause = error.__cause__
    if isinstance(cause, json.JSONDecodeError):
        return f"not JSON: {cause.msg} at column {cause.pos + 1}"
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8: {cause.reason} at byte {cause.start + 1}"
    if isinstance(cause, ValueError):
        return str(cause)
    return "expected one JSON object a line"


# orjson would take these, which JSON has not; the standard library then decides.
_AS_STANDARD = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def dumps(record: object) -> bytes:
    """One line of JSON, compact, UTF-8 as it is; lone surrogates are escaped, UTF-8 having none.

    Raises:
        TypeError: something in it is no JSON value.
        ValueError: so is a number, NaN or infinite.
    """
    try:
        line = orjson.dumps(record, option=_AS_STANDARD)
    except TypeError:  # or integers beyond 64 bits, lone surrogates, deep nesting
        return _dumps_slowly(record)
    # orjson writes null for NaN. What it wrote is unequal to the record, then.
    if b"null" in line and orjson.loads(line) != record:
        return _dumps_slowly(record)
    return line


def _dumps_slowly(record: object) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=_COMPACT)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(record, allow_nan=False, separators=_COMPACT).encode()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object")
    return value


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


@contextmanager
def protect_stdout() -> Iterator[IO[bytes]]:
    """Take standard output for records alone; gives the stream to write them to.

    Whatever else is printed on file descriptor 1 from now on, by a library or by a child process,
    goes to standard error instead.

    Raises:
        ClosedPipe: whoever read our output has left.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed: give -o FILE, or open it")
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(private, "wb")
    try:
        yield stream
        stream.flush()
    except BrokenPipeError as error:
        raise ClosedPipe from error
    finally:
        with suppress(BrokenPipeError):
            stream.close()


def _nothing_on_stdout() -> None:
    """Send what libraries print on standard output from now on to standard error: the records go
    to a file, and whoever reads our pipe should not take notices for records."""
    with suppress(OSError):  # one of the two may be closed
        os.dup2(2, 1)


class Output:
    """Where a stage writes its records, one `write` for each of its inputs, in their order."""

    def __init__(self, stream: IO[bytes], *, done: int = 0, journal: bool = False) -> None:
        self.done = done
        """How many inputs a continued journal already answers; skip these."""
        import jsonlines

        self._stream = stream
        self._writer = jsonlines.Writer(stream, dumps=dumps)
        self._journal = journal

    def write(self, record: dict[str, Any] | None) -> None:
        """Write the record of the next input; None where that input gives no record."""
        if record is not None:
            self._writer.write(record)
        elif self._journal:
            self._stream.write(_NO_RECORD)
        self._stream.flush()


@contextmanager
def open_output(
    path: str | None,
    *,
    settings: dict[str, Any],
    force: bool = False,
    resume: bool = False,
) -> Iterator[Output]:
    """Open `path` for records, or standard output where it is None or "-".

    A file is written as a journal, `FILE.part`, and put in place when the block ends well.

    Raises:
        UsageError: as `open_journal`; or `resume` without a file.
        AlreadyDone: as `open_journal`.
    """
    if path is None or path == "-":
        if resume:
            raise UsageError("--resume needs -o FILE: standard output cannot be continued")
        with protect_stdout() as stream:
            yield Output(stream)
        return
    target = Path(path)
    with open_journal(target, settings=settings, force=force, resume=resume) as (output, part):
        _nothing_on_stdout()
        yield output
        clean = target.with_name(target.name + ".part.clean")
        with part.open("rb") as journal, clean.open("wb") as stream:
            stream.writelines(raw for raw in journal if raw != _NO_RECORD)
            stream.flush()
            os.fsync(stream.fileno())
        clean.replace(target)


@contextmanager
def open_journal(
    target: Path, *, settings: dict[str, Any], force: bool, resume: bool
) -> Iterator[tuple[Output, Path]]:
    """Open the journal of `target`, `TARGET.part`; removed when the block, which makes the target
    from it, ends well. If it does not, the journal stays, for `resume`.

    Args:
        settings: what the result depends on: a journal made with others is not continued.

    Raises:
        UsageError: the target exists (without `force`), its folder does not, or a journal is
            there that `resume` was not given for or that other settings made.
        AlreadyDone: with `resume`, when the target is complete.
    """
    check_done(target, force=force, resume=resume)
    check_new_file(target, force=force)
    part, made_with = part_of(target), target.with_name(target.name + ".part.json")
    done = 0
    if can_continue(target, part, made_with, settings, force=force, resume=resume):
        done = _count_lines(part)
    else:
        part.write_bytes(b"")
        write_json(made_with, settings)
    try:
        with part.open("ab") as stream:
            yield Output(stream, done=done, journal=True), part
    except BaseException:
        if part.exists() and not part.stat().st_size:  # nothing in it to go on from
            part.unlink()
            made_with.unlink()
        raise
    part.unlink()
    made_with.unlink()


def check_output(target: Path, *, force: bool, resume: bool) -> None:
    """Raise what `open_journal` would, but for other settings, before anything is opened."""
    check_new_file(target, force=force or resume)
    check_done(target, force=force, resume=resume)
    check_part(part_of(target), force=force, resume=resume)


def check_done(target: Path, *, force: bool, resume: bool) -> None:
    """Raise AlreadyDone where `resume` finds nothing left to do."""
    if resume and target.exists() and not force:
        raise AlreadyDone(f"{target} is complete already")


def can_continue(
    target: Path,
    part: Path,
    made_with: Path,
    settings: dict[str, Any],
    *,
    force: bool,
    resume: bool,
) -> bool:
    """Whether the unfinished `part` of `target` is to be continued, or a new one begun.

    `force` with `resume` replaces the target and continues what was begun for that.

    Args:
        made_with: the file that holds the settings `part` was made with.

    Raises:
        UsageError: the target exists, or `part` does and `resume` was not given, or was given
            with other settings.
    """
    check_new(target, force=force)
    check_part(part, force=force, resume=resume)
    if not part.exists() or not resume:
        return False
    before = json.loads(made_with.read_text("utf-8")) if made_with.exists() else {}
    now = json.loads(json.dumps(settings))
    if before != now and force:
        return False
    if before != now:
        names = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        raise UsageError(
            f"{part} was made with other settings ({', '.join(names)}): give the same, or start "
            "over with --force"
        )
    return True


def part_of(target: Path) -> Path:
    """Where the unfinished `target` lies."""
    return target.with_name(target.name + ".part")


def check_part(part: Path, *, force: bool, resume: bool) -> None:
    """Refuse to overwrite what an interrupted run has left. Raises UsageError."""
    if part.exists() and not (force or resume):
        raise UsageError(
            f"{part} is there from an interrupted run: go on with --resume, or start over with "
            "--force"
        )


def check_new(target: Path, *, force: bool) -> None:
    """Refuse a target that exists or has no folder to be in. Raises UsageError."""
    if target.exists() and not force:
        raise UsageError(f"{target} exists: choose another name, or replace it with --force")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target.absolute().parent}: no such folder for {target.name}")


def check_new_file(target: Path, *, force: bool) -> None:
    """`check_new`, and refuse a folder even with `force`. Raises UsageError."""
    check_new(target, force=force)
    if target.is_dir():
        raise UsageError(f"{target} is a directory: give -o a file in it")


def _count_lines(part: Path) -> int:
    """Number of whole lines; a torn last line, left by a crash, is cut off."""
    done = end = 0
    with part.open("rb+") as stream:
        for raw in stream:
            if not raw.endswith(b"\n"):
                break
            done, end = done + 1, end + len(raw)
        stream.truncate(end)
    return done


def open_copy(path: str | None, *, force: bool = False) -> AbstractContextManager[IO[bytes]]:
    """Open `path` for lines copied as they are (`filter`), or standard output.

    Raises:
        UsageError: as `open_output`.
    """
    return _copy_file(Path(path), force) if path and path != "-" else protect_stdout()


@contextmanager
def _copy_file(target: Path, force: bool) -> Iterator[IO[bytes]]:
    check_new_file(target, force=force)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
