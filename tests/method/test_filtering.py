"""The filter keeps both bounds of its interval and compares p_hat as decimal text."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.method.filtering import band, keep, quick_keep


def _kept(texts: list[str], interval: tuple[Decimal, Decimal]) -> list[str]:
    return [text for text in texts if keep("1", Decimal(text), interval)]


TENTHS = [repr(k / 10) for k in range(11)]


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        # |p - 1/2| <= 0.25: 0.3 is 0.2 away, 0.2 is 0.3 away
        ("0.25", ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        # the boundary is kept: |0.3 - 0.5| = 0.2, which in binary is 0.2 + 3e-17
        ("0.2", ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        ("0.1", ["0.4", "0.5", "0.6"]),
        ("0", ["0.5"]),
        ("0.4", TENTHS[1:10]),
        ("0.5", TENTHS),
    ],
)
def test_band_keeps_both_bounds_of_ten_answers(delta: str, expected: list[str]) -> None:
    assert _kept(TENTHS, band(Decimal(delta))) == expected


def test_official_band_keeps_from_0_3_to_0_8() -> None:
    assert _kept(TENTHS, (Decimal("0.3"), Decimal("0.8"))) == TENTHS[3:9]


def test_float_next_to_a_bound_is_not_kept() -> None:
    neighbours = [
        repr(number)
        for edge in (0.25, 0.75)
        for number in (nextafter(edge, 0), edge, nextafter(edge, 1))
    ]
    assert neighbours[0] == "0.24999999999999997"
    inner = ["0.25", "0.25000000000000006", "0.7499999999999999", "0.75"]
    assert _kept(neighbours, band(Decimal("0.25"))) == inner


def test_delta_may_have_any_number_of_digits() -> None:
    delta, zeros, nines = f"0.2{'0' * 40}1", "0" * 40, "9" * 40
    # 1/2 -+ delta, and the next decimal beyond: 0.3 - 1e-42 and 0.7 + 1e-42
    edges = [f"0.2{nines}8", f"0.2{nines}9", f"0.7{zeros}1", f"0.7{zeros}2"]
    assert _kept(edges, band(Decimal(delta))) == edges[1:3]


def test_question_without_label_is_never_kept() -> None:
    assert not keep(None, Decimal("0.5"), band(Decimal("0.5")))


def test_quick_keep_uses_the_text_at_the_bounds() -> None:
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
def test_keep_compares_exactly(p_hat: str, delta: str) -> None:
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
def test_quick_keep_agrees_with_exact_comparison(
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
def test_quick_keep_leaves_bad_records_undecided(record: object) -> None:
    assert quick_keep(band(Decimal("0.25")))(json.dumps(record).encode(), record) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0.25 \t", True),
        ("25e-2", True),
        ("0.2499999999999999999", False),
        ("0e9999999999999999999999", None),
        (f"0.25{'0' * 40}", None),
    ],
)
def test_quick_keep_leaves_odd_numbers_undecided(text: str, kept: bool | None) -> None:
    raw = f'{{"answer":"1","p_hat":{text}}}'.encode()
    assert quick_keep(band(Decimal("0.25")))(raw, json.loads(raw)) is kept
