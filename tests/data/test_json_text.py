"""JSON text is read and written as by the standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import inf, isinf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.json_values import exact_text, json_values, typed_pairs
from rzero_cli.data.json_text import dumps, quick_parser
from rzero_cli.data.jsonl import parse_line
from rzero_cli.errors import DataError


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    return _refuse(text) if isinf(float(text)) else float(text)


def _standard(text: str) -> str:
    """Return the standard library's value, or "refused"."""
    try:
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return "refused"
    return exact_text(record) if isinstance(record, dict) else "refused"


def _ours(text: str) -> str:
    try:
        line = parse_line("in", 1, text.encode())
    except DataError:
        return "refused"
    return exact_text(line.record) if line else "refused"


HARD = [
    *(
        "-0",
        "-0.0",
        "0.1",
        "1e400",
        "-1e400",
        "1e-400",
        "-1e-400",
        "5e-324",
        "1E+5",
        "0e99999999999",
    ),
    *("18446744073709551615", "18446744073709551616", "9007199254740993", "9007199254740993.0"),
    *("-9223372036854775808", "-9223372036854775809", "9" * 30, "-" + "9" * 30, "9" * 400),
    *("0.1234567890123456789", "2.2250738585072011e-308", "1" + "0" * 22, "1e23", "8.5e307"),
    *("1.", ".5", "01", "+1", "1e", "0x1", "NaN", "-Infinity", "nul", "[1,]", '{"b":1,}', "/**/1"),
    *(
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\x"',
        '"\x00"',
        '"\x1f"',
        '"\x7f"',
    ),
    *(
        '"é漢\u2028😀"',
        '"\\/"',
        "1\x00",
        "1}\x0c",
        "1} 1",
        '{"k":1,"l":2,"k":3}',
        "[" * 500 + "]" * 500,
        "[" * 2000 + "]" * 2000,
    ),
    *(" 1 ", "\t1\r", "\x0b1", "\ufeff1", '1,"a":2', '1,"\\u0061":2'),
]


@pytest.mark.parametrize("value", HARD, ids=range(len(HARD)))
def test_hard_values_are_read_like_the_standard_library(value: str) -> None:
    text = f'{{"a":{value}}}'
    assert _ours(text) == _standard(text)


@given(
    st.dictionaries(st.text(), st.deferred(lambda: json_values), max_size=4),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r")]),
    st.data(),
)
def test_any_json_is_read_like_the_standard_library(
    record: dict[str, Any], escaped: bool, separators: tuple[str, str], data: st.DataObject
) -> None:
    text = json.dumps(record, ensure_ascii=escaped, separators=separators)
    # UTF-8 has no lone surrogates; as escapes they can be there.
    text = text.encode("utf-8", "backslashreplace").decode()
    assert _ours(text) == _standard(text) == exact_text(record)
    # ... and broken JSON is refused by both or by neither.
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 2)))
    torn = text[:at] + data.draw(st.text('{}[]",:\\0123456789eE+-. a\x00', max_size=3)) + text[end:]
    assert _ours(torn) == _standard(torn)


@given(
    st.dictionaries(st.text(), st.deferred(lambda: json_values), max_size=3),
    st.booleans(),
    st.data(),
)
def test_quick_parser_accepts_only_what_the_parser_accepts(
    record: dict[str, Any], strict: bool, data: st.DataObject
) -> None:
    raw = json.dumps(record).encode()
    at = data.draw(st.integers(0, len(raw)))
    raw = (
        raw[:at] + data.draw(st.sampled_from([b"", b"9", b'"', b",", b"\xff", b"1e400"])) + raw[at:]
    )
    try:
        quick = quick_parser(strict=strict)(raw)
    except ValueError:
        return
    if isinstance(quick, dict):
        line = parse_line("in", 1, raw, strict=strict)
        assert line is not None
        assert exact_text(_in_64_bits(line.record)) == exact_text(_in_64_bits(quick))


def _in_64_bits(value: Any) -> Any:
    """Replace the integers that the quick parser turns into floats."""
    if isinstance(value, dict):
        return {key: _in_64_bits(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_64_bits(inner) for inner in value]
    big = type(value) is int and not -(2**63) <= value < 2**64
    return float(value) if big else value


def test_hard_values_are_read_back_after_dumps() -> None:
    record = {"n": 123456789012345678901234567890, "s": "\ud800x\udfff", "u": "é漢\u2028", "f": 0.1}
    assert typed_pairs(json.loads(dumps(record))) == typed_pairs(record)
    # UTF-8 is not escaped wherever it can be encoded.
    assert dumps({"u": "é漢"}) == '{"u":"é漢"}'.encode()


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_dumps_is_compact_and_agrees_with_the_standard_library(record: dict[str, Any]) -> None:
    line = dumps(record)
    assert exact_text(json.loads(line)) == exact_text(record)
    texts = "".join(json.dumps(text, ensure_ascii=False) for text in _texts(record))
    surrogates = any("\ud800" <= character <= "\udfff" for character in texts)
    assert line.isascii() or not surrogates
    # No space but in strings: nothing that is written looks like the line for no record.
    assert line.count(b" ") == texts.count(" ")


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in _texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


@dataclass
class Point:
    x: int = 1


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_dumps_refuses_nan_and_infinity(number: float) -> None:
    for record in (
        {"a": number},
        {"b": None, "a": [{"c": [None, number]}]},
        {"a": (number, 2**70)},
    ):
        with pytest.raises(ValueError, match="not JSON compliant"):
            dumps(record)


@pytest.mark.parametrize("value", [Point(), date(2025, 1, 1), b"x", {1}, Decimal(1)])
def test_dumps_refuses_types_that_json_lacks(value: object) -> None:
    with pytest.raises(TypeError):
        dumps({"a": value})


def test_dumps_writes_null_and_negative_zero() -> None:
    assert (
        dumps({"a": None, "b": (1, None), "null": -0.0}) == b'{"a":null,"b":[1,null],"null":-0.0}'
    )
