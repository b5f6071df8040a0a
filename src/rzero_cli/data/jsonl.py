"""JSONL input: lines that know their file and number.

Lines are read with `jsonlines` and parsed by `json_text.py`. A stage that only selects lines reads
batches of raw bytes instead and copies them unchanged. `journal.py` writes.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from rzero_cli.data.json_text import NESTED, parser, shallow
from rzero_cli.errors import DataError, UsageError

_BATCH = 1 << 18
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Skipped at the start of any line: some editors write it, and `cat` may put it mid-file."""
_LONGEST = 1 << 26  # input without line ends, such as /dev/zero, must not fill the memory
_TOO_LONG = b"\0 stands for a longer line\n"  # not JSON

Batch = tuple[str, int, list[bytes]]
"""A source, the number of the first line, and the raw lines, each with its end."""


@dataclass(slots=True)  # a frozen one takes as long to create as its JSON to parse
class Line:
    """One record of an input file, with the place it was read from."""

    source: str
    number: int
    raw: bytes
    record: dict[str, Any]

    def text(self, key: str) -> str:
        """Return the string under `key`. Raises DataError, which names file, line and key."""
        value = self.value(key, "a string")
        if not isinstance(value, str):
            raise self.error(f'key "{key}" must be a string, not {_kind(value)}')
        return value

    def text_or_none(self, key: str) -> str | None:
        """Return the string or None under `key`. Raises DataError for anything else."""
        return None if self.value(key, "a string or null") is None else self.text(key)

    def value(self, key: str, wanted: str) -> Any:
        """Return the value under `key`. Raises DataError, with `wanted`, if the key is missing."""
        if key not in self.record:
            there = ", ".join(list(self.record)[:8]) or "none"
            raise self.error(f'key "{key}" ({wanted}) is missing; keys here: {there}')
        return self.record[key]

    def error(self, message: str) -> DataError:
        """Return a DataError that starts with this line's file and number."""
        return DataError(f"{self.source}:{self.number}: {message}")

    def reason(self, error: DataError) -> str:
        """Return the message of such an error without file and number."""
        return str(error).removeprefix(f"{self.source}:{self.number}: ")


Check = Callable[[Line], object]
"""Raises DataError if a line is not valid for a command."""
Reject = Callable[[str, int, bytes | None, str], object]
"""Receives a bad line: its source, its number, its bytes (None if too long) and the reason."""


def refuse(source: str, number: int, raw: bytes, reason: str, reject: Reject | None) -> None:
    """Pass a bad line to `reject`; without one, raise DataError."""
    if reject is None:
        raise DataError(f"{source}:{number}: {reason}")
    reject(source, number, None if raw == _TOO_LONG else raw, reason)


def _kind(value: object) -> str:
    names = {bool: "true or false", dict: "an object", list: "a list", type(None): "null"}
    names |= {int: "a number", float: "a number", Decimal: "a number", str: "a string"}
    return names.get(type(value), type(value).__name__)


def read_lines(
    files: Sequence[str],
    *,
    limit: int | None = None,
    exact: bool = False,
    strict: bool = False,
    check: Check | None = None,
    reject: Reject | None = None,
) -> Iterator[Line]:
    """Stream the records of `files` in order; no file, or "-", is standard input.

    Args:
        files: paths.
        limit: the most good records to read.
        exact: parse numbers with a point as `Decimal`, to compare them as text.
        strict: refuse an object that has a key twice; otherwise its last value counts.
        check: refuses further lines.
        reject: receives the bad lines; by default the first one is an error.

    Raises:
        UsageError: a file does not exist or cannot be read; before anything is yielded.
        DataError: a line is not a JSON object, or `check` refuses it; names file and line.
    """
    names = _checked(files)
    loads = shallow(parser(exact=exact, strict=strict))

    def parsed() -> Iterator[Line]:
        for name in names:
            with _open(name) as (source, stream):
                yield from _parse(source, 1, _raw_lines(stream), loads, reject)

    return islice(checked(parsed(), check, reject) if check else parsed(), limit)


def count_lines(path: Path) -> int:
    """Return the number of lines of a file, including a last one without an end."""
    count, last = 0, b"\n"
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")


def checked(lines: Iterable[Line], check: Check, reject: Reject | None) -> Iterator[Line]:
    """Yield the good ones of `lines`; arguments as for `read_lines`."""
    for line in lines:
        try:
            check(line)
        except DataError as error:
            refuse(line.source, line.number, line.raw, line.reason(error), reject)
        else:
            yield line


