"""Reading JSONL: lines, batches, keys, errors that name file and line."""

from __future__ import annotations

import io
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rzero_cli.data.json_text import quick_parser
from rzero_cli.data.jsonl import Batch, Line, parse_line, read_batches, read_lines
from rzero_cli.errors import DataError, UsageError


def _file(folder: Path, content: bytes, name: str = "in.jsonl") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


# ---------------------------------------------------------------- reading


def test_line_has_file_number_and_bytes(tmp_path: Path) -> None:
    # Blank lines count in the numbers, as in an editor.
    content = b'{"a":  1}\r\n\n   \n{"a": 2}'
    name = _file(tmp_path, content)
    lines = list(read_lines([name]))
    assert [(line.source, line.number, line.raw) for line in lines] == [
        (name, 1, b'{"a":  1}\r\n'),
        (name, 4, b'{"a": 2}'),
    ]
    assert [line.record for line in lines] == [{"a": 1}, {"a": 2}]


def test_line_numbers_restart_with_each_file(tmp_path: Path) -> None:
    one, two = _file(tmp_path, b"{}\n{}", "1"), _file(tmp_path, b"\n{}\n", "2")
    places = [(line.source, line.number) for line in read_lines([one, two, one])]
    assert places == [(one, 1), (one, 2), (two, 2), (one, 1), (one, 2)]


@pytest.mark.parametrize("names", [[], ["-"]])
def test_no_file_or_dash_reads_standard_input(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\nx\n')))
    lines = read_lines(names)
    assert next(lines).record == {"a": 1}
    with pytest.raises(DataError, match=r"^<stdin>:2: not JSON"):
        next(lines)


def test_limit_counts_records_and_reads_no_further(tmp_path: Path) -> None:
    one, two = _file(tmp_path, b"\n{}\n", "1"), _file(tmp_path, b"{}\nnot JSON\n", "2")
    assert len(list(read_lines([one, two], limit=2))) == 2
    with pytest.raises(DataError):
        list(read_lines([one, two], limit=3))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"nonsense", "not JSON: Expecting value at column 1"),
        (b'{"a": 1', "not JSON: .* at column 9"),
        (b'{"a": 1} {"b": 2}', "not JSON: Extra data at column 10"),
        (b"[1, 2]", "expected one JSON object per line"),
        (b'"text"', "expected one JSON object per line"),
        (b"null", "expected one JSON object per line"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 8"),
        (b'{"a": 1}'.decode().encode("utf-16-le"), "not JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300"),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_bad_line_is_reported_after_the_good_ones(
    tmp_path: Path, bad: bytes, reason: str, exact: bool
) -> None:
    name = _file(tmp_path, b'{"a": 0}\n\n' + bad + b"\n")
    lines = read_lines([name], exact=exact)
    assert next(lines).record == {"a": 0}
    with pytest.raises(DataError) as error:
        next(lines)
    assert str(error.value).startswith(f"{name}:3: ")
    assert error.match(reason)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("number", "exact"), [("1e999", False), ("-1e999", False), ("1e99999999999999999999", True)]
)
def test_number_out_of_range_is_refused(tmp_path: Path, number: str, exact: bool) -> None:
    name = _file(tmp_path, f'{{"a": {number}}}'.encode())
    with pytest.raises(DataError, match=f":1: {number} is out of range"):
        list(read_lines([name], exact=exact))


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (line,) = read_lines([_file(tmp_path, b'\xef\xbb\xbf{"a": 1}\n')])
    assert line.record == {"a": 1}


def test_missing_files_and_directories_are_refused_before_reading(
    tmp_path: Path,
) -> None:
    name = _file(tmp_path, b"{}\n")
    with pytest.raises(UsageError, match=r"nowhere\.jsonl: no such file"):
        read_lines([name, str(tmp_path / "nowhere.jsonl")])
    with pytest.raises(UsageError, match="is a directory, not a file"):
        read_lines([name, str(tmp_path)])


def test_exact_reads_decimals_as_written(tmp_path: Path) -> None:
    text = b'{"a": 0.25000000000000000000000001, "b": 1e-400, "c": 3, "d": 0.10}'
    (line,) = read_lines([_file(tmp_path, text)], exact=True)
    assert line.record == {
        "a": Decimal("0.25000000000000000000000001"),
        "b": Decimal("1e-400"),
        "c": 3,
        "d": Decimal("0.10"),
    }


TWICE = b'{"a": 1, "b": [{"c": {"d\xc3\xa9": 1, "e": 2, "d\xc3\xa9": 1}}]}\n'


