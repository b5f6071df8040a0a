"""Canonical keys of answers: a golden case for each rule."""

from __future__ import annotations

import pytest

from rzero_cli.answers import (
    Conventions,
    canonical_key,
    full_key,
    latex_form,
)
from rzero_cli.answers.algebra import MAX_LENGTH

EQUAL = r"""
# integers, thousands separators, signs, digits
2^{10} | 1024
2**10 | 2^10
1,000 | 1{,}000 | 1\,000 | 1,\!000 | 10^3 | 1000. | +1000 | 1 000 | 1000.0
f(x) = 1,000 | 1000
007 | 7 | $7$ | \(7\) | (7) | {7} | 7.
-5 | −5
٣٤ | 34
# fractions, decimals, mixed and repeating numbers
1/2 | \frac12 | \dfrac{1}{2} | \tfrac 1 2 | {1 \over 2} | 0.5 | .50 | ½ | \frac{2}{4} | 5e-1
-\frac{3}{4} | \frac{-3}{4} | \frac{3}{-4} | -0.75
1\frac{1}{2} | 1\frac12 | 1 1/2 | \frac{3}{2} | 1½
-1\frac12 | -1.5
3 \cdot 1\frac12 | 4.5
0.\overline{3} | 1/3 | 0.\bar{3}
2.5 \times 10^{-3} | 0.0025 | 2.5e-3
5! | 120
\binom{5}{2} | 10 | \dbinom52
# roots, pi, complex numbers
\sqrt{12} | 2\sqrt{3} | \sqrt 3 \cdot 2 | 12^{1/2} | \frac{6}{\sqrt{3}} | √12
\frac{2}{\sqrt{3}-1} | 1+\sqrt{3}
\sqrt[3]{-16} | -2\sqrt[3]{2}
8^{2/3} | 4 | \sqrt{16}
\frac{\pi}{2} | \frac12 \pi | 0.5π | π/2
36\pi | 36 \pi \text{ cm}^2
\frac{1}{i} | -i | i^3 | -\sqrt{-1}
(1+i)^2 | 2i
\frac{1}{1+i} | \frac12 - \frac12 i
# polynomials and equations
x^2-1 | (x-1)(x+1) | -1 + x x
3xy | 3yx | 3 x \cdot y
\frac{a+b}{2} | \frac12 a + \frac b2
2x+3y=6 | 3y+2x=6 | 4x = 12 - 6y | y = 2 - \frac23 x
x^2+z^2=1 | 2z^2 = 2 - 2x^2
x = 5 | 5 = x | 2x = 10 | x - 5 = 0
# units, currency, percent and degrees are dropped
60 \text{ mph} | 60 | 60 mph | 60\text{ miles per hour} | 60 \text{ km/h} | 60 km/h
\$18.90 | 18.9 | 18.90 dollars | £18.90 | \$ 18.90
5 cm | 5cm | 5 \text{ cm}^2 | 5\,\mathrm{cm}^{3} | 5 \text{ m/s}^2 | \text{5 cm}
50\% | 50% | 50 | 50 percent
45° | 45^\circ | 45^{\circ} | 45 \text{ degrees} | 45
# a name and its equals sign are dropped
x = 5 | 5 | n=5 | x_1 = 5 | \text{Area} = 5 | S = 2+3 = 5
f(x)=x^2 | x^2 | y = x^2
x \in [0,1] | [0,1]
(x,y) = (1,2) | (1,2)
\sqrt{2} \approx 1.414 | \sqrt{2}
# layout, choice letters, words
\textbf{(C)} | C | (C) | \text{C} | \mathrm{(C)} | \text{(C)}
\text{Monday} | Monday | monday | \textbf{Monday}
\text{Yes} | yes | YES
True | \mathrm{true}
\text{No solution} | no solutions | There is no solution.
\text{does not exist} | DNE
\infty | infinity | infinitely many | \text{infinitely many solutions}
# lists are sets, parentheses are ordered
1, 2 | 2,1 | 1 \text{ and } 2 | \{1,2\} | \{1, 2, 2\} | x = 1 \text{ or } x = 2
\pm 2 | 2 \text{ or } -2 | x = \pm 2
1 \pm \sqrt{2} | 1-\sqrt2, 1+\sqrt2
\emptyset | \varnothing | \{\}
(1, \frac12) | \left(1, 0.5\right)
[\frac12, 1) | [0.5, 1) | \frac12 \le x < 1
(-\infty, 3) | x < 3 | 3 > x | 2x < 6 | (-\infty,3)
(-\infty,1)\cup(2,\infty) | x<1 \text{ or } x>2 | (2,\infty) \cup (-\infty,1)
\begin{pmatrix}\frac12&0\\0&1\end{pmatrix} | \begin{bmatrix} 0.5 & 0 \\ 0 & 1 \end{bmatrix}
# ratios, bases
3:4 | 3 : 4 | 3\colon 4
101_2 | 101_{2}
"""

