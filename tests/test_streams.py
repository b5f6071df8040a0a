"""Lines that know where they came from, and files that appear whole."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.core.streams import (
    check_new,
    open_copy,
    open_output,
    read_lines,
    write_json,
)
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
    from rzero_cli.core.streams import dumps

    record = {"n": 123456789012345678901234567890, "s": "\ud800x\udfff", "u": "é漢\u2028", "f": 0.1}
    assert _pairs(json.loads(dumps(record))) == _pairs(record)
    # UTF-8 as it is, where that can be.
    assert dumps({"u": "é漢"}) == '{"u": "é漢"}'


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
    assert target.read_bytes() == b'{"i": 0}\n{"i": 2}\n{"i": 3}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_a_torn_last_line_is_written_anew(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, [{"i": 0}, "crash"], {})
    with (tmp_path / "out.jsonl.part").open("ab") as journal:
        journal.write(b'{"i": 1, "text": "cut o')
    assert _write(target, [{"i": 0}, {"i": 1}], {}, resume=True) == 1
    assert target.read_bytes() == b'{"i": 0}\n{"i": 1}\n'


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
    assert target.read_bytes() == b'{"i": 9}\n'


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
from rzero_cli.core.streams import open_output
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
    assert ended.stdout == 'before\n{"i": 0}\n{"i": 1}\n'
    for printed in ("a library prints", "C code prints", "a child prints"):
        assert printed in ended.stderr


def test_a_reader_that_left_is_a_closed_pipe() -> None:
    code = (
        "from rzero_cli.core.streams import open_output\n"
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
        "from rzero_cli.core.streams import protect_stdout\n"
        "with protect_stdout() as out: out.write(b'{}\\n')\n"
        "print('afterwards')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("{}\n", "afterwards\n")