def test_repeated_key_is_an_error_only_if_strict(tmp_path: Path) -> None:
    name = _file(tmp_path, b'{"a": {"a": 1}, "b": {"a": 1}}\n' + TWICE)
    assert [line.record["a"] for line in read_lines([name])] == [{"a": 1}, 1]
    for exact in (False, True):
        lines = read_lines([name], exact=exact, strict=True)
        assert next(lines).number == 1
        with pytest.raises(DataError, match=f'{name}:2: key "dé" occurs more than once$'):
            next(lines)
    assert quick_parser()(TWICE)["a"] == 1
    with pytest.raises(ValueError, match="more than once"):
        quick_parser(strict=True)(TWICE)


def test_repeated_key_in_another_spelling_is_found(tmp_path: Path) -> None:
    name = _file(tmp_path, b'{"a\\n": 1, "\\u0061\\n": 2}\n')
    with pytest.raises(DataError, match=r':1: key "a\\n" occurs more than once$'):
        list(read_lines([name], strict=True))


# ---------------------------------------------------------------- batches


def _batches(content: bytes, tmp_path: Path) -> list[Batch]:
    return list(read_batches([_file(tmp_path, content)]))


def test_batches_contain_every_line_once_with_its_number(tmp_path: Path) -> None:
    # Lines of all lengths, some longer than a batch, with unchanged line ends.
    sizes = [*range(0, 700_000, 60_000), 3, 300_000, 0, 900_000]
    lines = [b"%d\r" % size + b"x" * size + b"\n" for size in sizes]
    found = []
    for source, first, batch in _batches(b"".join(lines), tmp_path):
        assert source == str(tmp_path / "in.jsonl")
        assert first == len(found) + 1
        found += batch
    assert found == lines


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"a\nb", b"\n\n", b"a\n\n"])
def test_batches_add_a_missing_last_newline(content: bytes, tmp_path: Path) -> None:
    lines = [line for *_, batch in _batches(content, tmp_path) for line in batch]
    assert b"".join(lines) == (
        content if content.endswith(b"\n") or not content else content + b"\n"
    )
    assert all(line.count(b"\n") == 1 for line in lines)


def test_lines_of_an_open_pipe_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        batches = read_batches([])
        pipe.write(b"a\nb\nhal")
        assert next(batches) == ("<stdin>", 1, [b"a\n", b"b\n"])
        pipe.write(b"f\nc\n")
        assert next(batches) == ("<stdin>", 3, [b"half\n", b"c\n"])


def test_parse_line_agrees_with_read_lines(tmp_path: Path) -> None:
    assert parse_line("in", 7, b" \n") is None
    line = parse_line("in", 7, b'\xef\xbb\xbf{"a": 0.10}\n', exact=True)
    assert isinstance(line, Line)
    assert (line.source, line.number, line.record) == ("in", 7, {"a": Decimal("0.10")})
    assert str(line.record["a"]) == "0.10"
    with pytest.raises(DataError, match=r"^in:7: not JSON: .* column 1$"):
        parse_line("in", 7, b"nonsense")


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": 1, "x": 2}, r'key "q" \(a string\) is missing; keys here: id, x$'),
        ({}, r'key "q" \(a string\) is missing; keys here: none$'),
        ({"q": 5}, 'key "q" must be a string, not a number'),
        ({"q": 5.5}, 'key "q" must be a string, not a number'),
        ({"q": True}, 'key "q" must be a string, not true or false'),
        ({"q": None}, 'key "q" must be a string, not null'),
        ({"q": ["a"]}, 'key "q" must be a string, not a list'),
        ({"q": {}}, 'key "q" must be a string, not an object'),
    ],
)
def test_missing_or_ill_typed_key_error_names_file_line_and_key(
    tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    name = _file(tmp_path, b"\n" + json.dumps(record).encode())
    (line,) = read_lines([name])
    with pytest.raises(DataError, match=message) as error:
        line.text("q")
    assert str(error.value).startswith(f"{name}:2: ")


def test_text_or_none_accepts_null(tmp_path: Path) -> None:
    text = b'{"q": null}\n{"q": ""}\n{"q": 0}\n{"p": ""}'
    null, empty, number, missing = read_lines([_file(tmp_path, text)])
    assert null.text_or_none("q") is None
    assert empty.text_or_none("q") == ""
    for line in (number, missing):
        with pytest.raises(DataError):
            line.text_or_none("q")
