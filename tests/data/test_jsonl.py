"""Lines that know where they came from, and files that appear whole."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import inf, isinf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.data.journal import open_output
from rzero_cli.data.json_text import dumps, quick_parser
from rzero_cli.data.jsonl import Batch, Line, parse_line, read_batches, read_lines
from rzero_cli.data.whole_files import check_new, open_copy, open_directory, write_json
from rzero_cli.errors import AlreadyDone, ClosedPipe, DataError, UsageError


def _file(folder: Path, content: bytes, name: str = "in.jsonl") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


# ---------------------------------------------------------------- reading


def test_a_line_knows_its_file_its_number_and_its_bytes(tmp_path: Path) -> None:
    # Blank lines count in the numbers, as in an editor.
    content = b'{"a":  1}\r\n\n   \n{"a": 2}'
    name = _file(tmp_path, content)
    lines = list(read_lines([name]))
    assert [(line.source, line.number, line.raw) for line in lines] == [
        (name, 1, b'{"a":  1}\r\n'),
        (name, 4, b'{"a": 2}'),
    ]
    assert [line.record for line in lines] == [{"a": 1}, {"a": 2}]


def test_files_follow_one_another_each_with_its_own_numbers(tmp_path: Path) -> None:
    one, two = _file(tmp_path, b"{}\n{}", "1"), _file(tmp_path, b"\n{}\n", "2")
    places = [(line.source, line.number) for line in read_lines([one, two, one])]
    assert places == [(one, 1), (one, 2), (two, 2), (one, 1), (one, 2)]


@pytest.mark.parametrize("names", [[], ["-"]])
def test_none_or_a_dash_is_standard_input(
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
        (b"[1, 2]", "expected one JSON object a line"),
        (b'"text"', "expected one JSON object a line"),
        (b"null", "expected one JSON object a line"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 8"),
        (b'{"a": 1}'.decode().encode("utf-16-le"), "not JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300"),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_a_bad_line_is_named_after_the_good_ones_came(
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
def test_a_number_that_cannot_be_held_is_refused(tmp_path: Path, number: str, exact: bool) -> None:
    name = _file(tmp_path, f'{{"a": {number}}}'.encode())
    with pytest.raises(DataError, match=f":1: {number} is out of range"):
        list(read_lines([name], exact=exact))


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (line,) = read_lines([_file(tmp_path, b'\xef\xbb\xbf{"a": 1}\n')])
    assert line.record == {"a": 1}


def test_a_missing_file_and_a_directory_are_refused_before_anything_is_read(
    tmp_path: Path,
) -> None:
    name = _file(tmp_path, b"{}\n")
    with pytest.raises(UsageError, match=r"nowhere\.jsonl: no such file"):
        read_lines([name, str(tmp_path / "nowhere.jsonl")])
    with pytest.raises(UsageError, match="is a directory, not a file"):
        read_lines([name, str(tmp_path)])


def test_exact_reads_decimals_as_they_are_written(tmp_path: Path) -> None:
    text = b'{"a": 0.25000000000000000000000001, "b": 1e-400, "c": 3, "d": 0.10}'
    (line,) = read_lines([_file(tmp_path, text)], exact=True)
    assert line.record == {
        "a": Decimal("0.25000000000000000000000001"),
        "b": Decimal("1e-400"),
        "c": 3,
        "d": Decimal("0.10"),
    }


# ---------------------------------------------------------------- what is read is exact


def _shown(value: Any) -> str:
    """Equal for two JSON values only if types, signs, digits and the order of keys are the same."""
    return repr(value)


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    return _refuse(text) if isinf(float(text)) else float(text)


def _standard(text: str) -> str:
    """What the standard library reads, or "refused"."""
    try:
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return "refused"
    return _shown(record) if isinstance(record, dict) else "refused"


def _ours(text: str) -> str:
    try:
        line = parse_line("in", 1, text.encode())
    except DataError:
        return "refused"
    return _shown(line.record) if line else "refused"


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
def test_a_hard_value_is_read_as_the_standard_library_reads_it(value: str) -> None:
    text = f'{{"a":{value}}}'
    assert _ours(text) == _standard(text)


@given(
    st.dictionaries(st.text(), st.deferred(lambda: json_values), max_size=4),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r")]),
    st.data(),
)
def test_whatever_is_read_is_what_the_standard_library_reads(
    record: dict[str, Any], escaped: bool, separators: tuple[str, str], data: st.DataObject
) -> None:
    text = json.dumps(record, ensure_ascii=escaped, separators=separators)
    # UTF-8 has no lone surrogates; as escapes they can be there.
    text = text.encode("utf-8", "backslashreplace").decode()
    assert _ours(text) == _standard(text) == _shown(record)
    # ... and what is no JSON any more is refused by both, or by neither.
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 2)))
    torn = text[:at] + data.draw(st.text('{}[]",:\\0123456789eE+-. a\x00', max_size=3)) + text[end:]
    assert _ours(torn) == _standard(torn)


@given(
    st.dictionaries(st.text(), st.deferred(lambda: json_values), max_size=3),
    st.booleans(),
    st.data(),
)
def test_the_quick_parser_accepts_nothing_that_is_refused(
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
        assert _shown(_in_64_bits(line.record)) == _shown(_in_64_bits(quick))


def _in_64_bits(value: Any) -> Any:
    """With floats in place of the integers for which the quick parser gives some."""
    if isinstance(value, dict):
        return {key: _in_64_bits(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_64_bits(inner) for inner in value]
    big = type(value) is int and not -(2**63) <= value < 2**64
    return float(value) if big else value


TWICE = b'{"a": 1, "b": [{"c": {"d\xc3\xa9": 1, "e": 2, "d\xc3\xa9": 1}}]}\n'


def test_a_key_that_is_there_twice_is_an_error_only_if_asked_for(tmp_path: Path) -> None:
    name = _file(tmp_path, b'{"a": {"a": 1}, "b": {"a": 1}}\n' + TWICE)
    assert [line.record["a"] for line in read_lines([name])] == [{"a": 1}, 1]
    for exact in (False, True):
        lines = read_lines([name], exact=exact, strict=True)
        assert next(lines).number == 1
        with pytest.raises(DataError, match=f'{name}:2: key "dé" is there more than once$'):
            next(lines)
    assert quick_parser()(TWICE)["a"] == 1
    with pytest.raises(ValueError, match="more than once"):
        quick_parser(strict=True)(TWICE)


def test_a_key_that_is_there_twice_in_other_spellings_is_the_same(tmp_path: Path) -> None:
    name = _file(tmp_path, b'{"a\\n": 1, "\\u0061\\n": 2}\n')
    with pytest.raises(DataError, match=r':1: key "a\\n" is there more than once$'):
        list(read_lines([name], strict=True))


# ---------------------------------------------------------------- batches


def _batches(content: bytes, tmp_path: Path) -> list[Batch]:
    return list(read_batches([_file(tmp_path, content)]))


def test_batches_hold_every_line_once_with_its_number(tmp_path: Path) -> None:
    # Lines of all lengths, some longer than a batch; ends and returns as they are.
    sizes = [*range(0, 700_000, 60_000), 3, 300_000, 0, 900_000]
    lines = [b"%d\r" % size + b"x" * size + b"\n" for size in sizes]
    found = []
    for source, first, batch in _batches(b"".join(lines), tmp_path):
        assert source == str(tmp_path / "in.jsonl")
        assert first == len(found) + 1
        found += batch
    assert found == lines


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"a\nb", b"\n\n", b"a\n\n"])
def test_only_the_last_line_gets_the_end_it_lacks(content: bytes, tmp_path: Path) -> None:
    lines = [line for *_, batch in _batches(content, tmp_path) for line in batch]
    assert b"".join(lines) == (
        content if content.endswith(b"\n") or not content else content + b"\n"
    )
    assert all(line.count(b"\n") == 1 for line in lines)


def test_a_pipes_lines_come_before_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        batches = read_batches([])
        pipe.write(b"a\nb\nhal")
        assert next(batches) == ("<stdin>", 1, [b"a\n", b"b\n"])
        pipe.write(b"f\nc\n")
        assert next(batches) == ("<stdin>", 3, [b"half\n", b"c\n"])


def test_one_line_is_read_as_read_lines_reads_it(tmp_path: Path) -> None:
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
def test_a_missing_or_ill_typed_key_names_file_line_and_key(
    tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    name = _file(tmp_path, b"\n" + json.dumps(record).encode())
    (line,) = read_lines([name])
    with pytest.raises(DataError, match=message) as error:
        line.text("q")
    assert str(error.value).startswith(f"{name}:2: ")


def test_null_is_a_value_where_it_is_allowed(tmp_path: Path) -> None:
    text = b'{"q": null}\n{"q": ""}\n{"q": 0}\n{"p": ""}'
    null, empty, number, missing = read_lines([_file(tmp_path, text)])
    assert null.text_or_none("q") is None
    assert empty.text_or_none("q") == ""
    for line in (number, missing):
        with pytest.raises(DataError):
            line.text_or_none("q")


# ---------------------------------------------------------------- writing

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # any code point, lone surrogates included: JSON can write them all
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _pairs(value: Any) -> Any:
    """A JSON value that is unequal to another one of different key order or number type."""
    if isinstance(value, dict):
        return [(key, _pairs(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [_pairs(inner) for inner in value]
    return (type(value), value)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=4))
def test_records_survive_writing_and_reading_with_the_order_of_their_keys(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    target = tmp_path_factory.mktemp("out") / "out.jsonl"
    with open_output(str(target), settings={}) as out:
        for record in records:
            out.write(record)
    assert target.read_bytes().count(b"\n") == len(records)
    again = [line.record for line in read_lines([str(target)])]
    assert _pairs(again) == _pairs(records)


def test_hard_values_survive() -> None:
    record = {"n": 123456789012345678901234567890, "s": "\ud800x\udfff", "u": "é漢\u2028", "f": 0.1}
    assert _pairs(json.loads(dumps(record))) == _pairs(record)
    # UTF-8 as it is, where that can be.
    assert dumps({"u": "é漢"}) == '{"u":"é漢"}'.encode()


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_lines_are_compact_and_say_what_the_standard_library_says(record: dict[str, Any]) -> None:
    line = dumps(record)
    assert _shown(json.loads(line)) == _shown(record)
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
def test_a_figure_that_is_no_number_is_not_written_as_null(number: float) -> None:
    for record in (
        {"a": number},
        {"b": None, "a": [{"c": [None, number]}]},
        {"a": (number, 2**70)},
    ):
        with pytest.raises(ValueError, match="not JSON compliant"):
            dumps(record)


@pytest.mark.parametrize("value", [Point(), date(2025, 1, 1), b"x", {1}, Decimal(1)])
def test_what_json_has_not_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        dumps({"a": value})


def test_null_is_written_beside_whatever_compares_unequal_to_it() -> None:
    assert (
        dumps({"a": None, "b": (1, None), "null": -0.0}) == b'{"a":null,"b":[1,null],"null":-0.0}'
    )


def test_each_record_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "out"), settings={}) as out:
        for count in range(1, 4):
            out.write({"i": count} if count != 2 else None)
            assert (tmp_path / "out.part").read_bytes().count(b"\n") == count


def test_no_record_is_taken_for_the_line_that_stands_for_none(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "out"), settings={}) as out:
        for record in (None, {"rzero_no_record": True}, None):
            out.write(record)
    assert (tmp_path / "out").read_bytes() == b'{"rzero_no_record":true}\n'


def _write(target: Path, records: list[Any], settings: dict[str, Any], **options: bool) -> int:
    """Write the records that a journal does not have yet; a record "crash" is one."""
    with open_output(str(target), settings=settings, **options) as out:
        done = out.done
        for record in records[done:]:
            if record == "crash":
                raise RuntimeError("crash")
            out.write(record)
    return done


def test_a_crash_keeps_what_is_finished_and_resume_goes_on_behind_it(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    records: list[Any] = [{"i": 0}, None, {"i": 2}, {"i": 3}]
    with pytest.raises(RuntimeError):
        _write(target, [*records[:3], "crash"], {"m": 1})
    assert not target.exists()
    assert _write(target, records, {"m": 1}, resume=True) == 3
    # An input without a record leaves nothing behind, and neither does the journal.
    assert target.read_bytes() == b'{"i":0}\n{"i":2}\n{"i":3}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_a_torn_last_line_is_written_anew(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, [{"i": 0}, "crash"], {})
    with (tmp_path / "out.jsonl.part").open("ab") as journal:
        journal.write(b'{"i": 1, "text": "cut o')
    assert _write(target, [{"i": 0}, {"i": 1}], {}, resume=True) == 1
    assert target.read_bytes() == b'{"i":0}\n{"i":1}\n'


def test_a_crash_before_the_first_record_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _write(tmp_path / "out.jsonl", ["crash"], {})
    assert list(tmp_path.iterdir()) == []


def test_a_journal_needs_resume_or_force_and_the_same_settings(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, [{"i": 0}, "crash"], {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"interrupted run.*--resume.*--force"):
        _write(target, [{"i": 9}], {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"other settings \(gone, m\)"):
        _write(target, [{"i": 9}], {"m": 2, "seed": 0}, resume=True)
    assert _write(target, [{"i": 9}], {"m": 2, "seed": 0}, force=True) == 0
    assert target.read_bytes() == b'{"i":9}\n'


def test_an_existing_output_is_refused_kept_or_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("mine\n")
    with pytest.raises(UsageError, match=r"exists: .*--force"):
        _write(target, [{}], {})
    with pytest.raises(AlreadyDone):
        _write(target, [{}], {}, resume=True)
    with pytest.raises(RuntimeError):
        _write(target, ["crash"], {}, force=True)
    assert target.read_text() == "mine\n"  # until the new one is whole
    _write(target, [{}], {}, force=True)
    assert target.read_text() == "{}\n"


def test_an_output_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder for out"):
        check_new(tmp_path / "nowhere" / "out", force=True)


def test_a_name_that_leaves_no_room_for_ours_is_refused(tmp_path: Path) -> None:
    longest = "n" * 230
    with open_output(str(tmp_path / longest), settings={}) as output:
        output.write({"a": 1})
    assert {path.name for path in tmp_path.iterdir()} == {longest}
    with (
        pytest.raises(UsageError, match="the name is too long"),
        open_output(str(tmp_path / (longest + "n")), settings={}),
    ):
        pass


def test_a_directory_in_its_place_can_be_read_by_all(tmp_path: Path) -> None:
    with open_directory(tmp_path / "new") as part:
        (part / "weights").write_text("1")
        (part / "weights").chmod(0o600)
        (part / "record").write_text("1")
    modes = {path.stat().st_mode for path in (tmp_path / "new").iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("old", [False, True])
def test_an_interruption_before_the_name_leaves_no_record_of_nothing(
    tmp_path: Path, old: bool
) -> None:
    target, record = tmp_path / "out", tmp_path / "out.meta.json"
    if old:
        target.write_text("old")

    def at_end(finished: Path) -> None:
        record.write_text("{}")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_output(str(target), settings={}, force=True, at_end=at_end) as output,
    ):
        output.write({"a": 1})
    assert record.exists() == old
    assert (tmp_path / "out.part").read_bytes() == b'{"a":1}\n'


def test_another_users_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".out.lock").mkdir()  # what cannot be opened, even by root
    with (
        pytest.raises(UsageError, match=r"\.out\.lock: cannot be opened"),
        open_output(str(tmp_path / "out"), settings={}),
    ):
        pass


def test_standard_output_cannot_be_resumed() -> None:
    with (
        pytest.raises(UsageError, match="--resume needs -o"),
        open_output(None, settings={}, resume=True),
    ):
        pass


def test_a_copy_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError), open_copy(str(target)) as out:
        out.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with open_copy(str(target)) as out:
        out.write(b"\xff\r\n")
    assert target.read_bytes() == b"\xff\r\n"
    with pytest.raises(UsageError, match="exists"), open_copy(str(target)):
        pass


def test_write_json_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert json.loads(path.read_text("utf-8")) == {"é": 1}


PRINTING = """
import os, subprocess, sys
from rzero_cli.data.journal import open_output
print("before")
with open_output(None, settings={}) as out:
    out.write({"i": 0})
    print("a library prints")
    os.write(1, b"C code prints\\n")
    subprocess.run(["echo", "a child prints"])
    out.write({"i": 1})