DIFFERENT = r"""
# exact beats approximate
0.333 | 1/3 | 0.3333333333 | 0.333...
3.14 | \pi | \frac{22}{7} | 3.1416
1.414 | \sqrt{2} | \sqrt[3]{2} | 2\sqrt{2} | \frac{1}{\sqrt{2}}
0.5 | 50\%
# structure
1,000 | 1 | 1, 0
(100,200) | 100,200 | (200,100)
1, 2 | 1, 2, \text{ and } 2 | 1, 1, 2
3:4 | \frac34 | 4:3
101_2 | 101 | 5 | 101_3
1,2 | 12 | (1,2) | 1,3 | [1,2] | 1,2,3,\dots | 1,2,3
(0,1) | (0,1] | [0,1) | [0,1]
x > 3 | x < 3 | x \ge 3 | x \ne 3 | x = 3
x>3 \text{ and } x<5 | x>3 \text{ or } x<5
x=1, y=2 | x=2, y=1
\pm 3 | 3 | -3
\emptyset | \{0\} | \{1\}
A \cup B | A, B
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix} | \begin{vmatrix}1&2\end{vmatrix}
2x+3y=6 | 6 | 2x+3y | 2x+3y=7
x = x^2 | x^2 | x^2 = 1
i | -i | 1
x^2 | x^3 | y^2 | 2x | X^2
1\frac12 | \frac12 | \frac{11}{2}
1/2x | \frac{x}{2} | \frac{1}{2x}
2^3^2 | 64 | 512
1/2 1/3 | 3/7 | 1/6
(x^{10^{3000}})^{10^{3000}} | x^{10^{3000}}
5! | 5
(\pm 1, \pm 2) | (1,2),(-1,-2)
# words that are not units
5 \text{ million} | 5 | 5 \text{ km north} | 5 \text{ km south} | \text{at least } 5
5 \text{ remainder } 2 | 5
2 \text{ if } x>0 | 2
5\% \text{ increase} | 5\% \text{ decrease} | 5
2AB | 2CD | 2
4abcd | 4
ABC | BCA
5 \text{ hours } 20 \text{ minutes} | 5
\text{yes} | \text{true} | \text{no} | \text{no solution}
Alice | Bob
\text{no solution} | \text{no real roots exist but 2 complex}
\infty | -\infty
12:30 \text{ PM} | 12:30 \text{ AM}
5 \pmod 7 | 5
# too large to compute: equal only to itself
2^{100000000} | 2^{100000001}
10^{10^{10}} | 10^{10^{11}}
"""


def _rows(table: str) -> list[list[str]]:
    rows = [row for row in table.strip().splitlines() if not row.startswith("# ")]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


@pytest.mark.parametrize("row", _rows(EQUAL), ids=lambda row: row[0])
def test_equal_answers_have_one_key(row: list[str]) -> None:
    keys = {answer: canonical_key(answer) for answer in row}
    assert None not in keys.values()
    assert len(set(keys.values())) == 1, keys


@pytest.mark.parametrize("row", _rows(DIFFERENT), ids=lambda row: row[0])
def test_different_answers_have_different_keys(row: list[str]) -> None:
    keys = {answer: canonical_key(answer) for answer in row}
    assert len(set(keys.values())) == len(row), keys


@pytest.mark.parametrize(
    "row",
    _rows(r"""
5 cm | 5 m | 5 \text{ m}^2 | 5 apples | 5 oranges | 5 | \$5 | 5 euros
x=3 | y=3 | 3 | P(A)=3 | P(B)=3 | \bar{x}=3
3 \text{ boys}, 5 \text{ girls} | 5 \text{ boys}, 3 \text{ girls} | 3, 5
"""),
    ids=lambda row: row[0],
)
def test_names_and_units_tell_full_keys_apart(row: list[str]) -> None:
    assert len({full_key(answer) for answer in row}) == len(row)
    assert full_key("5 cm") == full_key(r"5 \text{ centimeters}") == full_key("10/2 cm")
    assert full_key("x = 3") == full_key("3 = x")
    assert full_key(r"\ln 2 \text{ cm}") is None


def test_latex_form_keeps_a_kept_unit() -> None:
    kept = latex_form(r"\ln 2 \text{ cm}", Conventions(units="keep"))
    assert kept == r"\ln 2 \cdot u_{cm}"


@pytest.mark.parametrize(
    "answer", [r"\sin x", "2^n", r"\frac{1}{x+1}", "n!", r"\sqrt{3+2\sqrt2}", r"\log_2 8", "f(2)"]
)
def test_mathematics_beyond_the_canonical_form_has_no_key(answer: str) -> None:
    assert canonical_key(answer) is None


def test_latex_form_is_exact_without_unit_or_name() -> None:
    assert latex_form(r"y = 0.5\sin x \text{ cm}") == r"\frac{1}{2} \sin x"


def test_long_answer_has_its_text_as_key() -> None:
    ones = "+".join("1" * MAX_LENGTH)
    assert canonical_key(ones) == "text:" + ones
    assert canonical_key("(" * 1000 + "1" + ")" * 1000) != canonical_key("1")


@pytest.mark.parametrize("letter", "abfinpsvwxzAFNSW")
def test_one_letter_command_is_neither_number_nor_name(letter: str) -> None:
    for answer in (rf"\{letter}", rf"5\{letter}", rf"\int \{letter}", rf"x + \{letter} "):
        key = canonical_key(answer)
        assert key is None or key.startswith("text:")
        assert key or latex_form(answer)


def test_white_space_does_not_count_towards_the_length_limit() -> None:
    sum_of = "+".join("x" * 1000)  # 1,999 characters; the limit is 2,000
    assert canonical_key(f" {sum_of}\n") == canonical_key(sum_of) == canonical_key("1000x")
