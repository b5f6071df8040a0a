"""What `filter` keeps: the boundary is in, and it is decided on the decimal text."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from math import nextafter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Refused, Rzero
from rzero_cli.data.jsonl import read_lines
from rzero_cli.data.records import p_hat_of
from rzero_cli.errors import DataError
from rzero_cli.method.filtering import band, keep, quick_keep
from rzero_cli.method.question import question_id


def _kept(texts: list[str], interval: tuple[Decimal, Decimal]) -> list[str]:
    return [text for text in texts if keep("1", Decimal(text), interval)]


TENTHS = [repr(k / 10) for k in range(11)]


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        # |p - 1/2| <= 0.25: 0.3 is 0.2 away, 0.2 is 0.3 away
        ("0.25", ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        # the boundary is in: |0.3 - 0.5| = 0.2, which in binary is 0.2 + 3e-17
        ("0.2", ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        ("0.1", ["0.4", "0.5", "0.6"]),
        ("0", ["0.5"]),
        ("0.4", TENTHS[1:10]),
        ("0.5", TENTHS),
    ],
)
def test_of_ten_answers(delta: str, expected: list[str]) -> None:
    assert _kept(TENTHS, band(Decimal(delta))) == expected


def test_official_keeps_from_three_to_eight_tenths() -> None:
    assert _kept(TENTHS, (Decimal("0.3"), Decimal("0.8"))) == TENTHS[3:9]


def test_the_float_next_to_the_boundary_is_out() -> None:
    neighbours = [
        repr(number)
        for edge in (0.25, 0.75)
        for number in (nextafter(edge, 0), edge, nextafter(edge, 1))
    ]
    assert neighbours[0] == "0.24999999999999997"
    inner = ["0.25", "0.25000000000000006", "0.7499999999999999", "0.75"]
    assert _kept(neighbours, band(Decimal("0.25"))) == inner


def test_a_delta_may_have_any_number_of_digits() -> None:
    delta, zeros, nines = f"0.2{'0' * 40}1", "0" * 40, "9" * 40
    # 1/2 -+ delta, and the next decimal beyond: 0.3 - 1e-42 and 0.7 + 1e-42
    edges = [f"0.2{nines}8", f"0.2{nines}9", f"0.7{zeros}1", f"0.7{zeros}2"]
    assert _kept(edges, band(Decimal(delta))) == edges[1:3]


def test_a_question_without_a_label_is_never_kept() -> None:
    assert not keep(None, Decimal("0.5"), band(Decimal("0.5")))


def test_floats_decide_what_is_not_at_a_boundary_and_the_text_what_is() -> None:
    decide = quick_keep(band(Decimal("0.25")))
    for text, kept in {"0.5": True, "0.1": False, "0.25": True, "0.75": True, "1.0": False}.items():
        line = f'{{"answer":"1","p_hat":{text}}}'.encode()
        assert decide(line, {"answer": "1", "p_hat": float(text)}) is kept
        assert decide(line, {"answer": None, "p_hat": float(text)}) is False


digits = st.text("0123456789", max_size=30)


@st.composite
def shares(draw: st.DrawFn) -> str:
    """A decimal in [0, 1] as JSON may write it."""
    text = draw(
        st.one_of(
            st.builds("0.{}{}".format, digits, st.sampled_from("0123456789")),
            st.sampled_from(["0", "1", "1.000", "0.5", "0.25", "0.75", "0.250", "25e-2", "0e9"]),
            st.builds("{}e-{}".format, st.integers(0, 10**6), st.integers(6, 40)),
            st.builds("0.25{}".format, digits),
            st.builds("0.7{}".format, st.builds("4{}".format, st.text("9", max_size=30))),
        )
    )
    assert 0 <= Fraction(text) <= 1
    return text


@given(shares(), shares().filter(lambda text: Fraction(text) <= Fraction(1, 2)))
def test_keep_is_the_exact_comparison(p_hat: str, delta: str) -> None:
    expected = abs(Fraction(p_hat) - Fraction(1, 2)) <= Fraction(delta)
    assert keep("1", Decimal(p_hat), band(Decimal(delta))) == expected


@given(
    shares() | st.sampled_from(["1e-400", "-1e-400", "1.00000000000000000000001", "-0.0"]),
    shares().filter(lambda text: Fraction(text) <= Fraction(1, 2)),
    st.sampled_from(
        [
            '{{"answer":"1","p_hat":{0}}}',
            '{{"p_hat" : 0.9, "answer":"1", "p_hat"\t:\r{0} }}',
            '{{"x":{{"p_hat":{1}}},"answer":"1","p_hat":{0}}}',
            '{{"x":{{"p_hat":{1}}},"answer":"1","p\\u005fhat":{0}}}',
            '{{"x\\"p_hat":{1},"answer":"1","p_hat":{0}}}',
            '{{"x":"p_hat","answer":"1","p_hat":{0}}}',
        ]
    ),
    shares(),
)
def test_what_is_decided_quickly_is_decided_right(
    p_hat: str, delta: str, line: str, other: str
) -> None:
    interval = band(Decimal(delta))
    raw = line.format(p_hat, other).encode()
    quick = quick_keep(interval)(raw, json.loads(raw))
    if not 0 <= Fraction(p_hat) <= 1:
        assert quick is None
    elif quick is not None:
        assert quick == (abs(Fraction(p_hat) - Fraction(1, 2)) <= Fraction(delta))


@pytest.mark.parametrize(
    "record",
    [{}, [], None, {"answer": "1"}, {"answer": 1, "p_hat": 0.5}, {"answer": "1", "p_hat": True}],
)
def test_what_is_wrong_is_not_decided_quickly(record: object) -> None:
    assert quick_keep(band(Decimal("0.25")))(json.dumps(record).encode(), record) is None


@pytest.mark.parametrize(
    ("p_hat", "kept"),
    [
        ("1e-999999999999", False),
        ("0e999999999999", False),
        ("5e-1", True),
        ("50000000000000000000e-20", True),
        (f"0.25{'0' * 5000}", True),
        (f"0.75{'0' * 5000}1", False),
    ],
)
def test_extreme_decimals_cost_nothing(tmp_path: Path, p_hat: str, kept: bool) -> None:
    (tmp_path / "in").write_text(f'{{"p_hat": {p_hat}}}')
    (line,) = read_lines([str(tmp_path / "in")], exact=True)
    assert keep("1", p_hat_of(line), band(Decimal("0.25"))) == kept


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"0.5"', "must be a number from 0 to 1"),
        ("true", "must be a number from 0 to 1"),
        ("null", "must be a number from 0 to 1"),
        ("1.0000000000000000000001", "must be between 0 and 1, not 1.0000000000000000000001"),
        ("-1e-30", "must be between 0 and 1"),
        ("2", "must be between 0 and 1, not 2"),
    ],
)
def test_p_hat_outside_its_range_is_refused(tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "in").write_text(f'{{"p_hat": {value}}}')
    (line,) = read_lines([str(tmp_path / "in")], exact=True)
    with pytest.raises(DataError, match=f'in:1: key "p_hat" {message}'):
        p_hat_of(line)


def test_a_question_keeps_its_id() -> None:
    # sha256("What is 1 + 1?"), as `printf '%s' 'What is 1 + 1?' | sha256sum` prints it
    assert question_id("What is 1 + 1?") == "72f8917549de2d6d"
    assert question_id("\ud800") != question_id("\udfff")


# ---------------------------------------------------------------- the command

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
    whole = b"".join(LINES).replace(b"\xef\xbb\xbf", b"")  # but for a byte order mark
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_filter_refuses_a_bad_line_after_the_good_ones(rzero: Rzero) -> None:
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
    assert ended.stderr == 'rzero: <stdin>:3: key "p_hat" is there more than once\n'


def test_filter_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
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


def test_filter_ends_the_last_line(rzero: Rzero) -> None:
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
def test_filter_keeps_what_it_was_asked_for(rzero: Rzero, options: list[str], kept: str) -> None:
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
        (["--delta", "0.2", "--low", "0.3"], "give --delta, or --low and --high, not both"),
    ],
)
def test_filter_refuses_a_band_that_is_none(
    refused: Refused, options: list[str], message: str
) -> None:
    assert refused("filter", *options).startswith(message)