"""


def test_only_records_reach_standard_output() -> None:
    ended = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, text=True)
    assert ended.stdout == 'before\n{"i":0}\n{"i":1}\n'
    for printed in ("a library prints", "C code prints", "a child prints"):
        assert printed in ended.stderr


def test_a_reader_that_left_is_a_closed_pipe() -> None:
    code = (
        "from rzero_cli.data.journal import open_output\n"
        "from rzero_cli.errors import ClosedPipe\n"
        "try:\n"
        "    with open_output(None, settings={}) as out:\n"
        "        while True: out.write({})\n"
        "except ClosedPipe: raise SystemExit(7)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == b"{}\n"
        writer.stdout.close()
        assert writer.wait(20) == 7
        assert writer.stderr.read() == b""
    assert ClosedPipe.exit_code == 0


def test_standard_output_stays_protected_until_the_process_ends() -> None:
    # Whatever is printed afterwards would still be no record.
    code = (
        "from rzero_cli.system.stdout import protect_stdout\n"
        "with protect_stdout() as out: out.write(b'{}\\n')\n"
        "print('afterwards')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("{}\n", "afterwards\n")


def test_resume_alone_keeps_what_was_begun_to_replace_a_finished_file(tmp_path: Path) -> None:
    target, part = tmp_path / "out", tmp_path / "out.part"
    target.write_text("old\n")
    os.utime(target, ns=(1, 1))
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(str(target), settings={}, force=True) as output,
    ):
        output.write({"n": 1})
        raise KeyboardInterrupt
    with (
        pytest.raises(UsageError, match=r"begun to replace .* go on with --force --resume"),
        open_output(str(target), settings={}, resume=True),
    ):
        pass
    assert part.read_text() == '{"n":1}\n'
    with open_output(str(target), settings={}, resume=True, force=True) as output:
        assert output.done == 1
    assert target.read_text() == '{"n":1}\n'


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name, message in (
        ("pipe", "not a file"),
        ("link", "symbolic link"),
        (".", "a directory|no name"),
        ("", "no name"),
    ):
        with (
            pytest.raises(UsageError, match=message),
            open_output(str(tmp_path / name) if name else ".", settings={}, force=True),
        ):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    for damage in ("", "[1]"):
        (tmp_path / "out.part").write_text('{"n":1}\n')
        (tmp_path / "out.part.json").write_text(damage)
        with (
            pytest.raises(UsageError, match=r"out\.part\.json: .* start over with --force"),
            open_output(str(tmp_path / "out"), settings={}, resume=True),
        ):
            pass