def read_batches(files: Sequence[str]) -> Iterator[Batch]:
    """Stream the raw lines of `files` in batches, those of a pipe as soon as they arrive.

    Raises:
        UsageError: as `read_lines`.
    """
    return (batch for name in _checked(files) for batch in _read_batches(name))


def parse_line(
    source: str,
    number: int,
    raw: bytes,
    *,
    exact: bool = False,
    strict: bool = False,
    check: Check | None = None,
    reject: Reject | None = None,
) -> Line | None:
    """Parse one raw line as `read_lines` does; None for a blank or rejected one.

    Deeper nesting is allowed than in `read_lines`, since the line is copied, not written again.

    Raises:
        DataError: as `read_lines`.
    """
    lines = _parse(source, number, [raw], parser(exact=exact, strict=strict), reject)
    return next(checked(lines, check, reject) if check else lines, None)


def _checked(files: Sequence[str]) -> list[str]:
    names = list(files) or ["-"]
    if "-" in names and sys.stdin is None:
        raise UsageError("standard input is closed: give a file, or open it")
    for name in names:
        # Pipes are allowed: `rzero filter <(zcat labeled.jsonl.gz)`.
        if name != "-" and (Path(name).is_dir() or not Path(name).exists()):
            what = "is a directory, not a file" if Path(name).is_dir() else "no such file"
            raise UsageError(f"{name}: {what}")
    return names


def _standard_input() -> io.BufferedReader:
    """Return a new reader of standard input.

    A thread may block in it at exit, and Python would then wait for the lock of `sys.stdin`.
    """
    try:
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:  # sys.stdin was replaced, as by a test
        return io.BufferedReader(io.BytesIO(sys.stdin.buffer.read()))


@contextmanager
def _open(name: str) -> Iterator[tuple[str, io.BufferedReader]]:
    """Open a source; yield its name for messages and its stream of bytes."""
    with ExitStack() as stack:
        if name == "-":
            yield "<stdin>", stack.enter_context(_standard_input())
            return
        try:
            stream = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}") from error
        yield name, stream


def _raw_lines(stream: io.BufferedReader) -> Iterator[bytes]:
    readline = stream.readline
    while raw := readline(_LONGEST + 1):
        if len(raw) > _LONGEST:
            _skip_line(stream, raw)
            raw = _TOO_LONG
        yield raw


def _skip_line(stream: io.BufferedReader, raw: bytes) -> None:
    """Skip to the end of the line that starts with `raw`."""
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(_BATCH)


def _read_batches(name: str) -> Iterator[Batch]:
    with _open(name) as (source, stream):
        number, rest = 1, b""
        while block := stream.read1(_BATCH):
            # A line longer than a batch is read to its end.
            if b"\n" not in block:
                block += stream.readline(_LONGEST)
                if len(rest) + len(block) > _LONGEST:
                    _skip_line(stream, block)
                    rest, block = b"", _TOO_LONG
            lines = io.BytesIO(rest + block).readlines()
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield source, number, lines
            number += len(lines)
        if rest:
            yield source, number, [rest + b"\n"]


def _parse(
    source: str,
    first: int,
    raw_lines: Iterable[bytes],
    loads: Callable[[str], Any],
    reject: Reject | None,
) -> Iterator[Line]:
    import jsonlines  # slower to import than `filter` is to start

    number, raw = first, b""

    def lines() -> Iterator[bytes]:
        nonlocal number, raw
        for number, raw in enumerate(raw_lines, first):  # noqa: B007 - read by the loop below
            raw = raw.removeprefix(BYTE_ORDER_MARK)
            yield raw

    reader = jsonlines.Reader(lines(), loads=loads)
    while True:  # its iteration ends at each bad line and can be restarted after it
        try:
            for record in reader.iter(type=dict, skip_empty=True):
                yield Line(source, number, raw, record)
            return
        except (jsonlines.InvalidLineError, RecursionError) as error:
            reason = f"longer than {_LONGEST >> 20} MiB" if raw == _TOO_LONG else _reason(error)
            refuse(source, number, raw, reason, reject)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return NESTED
    cause = error.__cause__
    if isinstance(cause, json.JSONDecodeError):
        return f"not JSON: {cause.msg} at column {cause.pos + 1}"
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8: {cause.reason} at byte {cause.start + 1}"
    if isinstance(cause, ValueError):
        return str(cause)
    return "expected one JSON object per line"
