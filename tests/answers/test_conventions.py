"""Conventions that decide which answers are equal: units, percent signs, order."""

from __future__ import annotations

import pytest

from rzero_cli.answers import (
    DEFAULT,
    Conventions,
    canonical_key,
)


@pytest.mark.parametrize(
    ("conventions", "row"),
    [
        (Conventions(units="keep"), row)
        for row in (
            [r"5 \text{ cm}", "5 cm", "5cm", r"5\,\mathrm{cm}", r"x = 5 \text{ cm}"],
            [r"9.8 \text{ m/s}^2", "9.8 m/s^2", r"9.8 \frac{\text{m}}{\text{s}^2}",
             r"9.8 \text{ m s}^{-2}", r"\frac{49}{5} \text{ m/s}^{2}"],
            [r"5 \text{ m}", "5 m", r"5 \mathrm{~m}", r"5.0 \text{ m}"],
            [r"\$5", "$5", "5 dollars", r"\$5.00", r"5 \text{ dollars}"],
            [r"-\$5", r"-5 \text{ dollars}"],
            [r"90^\circ", "90°", r"90 \text{ degrees}", "90 deg"],
            [r"60 \text{ miles per hour}", r"60 \text{ miles/hour}", r"60 \frac{miles}{hour}"],
            [r"\frac12 \text{ cm}", "1/2 cm", r"0.5 \text{ cm}"],
            [r"50\%", "50 percent", "50"],
            ["$5$", "5"],
        )
    ]
    + [
        (Conventions(percent="fraction"), row)
        for row in (
            [r"50\%", "0.5", "1/2", "50 percent", r"50 \text{ percent}", "x = 50%", r"50.0 \%"],
            [r"33\frac13\%", "1/3", r"\frac{100}{3} \%"],
            [r"(50\%, 20\%)", "(0.5, 0.2)"],
            [r"60 \text{ mph}", "60"],
        )
    ],
)  # fmt: skip
def test_answers_equal_under_conventions_have_one_key(
    conventions: Conventions, row: list[str]
) -> None:
    keys = {answer: canonical_key(answer, conventions) for answer in row}
    assert None not in keys.values()
    assert len(set(keys.values())) == 1, keys


@pytest.mark.parametrize(
    ("conventions", "row"),
    [
        (Conventions(units="keep"), [
            "5", r"5 \text{ cm}", r"5 \text{ m}", r"5 \text{ cm}^2", r"5 \text{ mW}",
            r"5 \text{ MW}", r"\$5", "5€", r"5^\circ", r"5^\circ C", r"5^\circ F",
            r"5 \text{ m/s}", r"5 \text{ m s}", r"5 \text{ per hour}", r"5 \text{ million}"]),
        (Conventions(percent="fraction"), [r"50\%", "50", r"5\%", r"50\% \text{ increase}"]),
        (Conventions("keep", "fraction"), [r"50\%", r"50\% \text{ of them}", "50", "50 km"]),
    ],
)  # fmt: skip
def test_answers_different_under_conventions_have_different_keys(
    conventions: Conventions, row: list[str]
) -> None:
    keys = {answer: canonical_key(answer, conventions) for answer in row}
    assert len(set(keys.values())) == len(row), keys


def test_unknown_convention_is_refused() -> None:
    assert Conventions() == DEFAULT
    with pytest.raises(ValueError, match="'no' is none of drop, keep"):
        Conventions(units="no")  # type: ignore[arg-type]
