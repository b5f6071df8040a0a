"""JSONL in: lines that know where they came from.

Lines are read through `jsonlines`, each parsed by `json_text.py`. A stage that only selects lines
reads them in batches of raw bytes instead, and copies them untouched. `journal.py` writes.
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
"""Some editors begin a file with it, and `cat` puts it in the middle of one. It is read over."""
_LONGEST = 1 << 26  # what has no ends of lines, such as /dev/zero, would fill the memory
_TOO_LONG = b"\0 stands for a longer line\n"  # no JSON

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

    def reason(self, error: DataError) -> str:
        """What such an error says, without the place."""
        return str(error).removeprefix(f"{self.source}:{self.number}: ")


Check = Callable[[Line], object]
"""Raises DataError where a line is not what a command needs."""
Reject = Callable[[str, int, bytes | None, str], object]
"""Takes a bad line: its source, its number, its bytes (None where it is longer than is kept), and
what is wrong with it."""


def refuse(source: str, number: int, raw: bytes, reason: str, reject: Reject | None) -> None:
    """Give a bad line to `reject`; without one, raise DataError."""
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
    """Stream the records of `files` one after the other; none, or "-", is standard input.

    With `exact`, numbers with a point are `Decimal`, so a boundary can be decided on their text.
    With `strict`, an object that has a key twice is an error; otherwise its last value counts.

    Args:
        limit: read only so many good records.
        check: what else a good line is.
        reject: takes the bad lines, and reading goes on; by default the first is an error.

    Raises:
        UsageError: a file is not there or cannot be read (before anything is yielded).
        DataError: a line is not a JSON object, or as `check`; names file and line.
    """
    names = _checked(files)
    loads = shallow(parser(exact=exact, strict=strict))
    lines = (line for name in names for line in _read_file(name, loads, reject))
    return islice(checked(lines, check, reject) if check else lines, limit)


def count_lines(path: Path) -> int:
    """How many lines a file has, whatever is in them; a last one without an end is one, too."""
    count, last = 0, b"\n"
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")


def checked(lines: Iterable[Line], check: Check, reject: Reject | None) -> Iterator[Line]:
    """The good ones of `lines`; arguments as for `read_lines`."""
    for line in lines:
        try:
            check(line)
        except DataError as error:
            refuse(line.source, line.number, line.raw, line.reason(error), reject)
        else:
            yield line


def read_batches(files: Sequence[str]) -> Iterator[Batch]:
    """The raw lines of `files`, as many at a time as are there: a pipe's as soon as they come.

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
    """One raw line as `read_lines` reads it; None for a blank one, or one given to `reject`.

    It may be nested as deep as it can be read, since its bytes can be copied.

    Raises:
        DataError: as `read_lines`.
    """
    lines = _parse(source, number, [raw], parser(exact=exact, strict=strict), reject)
    return next(checked(lines, check, reject) if check else lines, None)


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


def _read_file(name: str, loads: Callable[[str], Any], reject: Reject | None) -> Iterator[Line]:
    with _open(name) as (source, stream):
        yield from _parse(source, 1, _raw_lines(stream), loads, reject)


def _raw_lines(stream: io.BufferedReader) -> Iterator[bytes]:
    readline = stream.readline
    while raw := readline(_LONGEST + 1):
        if len(raw) > _LONGEST:
            _read_over(stream, raw)
            raw = _TOO_LONG
        yield raw


def _read_over(stream: io.BufferedReader, raw: bytes) -> None:
    """Go to the end of the line whose beginning is `raw`."""
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(_BATCH)


def _read_batches(name: str) -> Iterator[Batch]:
    with _open(name) as (source, stream):
        number, begun = 1, b""
        while block := stream.read1(_BATCH):
            # A line longer than a batch is read to its end.
            if b"\n" not in block:
                block += stream.readline(_LONGEST)
                if len(begun) + len(block) > _LONGEST:
                    _read_over(stream, block)
                    begun, block = b"", _TOO_LONG
            lines = io.BytesIO(begun + block).readlines()
            begun = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield source, number, lines
            number += len(lines)
        if begun:
            yield source, number, [begun + b"\n"]


def _parse(
    source: str,
    first: int,
    raw_lines: Iterable[bytes],
    loads: Callable[[str], Any],
    reject: Reject | None,
) -> Iterator[Line]:
    import jsonlines  # which takes longer than `filter` to start

    number, raw = first, b""

    def lines() -> Iterator[bytes]:
        nonlocal number, raw
        for number, raw in enumerate(raw_lines, first):  # noqa: B007 - read by the loop below
            raw = raw.removeprefix(BYTE_ORDER_MARK)
            yield raw

    reader = jsonlines.Reader(lines(), loads=loads)
    while True:  # its iteration ends with each bad line, and goes on behind it
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
    return "expected one JSON object a line"
