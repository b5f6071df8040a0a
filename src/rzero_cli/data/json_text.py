"""Parse and write JSON text as the standard library does, at orjson's speed.

orjson does the work wherever its result is the same; the standard library does the rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from math import isinf
from pathlib import Path
from typing import Any

import orjson

from rzero_cli.errors import DataError

NESTED = "JSON nested too deeply"

_COMPACT = (",", ":")
# Integers that do not fit 64 bits have at least 19 digits.
_ONLY_ZEROS, _LONG = bytes.maketrans(b"123456789", b"0" * 9), b"0" * 19
_DEEPEST = 500  # the standard library can write this depth on any of our stacks
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed numbers 1 and -1
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))

# orjson would accept these, which are not JSON values; leave them to the standard library.
_AS_STANDARD = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def parser(*, exact: bool = False, strict: bool = False) -> Callable[[str], Any]:
    """Return a parser with the standard library's results, using orjson where they agree.

    Args:
        exact: parse numbers with a point or an exponent as `Decimal`.
        strict: refuse an object that has a key twice.

    Returns:
        A function that raises ValueError, or RecursionError for deep nesting. NaN, Infinity and
        numbers out of a float's range are errors.
    """
    decode = json.JSONDecoder(
        parse_constant=_reject_constant,
        parse_float=_decimal if exact else _float,
        object_pairs_hook=_unique if strict else None,
    ).decode

    def loads(text: str) -> Any:
        raw = text.encode()
        # orjson turns integers beyond 64 bits into floats. This test is faster than a pattern.
        if _LONG in raw.translate(_ONLY_ZEROS):
            return decode(text)
        try:
            return orjson.loads(raw)
        except ValueError:
            # It refuses lone surrogates and deep nesting; other errors get the usual message.
            return decode(text)

    return decode if exact or strict else loads


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


def _decimal(text: str) -> Decimal:
    _float(text)  # so that a line is valid with `exact` iff it is valid without
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text} is out of range") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        quoted = json.dumps(twice, ensure_ascii=False)
        raise ValueError(f"key {quoted} occurs more than once")
    return record


def shallow(loads: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `loads` that raises ValueError for values nested too deeply to be written again."""

    def parsed(text: str) -> Any:
        value = loads(text)
        few = len(text) < 2 * _DEEPEST or text.count("[") + text.count("{") <= _DEEPEST
        if not few and _depth(text.encode()) > _DEEPEST:
            raise ValueError(NESTED)
        return value

    return parsed


def _depth(raw: bytes) -> int:
    """Return the nesting depth of the brackets outside strings."""
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    brackets = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)


def quick_parser(*, strict: bool = False) -> Callable[[bytes], Any]:
    """Return a fast parser of raw lines; use `parse_line` for the lines that it refuses.

    It raises ValueError or RecursionError, for more lines than `parse_line` refuses but never for
    fewer, and turns integers beyond 64 bits into floats.
    """
    if not strict:
        return orjson.loads
    decode = parser(strict=True)
    return lambda raw: decode(raw.decode())


def dumps(record: object) -> bytes:
    """Return one compact line of JSON in UTF-8, without its end; lone surrogates are escaped.

    Raises:
        TypeError: it contains something that is not a JSON value.
        ValueError: it contains NaN or an infinite number.
    """
    try:
        line = orjson.dumps(record, option=_AS_STANDARD)
    except TypeError:  # or integers beyond 64 bits, lone surrogates, deep nesting
        return _dumps_slowly(record)
    # orjson writes null for NaN; the result then differs from the record.
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
    """Return the JSON object in a file.

    Raises:
        DataError: the file cannot be read or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object")
    return value
