"""`rzero filter`: lines copied byte for byte, bad lines, bounds given as options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Refused, Rzero

TENTHS = [repr(k / 10) for k in range(11)]


LINES = [
    b'{"question":"a",   "answer":"1","p_hat":0.5}\r\n',
    b'{"p_hat": 5e-1, "answer": "\\u00e9", "answer": "2", "x": [1,  2]}\n',
    '{"answer": "é漢", "p_hat": 0.750}\n'.encode(),
    b"\t" + b'{"answer": "4", "p_hat": 0.25} \n',
    b'{"x": {"p_hat": 0.2}, "answer": "5", "p_hat": 0.25, "n": 123456789012345678901}\n',
    b'{"x": "\\ud800", "answer": "6", "p_hat": 0.75}\n',
    b'\xef\xbb\xbf{"answer": "7", "p_hat": 0.75}\n',
]
DROPPED = [
    b'{"answer": "1", "p_hat": 0.9}\n',
    b'{"answer": null, "p_hat": 0.5}\n',
    b'{"answer": "1", "p_hat": 0.75000000000000000000000001}\n',
    b"\n",
    b'{"answer": "1", "x": {"p_hat": 0.25}, "p\\u005fhat": 0.24999999999999999999999999}\n',
    b'{"answer": null, "p_hat": 0}\n',
    b'{"answer": "1", "p_hat": 1.0}\n',
]


def test_filter_copies_lines_byte_for_byte(rzero: Rzero, tmp_path: Path) -> None:
    mixed = b"".join(line for pair in zip(LINES, DROPPED, strict=True) for line in pair)
    (tmp_path / "in.jsonl").write_bytes(mixed)
    ended = rzero("filter", "in.jsonl", "--delta", "0.25", "-o", "out.jsonl")
    assert ended.status == 0
    assert ended.stdout == ""
    assert "kept 7 of 13" in ended.stderr
    whole = b"".join(LINES).replace(b"\xef\xbb\xbf", b"")  # except a byte order mark
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_filter_writes_good_lines_before_it_refuses_a_bad_one(rzero: Rzero) -> None:
    good, twice = '{"answer":"1","p_hat":0.5}\n', '{"answer":"1","p_hat":0.5,"p_hat":0.5}\n'
    for bad, message in (
        ("nonsense\n", "<stdin>:3: not JSON: Expecting value at column 1"),
        ('{"answer":"1"}\n', '<stdin>:3: key "p_hat" (a number from 0 to 1) is missing'),
        ('{"answer":1,"p_hat":0.9}\n', '<stdin>:3: key "answer" must be a string'),
        (f'{{"answer":"1","p_hat":{"9" * 30}}}\n', f"must be between 0 and 1, not {'9' * 30}"),
        (f'{{"a":{"[" * 100_000}\n', "<stdin>:3: JSON nested too deeply"),
    ):
        ended = rzero("filter", input=good + "\n" + bad + good)
        assert (ended.status, ended.stdout) == (2, good)
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert rzero("filter", "--limit", "1", input=good + bad).stdout == good
    assert rzero("filter", input=twice).stdout == twice
    ended = rzero("filter", "--strict", input=good + "\n" + twice)
    assert (ended.status, ended.stdout) == (2, good)
    assert ended.stderr == 'rzero: <stdin>:3: key "p_hat" occurs more than once\n'


def test_filter_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(LINES[0])
    code = (
        "import sys\nfrom rzero_cli.cli import run\n"
        "assert run(['filter', '--quiet', 'in.jsonl']) == 0\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert ended.stdout == LINES[0]
    loaded = set(ended.stderr.decode().split())
    assert "orjson" in loaded
    for heavy in (
        "torch",
        "transformers",
        "numpy",
        "scipy",
        "rich",
        "pydantic",
        "attr",
        "jsonlines",
    ):
        assert heavy not in loaded
    for heavy in ("_hashlib", "tempfile", "zipfile", "importlib.metadata", "importlib.resources"):
        assert heavy not in loaded


def test_filter_adds_the_missing_newline_of_the_last_line(rzero: Rzero) -> None:
    line = '{"answer": "1", "p_hat": 0.5}'
    assert rzero("filter", input=line).stdout == line + "\n"


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--preset", "official", "--delta", "0.25"], "34567"),
        (["--preset", "official", "--low", "0.5"], "5678"),
        (["--low", "0.5"], "56789X"),
        (["--high", "0.2"], "012"),
        (["--low", "0.3", "--high", "0.3"], "3"),
    ],
)
def test_filter_applies_delta_low_and_high(rzero: Rzero, options: list[str], kept: str) -> None:
    names = "0123456789X"
    lines = [
        f'{{"answer": "{name}", "p_hat": {p}}}\n' for name, p in zip(names, TENTHS, strict=True)
    ]
    ended = rzero("filter", *options, input="".join(lines))
    assert ended.status == 0, ended.stderr
    assert ended.stdout == "".join(lines[names.index(name)] for name in kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--delta", "0.6"], "--delta 0.6: must be between 0 and 0.5"),
        (["--delta", "-0.1"], "--delta -0.1: must be between 0 and 0.5"),
        (["--delta", "a quarter"], "--delta a quarter: not a number"),
        (["--delta", "nan"], "--delta nan: must be between"),
        (["--delta", "inf"], "--delta inf: must be between"),
        (["--delta", "1e-999999999"], "--delta 1e-999999999: more than 1000 decimal places"),
        (["--low", "0.8", "--high", "0.3"], "--low 0.8 is above --high 0.3"),
        (["--high", "1.1"], "--high 1.1: must be between 0 and 1"),
        (["--delta", "0.2", "--low", "0.3"], "give either --delta or --low and --high, not both"),
    ],
)
def test_filter_refuses_impossible_bounds(
    refused: Refused, options: list[str], message: str
) -> None:
    assert refused("filter", *options).startswith(message)
