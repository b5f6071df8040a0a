"""Malformed lines: each is named by file and line, or set aside."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.malformed_lines import BAD, REST, good_line
from helpers.option_groups import group
from rzero_cli.commands.filter import _copy
from rzero_cli.data.jsonl import BYTE_ORDER_MARK, read_batches, read_lines
from rzero_cli.data.shards import WHOLE
from rzero_cli.errors import DataError
from rzero_cli.options.file_groups import Lines

BAND = Decimal("0.25"), Decimal("0.75")
TWICE = b'{"question":"p",' + REST, 'key "question" occurs more than once'


def _lines(name: str, **how: Any) -> list[Any]:
    return [line.record for line in read_lines([name], **how)]


def _filtered(name: str, *, strict: bool = False, reject: Any = None) -> list[Any]:
    out = io.BytesIO()
    lines = group(Lines, strict=strict)
    _copy(read_batches([name]), out, BAND, WHOLE, lines, reject, {}, None, None)
    return [json.loads(line) for line in out.getvalue().splitlines()]


READERS = {"read_lines": _lines, "filter": _filtered}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("kind", [*BAD, "a key twice"])
def test_bad_line_is_named_or_rejected(
    tmp_path: Path, refused: Refused, kind: str, strict: bool, reader: Any
) -> None:
    raw, reason = BAD.get(kind, TWICE)
    (tmp_path / "in.jsonl").write_bytes(good_line(0) + b"\n\n" + raw + b"\n" + good_line(1) + b"\n")
    name, found = str(tmp_path / "in.jsonl"), []
    rest = reader(name, strict=strict, reject=lambda *bad: found.append(bad))
    if kind == "a key twice" and not strict:
        assert found == []
        assert len(rest) == 3
        return
    assert rest == [json.loads(good_line(0)), json.loads(good_line(1))]
    ((source, number, line, message),) = found
    assert (source, number, line.rstrip(b"\n")) == (name, 3, raw)
    assert reason in message
    with pytest.raises(DataError) as error:
        reader(name, strict=strict)
    assert str(error.value) == f"{name}:3: {message}"
    # ... and by a command that reads its input before any work
    message = refused("oracle", "in.jsonl", "--world", *["--strict"] * strict)
    assert message.startswith("in.jsonl:3: ")
    assert reason in message


HOLDS = {
    "CRLF": (b"%s\r\n%s\r\n", b"%s\r\n%s\r\n"),
    "no final newline": (b"%s\n%s", b"%s\n%s\n"),
    "a mark at the start": (BYTE_ORDER_MARK + b"%s\n%s\n", b"%s\n%s\n"),
    "a mark where files were joined": (b"%s\n" + BYTE_ORDER_MARK + b"%s\n", b"%s\n%s\n"),
    "blank lines": (b"\n \r\n%s\n\t\n%s\n\n", b"%s\n%s\n"),
}


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("kind", HOLDS)
def test_byte_order_marks_and_line_ends_of_editors_are_read(
    tmp_path: Path, kind: str, strict: bool
) -> None:
    content, copied = HOLDS[kind]
    rows = good_line(0, a="\ud800 lone", b="\0"), good_line(1)
    (tmp_path / "in.jsonl").write_bytes(content % rows)
    name = str(tmp_path / "in.jsonl")
    assert _lines(name, strict=strict) == list(map(json.loads, rows))
    out = io.BytesIO()
    lines = group(Lines, strict=strict)
    _copy(read_batches([name]), out, BAND, WHOLE, lines, None, {}, None, None)
    assert out.getvalue() == copied % rows


@pytest.mark.parametrize("content", [b"", b"\n", BYTE_ORDER_MARK], ids=["empty", "blank", "a mark"])
def test_empty_file_gives_empty_output(tmp_path: Path, rzero: Rzero, content: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    for command in (["filter"], ["vote"], ["grade"], ["score"], ["oracle", "--world"]):
        ended = rzero(*command, "in.jsonl", "--quiet")
        assert (ended.status, ended.stdout, ended.stderr) == (0, "", ""), command
    ended = rzero("stats", "in.jsonl", "--json")
    assert (ended.status, json.loads(ended.stdout)) == (0, {"file": "in.jsonl", "records": 0})


PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import jsonlines
from data import test_malformed_lines
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
before, found = peak(), []
counts = [
    len(reader({name!r}, reject=lambda *bad: found.append(bad[3])))
    for reader in test_malformed_lines.READERS.values()
]
print(test_malformed_lines.json.dumps([counts, found, peak() - before]))
"""


@pytest.mark.parametrize(
    ("kind", "most", "expected"),
    [
        ("a record", 450, None),
        ("no JSON", 450, "not JSON"),
        ("open brackets", 450, "JSON nested too deeply"),
        ("endless", 250, "longer than 64 MiB"),
    ],
)
def test_huge_line_takes_memory_of_a_few_times_its_size(
    tmp_path: Path, kind: str, most: float, expected: str | None
) -> None:
    size = 50_000_000
    raw = {
        "a record": b'{"a":"' + b"x" * size + b'",' + REST,
        "no JSON": b"x" * size,
        "open brackets": b"[" * size,
        "endless": b"x" * 4 * size,
    }[kind]
    (tmp_path / "in.jsonl").write_bytes(good_line(0) + b"\n" + raw + b"\n" + good_line(1) + b"\n")
    code = PEAK.format(tests=str(Path(__file__).parents[1]), name=str(tmp_path / "in.jsonl"))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counts, reasons, peak = json.loads(ended.stdout)
    assert peak < most
    assert counts == ([3, 3] if kind == "a record" else [2, 2])
    assert [reason.partition(":")[0] for reason in reasons] == [expected] * (2 if expected else 0)


@pytest.mark.parametrize("depth", [499, 500, 950, 1000])
def test_nested_records_are_read_only_if_they_can_be_written(
    tmp_path: Path, rzero: Rzero, depth: int
) -> None:
    # with brackets in texts, and escapes there, that are no nesting
    texts = b'"\\\\","[\\"[' + b"[{" * 600 + b'",'
    raw = b'{"a":' + b"[" * depth + texts + b"1" + b"]" * depth + b"," + REST
    ended = rzero("vote", "--workers", "1", input=raw + b"\n")
    if depth < 500:  # the object is one level, too
        assert (ended.status, json.loads(ended.stdout)["a"]) == (0, json.loads(raw)["a"])
    else:
        assert ended.status == 2
        assert ended.stderr == "rzero: <stdin>:1: JSON nested too deeply\n"
