"""Reading boxed answers and reducing them to canonical keys: a golden case for each rule."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rzero_cli.answers import (
    DEFAULT,
    Conventions,
    canonical_key,
    extract_boxed,
    latex_form,
)
from rzero_cli.answers.algebra import MAX_LENGTH
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.keys import _long_way


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{a \\{b}}", r"a \\{b}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {8}", "8"),
        (r"\boxed 42 and so on", "42"),
        (r"\boxed C", "C"),
        (r"\boxed{3} as asked, inside \boxed.", "3"),  # a mention in prose is no box
        (r"\boxed{x = \boxed{5}}", "5"),
        ("\\boxed{\n 5 \n}", "5"),
        (r"\boxed{1} wait, \boxed{2", None),  # cut off: the earlier box was superseded
        (r"\boxed{}", None),
        (r"\boxed{1} \boxed{  }", None),
        (r"\boxedx{5}", None),
        ("no box", None),
        ("", None),
    ],
)
def test_extract_boxed(text: str, answer: str | None) -> None:
    assert extract_boxed(text) == answer


@pytest.mark.parametrize(
    "text",
    ["{" * 100_000, r"\boxed{" * 100_000, r"\boxed " * 100_000, r"\boxed{" + "{}" * 100_000,
     r"\boxed{" + "\\" * 100_000, r"\boxed" + " " * 100_000, r"\boxed " + "1," * 100_000,
     r"\boxed{1}" * 100_000, "1 " * 100_000, r"\frac" * 100_000, "x^" * 100_000, "-" * 100_000,
     r"\sqrt{2}+" * 100_000, "(1+x)" * 100_000, r"(1+\sqrt2+\sqrt3+\sqrt5+i)" * 100_000],
)  # fmt: skip
def test_extraction_and_keys_are_linear(text: str) -> None:
    start = time.process_time()
    answer = extract_boxed(text)
    for candidate in (text, text[:MAX_LENGTH], answer or ""):
        canonical_key(candidate)
    assert time.process_time() - start < 2


_PIECES = [
    r"\boxed{", r"\frac", r"\sqrt", r"\text{", " and ", r"\pm", r"\infty", "12", "cm", r"\le",
    r"\begin{pmatrix}", r"\end{pmatrix}", r"\\", r"\cup", r"\sin", r"\{", r"\over",
]  # fmt: skip


@given(st.lists(st.sampled_from([*r"\{}()[]^_$&!|1,.+-/=<xi é½", *_PIECES])).map("".join))
def test_reading_never_raises(text: str) -> None:
    answer = extract_boxed(text)
    assert answer is None or (answer and answer == answer.strip())
    key = canonical_key(text)
    if key is None:
        assert latex_form(text)


@given(st.text(max_size=60), st.text(max_size=20))
def test_a_box_gives_back_what_was_put_in(content: str, after: str) -> None:
    safe = content.translate(dict.fromkeys(map(ord, "{}\\"), "x"))
    assert (
        extract_boxed(rf"\boxed{{{safe}}}{after}".replace("\\boxed", "\\boxed", 1))
        == (safe.strip() or None)
        or r"\boxed" in after
    )


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
1, 2 | 2,1 | 1 \text{ and } 2 | \{1,2\} | 1, 2, \text{ and } 2 | x = 1 \text{ or } x = 2
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
# words that are no units
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
# too large to compute: equal to itself only
2^{100000000} | 2^{100000001}
10^{10^{10}} | 10^{10^{11}}
"""

# The same by full comparison, so with what only the worker can tell.
EQUAL_IN_FULL = r"""
# integers
12 | +12 | 12.0 | 12. | $12$ | $$12$$ | \(12\) | \[12\] | \text{12} | \mathbf{12} | {12} | (12)
12 | 012 | **12** | \boxed{12}
-7 | −7 | -7.0 | - 7 | $-7$ | (-7) | –7
2^{10} | 1024 | 2^10 | 4^5 | 1{,}024 | 2 \cdot 512 | 2\times 512 | 2*512
0 | -0 | 0.0 | 0/5 | \frac{0}{7} | 5-5
\displaystyle 15 | 15 | \displaystyle{15} | \large 15
6! | 720 | 3! \cdot 5!
\binom{6}{2} | 15 | {6 \choose 2} | \tbinom{6}{2} | \frac{6!}{4!2!}
2^{3}\cdot 3^{2} | 72 | 2^3 \times 3^2 | 8 \cdot 9 | 2^{3} 3^{2}
1\!000 | 1000
12\,345 | 12345 | 12,345 | 12{,}345 | 12 345 | 12,\!345 | 12\;345 | 12~345
1,234,567 | 1234567 | 1{,}234{,}567 | 1\,234\,567 | 1 234 567
10^6 | 1,000,000 | 1000000 | 1e6 | 1.0 \times 10^{6} | 10^{6}
# decimals
3.50 | 3.5 | \frac{7}{2} | 3\frac12 | 7/2 | 3.5. | $3.5$
-.125 | -0.125 | -\frac18 | -1/8
1{,}234.5 | 1234.5 | 1,234.50
0.1\overline{6} | 1/6 | 0.1\bar{6} | \frac16
0.\overline{142857} | \frac{1}{7}
.\overline{9} | 1
3\times10^8 | 3e8 | 3 \cdot 10^{8} | 300000000 | 3 \times 10^{8} | 3.0 \times 10^8 | 3E8 | 3×10^8
3\times10^8 | 3·10⁸
6.02 \times 10^{23} | 6.02e23 | 602 \times 10^{21}
4.5\times 10^{-5} | 0.000045 | 4.5e-5 | 45 \cdot 10^{-6}
# fractions
\frac{3}{4} | 3/4 | \dfrac{3}{4} | \tfrac34 | \cfrac{3}{4} | {3 \over 4} | {3\over4} | \frac34
\frac{3}{4} | \frac 34 | \frac{3}4 | \frac3{4} | ¾ | 0.75 | \left(\frac{3}{4}\right) | $\frac{3}{4}$
\frac{3}{4} | 3 / 4 | 3 \div 4 | 3÷4 | 6/8 | \frac{6}{8} | \dfrac34
-\frac{5}{6} | \frac{-5}{6} | \frac{5}{-6} | -5/6 | \left(-\frac{5}{6}\right) | -\dfrac56 | (-5)/6
-\frac{5}{6} | 5/(-6) | - \frac{5}{6} | −\frac{5}{6} | \frac{10}{-12} | -{5 \over 6}
-\frac{5}{6} | \frac{-10}{12}
\frac{-3}{-4} | \frac34
\frac{\frac12}{\frac34} | \frac23 | (1/2)/(3/4)
\frac{1}{2}+\frac{1}{3} | \frac56
\frac{13}{4} | 3\frac14 | 3 1/4 | 3\frac{1}{4} | 3 \frac{1}{4} | 3.25 | 3¼ | 3\tfrac{1}{4}
\frac{13}{4} | 3\,\frac{1}{4} | 3 \dfrac14
-2\frac{1}{3} | -\frac73 | -7/3 | -2 1/3
\left(\frac{1}{2}\right)^3 | \frac18 | 2^{-3} | \frac{1}{2^3}
\frac{2019}{2020} | 2019/2020
\frac{1,000}{3} | \frac{1000}{3}
# percent
12.5\% | 12.5% | 12.5 percent | 12.5 | 12.5\ \% | 12.5 \text{ percent} | 12.5\text{\%}
12.5\% | \frac{25}{2}\% | 12.5 per cent
33\frac13\% | 33\frac{1}{3} | 100/3 | 33\frac{1}{3} \%
# units, money, degrees
5 \text{ cm} | 5 cm | 5\text{cm} | 5~\text{cm} | 5\,\text{cm} | 5\mathrm{~cm} | 5\ \mathrm{cm}
5 \text{ cm} | 5 \textrm{ cm} | 5 centimeters | 5 | 5 \mbox{ cm}
9.8 \text{ m/s}^2 | 9.8\,\mathrm{m/s^2} | 9.8 \text{ m/s}^{2} | 9.8
9.8 \text{ m/s}^2 | 9.8 \frac{\text{m}}{\text{s}^2} | 9.8 \text{ m s}^{-2}
9.8 \text{ m/s}^2 | 9.8 \text{ meters per second squared}
24 \text{ cm}^2 | 24 square centimeters | 24 | 24 cm^2 | 24 \text{ cm}^{2} | 24\ \text{square units}
24 \text{ cm}^2 | 24 \text{ sq cm} | 24 units^2 | 24 \text{ units}^2 | 24 cm² | 24 \text{ cm²}
64 \text{ cubic inches} | 64 | 64 \text{ in}^3 | 64 \text{ in.}^3 | 64\text{ in}^{3}
20 \text{ minutes} | 20 | 20 min | 20 minutes | 20\text{ mins} | 20 \text{ min.}
3 apples | 3 | 3 \text{ apples}
150 \text{ students} | 150 | 150 students | 150 people
\$5 | 5 | 5 dollars | \$ 5.00 | $5 | \$5.00 | 5 \text{ dollars} | \textdollar 5 | 5 USD | \text{\$}5
\$1,250 | 1250 | \$1{,}250.00 | 1,250 dollars | \$1250
€20 | 20 | 20 euros | 20 \text{ euros} | 20€
75 \text{ cents} | 75 | 75¢ | 75 cents
90^\circ | 90 | 90° | 90^{\circ} | 90 degrees | 90 \text{ degrees} | 90\degree | 90^{\text{o}}
90^\circ | 90 deg | 90^\text{o} | {90}^\circ | 90 ^ \circ
98.6^\circ\text{F} | 98.6 | 98.6°F | 98.6^\circ F
\frac{2}{3} \text{ hours} | 2/3 | \frac23 hours | \frac{2}{3} \text{ of an hour}
5\sqrt{3} \text{ cm} | 5\sqrt3 | 5 \sqrt{3}\text{ inches}
48\pi \text{ ft}^3 | 48\pi | 48 \pi \text{ cubic feet} | 48π ft³
60 \text{ km/h} | 60 | 60 km/hr | 60 \text{ kilometers per hour} | 60 \, \text{km/h} | 60 kph
60 \text{ km/h} | 60\ \mathrm{km\,h^{-1}} | 60 \frac{\text{km}}{\text{h}} | 60 \frac{km}{h}
12 \text{ kg} \cdot \text{m/s} | 12 | 12 \text{ kg m/s}
# equations and names
x = 5 | 5 | x=5 | $x=5$ | x = 5.0 | x=\frac{10}{2} | \text{x} = 5 | x \; = \; 5 | 5 = x | x = 5.
x = 5 | x=+5 | 2x=10
x=5 or x=-2 | x=-2, 5 | -2, 5 | x \in \{-2, 5\} | x = -2 \text{ or } x = 5 | \{5, -2\} | 5 and -2
x=5 or x=-2 | x=5, -2 | x = 5, x = -2 | -2 \text{ and } 5
\angle ABC = 60^\circ | 60
AB = 10 | 10 | \overline{AB} = 10
f(x) = 2x+1 | 2x+1 | y = 2x+1 | g(x)=1+2x | f(x)=2x + 1
a_n = 2n+1 | 2n+1
P(X) = \frac{1}{6} | \frac16 | \Pr(X) = 1/6
\theta = \frac{\pi}{3} | \frac{\pi}{3} | \pi/3
\text{Area} = 12\pi | 12\pi | A = 12π
x = -\frac{b}{2a} | \frac{-b}{2a} | -\frac{b}{2a} | -b/(2a)
(x, y) = (2, 3) | (2,3) | (x,y)=(2,3) | \left(2,3\right)
m\angle A = 40^\circ | 40 | \angle A = 40
y=2x+3 | 2x - y + 3 = 0 | y - 3 = 2x | y - 2x = 3 | 2x+3
x^2+y^2=25 | y^2 + x^2 = 25 | x^2 + y^2 - 25 = 0 | 25 = x^2+y^2 | 2x^2+2y^2=50
3x - 4y = 12 | 4y = 3x - 12 | y = \frac34 x - 3 | 3x-4y-12=0
(x-2)^2+(y+1)^2=9 | (x - 2)^2 + (y + 1)^2 = 3^2 | x^2-4x+y^2+2y-4=0
N = 42 | 42
# expressions, polynomials
(x+1)(x-1) | x^2-1 | x^2 - 1 | (x-1)(x+1) | -1+x^2 | \left(x+1\right)\left(x-1\right)
(x+1)(x-1) | (x + 1)\cdot(x - 1)
x^3-3x+2 | (x-1)^2(x+2) | 2 - 3x + x^3
3x^2y | 3yx^2 | 3 x^{2} y | 3\cdot x^2 \cdot y
\frac{x+1}{2} | \frac12 x + \frac12 | (x+1)/2 | \frac{1}{2}(x+1) | 0.5x+0.5
\frac{1}{x} | x^{-1} | 1/x
\frac{a^2 b}{c} | a^2bc^{-1} | a^{2}b/c
n(n+1)/2 | \frac{n(n+1)}{2} | \frac{n^2+n}{2} | \frac{1}{2}n(n+1)
2\ell + 2w | 2(\ell+w)
6x^2+5x-6 | (2x+3)(3x-2)
-(x-3) | 3-x
2(a+b)^2 | 2a^2+4ab+2b^2
# tuples, sets, intervals
(1,2) | (1, 2) | \left(1,2\right) | ( 1 , 2 ) | \left( 1, 2 \right) | $(1,2)$ | \big(1,2\big)
(1,2) | (1.0, \frac{4}{2}) | \langle 1,2 \rangle | \left\langle 1, 2 \right\rangle
(-1, \frac{\sqrt{2}}{2}) | (-1,\frac1{\sqrt2})
(0,0), (1,1) | (1,1), (0,0) | (0,0) \text{ and } (1,1) | \{(0,0),(1,1)\} | (1,1) or (0,0)
(0,0), (1,1) | (0,0);(1,1)
\{1,2,3\} | \{3, 2, 1\} | 1,2,3 | 1, 2, 3 | 1, 2, and 3 | \left\{1,2,3\right\} | 3,2,1 | 1;2;3
\{1,2,3\} | \{1,\,2,\,3\} | 1, 2 \text{ and } 3 | \lbrace 1,2,3 \rbrace | $1, 2, 3$
\{1,2,3\} | $1$, $2$, and $3$ | 1,\ 2,\ 3
(2,5] | (2, 5] | 2 < x \le 5 | x \in (2,5] | \left(2,5\right] | 2 < x \leq 5 | 5 \ge x > 2
(2,5] | x>2 \text{ and } x \le 5 | 2<x\leqslant 5
(-\infty, 2) \cup (3, \infty) | (3,\infty)\cup(-\infty,2) | x<2 or x>3
(-\infty, 2) \cup (3, \infty) | x \in (-\infty, 2) \cup (3, +\infty) | x<2 \text{ or } x>3
(-\infty, 2) \cup (3, \infty) | \left(-\infty,2\right)\cup\left(3,\infty\right)
(-\infty, 2) \cup (3, \infty) | x \in (-\infty,2)\cup(3,\infty)
[-1,1] | -1 \le x \le 1 | -1 \leq x \leq 1 | x \in [-1, 1] | \left[-1,1\right] | -1 ≤ x ≤ 1
[-1,1] | -1 <= x <= 1
(3,5) | 3<x<5 | x>3 and x<5 | x > 3, x < 5 | 5>x>3 | x<5 \text{ and } x>3 | 3 < x \text{ and } x < 5
(3,5) | x \in (3,5)
x \ge 2 | [2,\infty) | 2 \le x | x \geq 2 | [2, \infty) | x>=2 | x \in [2,\infty) | [2,+\infty)
x \ge 2 | x ≥ 2
(-\infty,\infty) | (-\infty, +\infty) | \mathbb{R} | x \in \mathbb{R}
\emptyset | \varnothing | \{\} | ∅ | \{ \}
x \neq 3 | x \ne 3 | x≠3 | 3 \ne x | x \not= 3 | x != 3
(-\infty, 0] \cup \{2\} | \{2\} \cup (-\infty,0]
# matrices
\begin{pmatrix}1\\2\end{pmatrix} | \begin{bmatrix} 1 \\ 2 \end{bmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix} 1 \\ 2 \\ \end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \left(\begin{matrix}1\\2\end{matrix}\right)
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1.0\\\frac42\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \left(\begin{array}{c}1\\2\end{array}\right)
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \begin{bmatrix}1&0\\0&1\end{bmatrix}
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \left[\begin{array}{cc}1&0\\0&1\end{array}\right]
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \begin{pmatrix}1&0\\[2mm]0&1\end{pmatrix}
\begin{pmatrix}-\frac12&\sqrt8\end{pmatrix} | \begin{pmatrix} -1/2 & 2\sqrt2 \end{pmatrix}
\begin{pmatrix}0&x+1\end{pmatrix} | \begin{bmatrix} 0 & 1 + x \end{bmatrix}
# plus-minus
\pm 5 | 5, -5 | -5, 5 | x = \pm 5 | \{-5,5\} | ±5 | \pm5 | x=5 \text{ or } x=-5 | +5 and -5
\pm 5 | \{\pm 5\}
2 \pm \sqrt{3} | 2+\sqrt3, 2-\sqrt3 | \{2-\sqrt{3},2+\sqrt{3}\} | x = 2\pm\sqrt{3}
2 \pm \sqrt{3} | 2 + \sqrt{3} \text{ and } 2 - \sqrt{3}
\frac{-1 \pm \sqrt{5}}{2} | -\frac12 \pm \frac{\sqrt5}{2} | \frac{-1+\sqrt5}{2}, \frac{-1-\sqrt5}{2}
\pm i | i, -i | x = \pm i
# radicals
\frac{\sqrt{2}}{2} | \frac1{\sqrt2} | \frac{1}{\sqrt{2}} | \sqrt{\frac12} | \sqrt{0.5} | \sqrt2/2
\frac{\sqrt{2}}{2} | 2^{-1/2} | \frac12\sqrt2 | \sqrt{1/2}
\sqrt[3]{8} | 2 | 8^{1/3} | \sqrt{4} | 8^{\frac13}
3\sqrt{5} | \sqrt{45} | 3 \cdot \sqrt{5} | 3√5 | 3\sqrt5 | \sqrt{9}\sqrt{5} | 3*sqrt(5) | 3 sqrt(5)
3\sqrt{5} | 3 \sqrt 5 | \frac{15}{\sqrt5} | 3 \cdot 5^{1/2} | 3*5^(1/2)
\sqrt[3]{54} | 3\sqrt[3]{2} | 3 \cdot 2^{1/3}
\sqrt{6}-\sqrt{2} | -\sqrt2+\sqrt6 | \sqrt{2}(\sqrt{3}-1)
\frac{1+\sqrt5}{2} | \frac12+\frac{\sqrt{5}}{2} | \frac{2}{\sqrt5-1}
\sqrt{2}\sqrt{3} | \sqrt{6} | \sqrt2 \cdot \sqrt3
# pi and e
2\pi | 2π | 2 \pi | \pi \cdot 2 | 2 * pi | 2pi | \pi + \pi | 6\pi/3 | 2\cdot\pi
\frac{\pi}{6} | \pi/6 | \frac16\pi | \frac{1}{6} \pi | π/6 | \dfrac{\pi}6
4\pi - 3\sqrt{3} | -3\sqrt3+4\pi
e^2 | e \cdot e | e^{2} | \mathrm{e}^2
\pi r^2 h | \pi h r^{2} | h \pi r^2
\frac{4}{3}\pi r^3 | \frac{4\pi r^3}{3}
# complex
3+4i | 4i+3 | 3 + 4i | 3+4 i | 3+4\mathrm{i} | (3+4i)
\frac{1+i}{2} | \frac12+\frac12i | \frac{1}{1-i} | 0.5+0.5i
-1 | i^2 | i\cdot i
# bases, times, ratios
101_2 | 101_{2} | (101)_2 | 101_{\text{two}} | (101)_{2} | 101_{two} | \text{101}_2 | 101_\text{two}
101_2 | $101_2$ | 101_{(2)}
1A_{16} | 1A_{16} | (1A)_{16} | \text{1A}_{16} | \mathrm{1A}_{16}
3:4 | 3 : 4 | 3\colon4 | 3 : 4. | $3:4$
12:30 PM | 12:30 p.m. | 12:30\text{ PM} | 12:30 pm | 12:30 \text{ p.m.} | 12:30 P.M.
12:30 PM | 12:30\,\text{pm} | 12:30PM
3:45 | 3:45 | $3\!:\!45$
7 \text{ AM} | 7 a.m.
# text
\text{Monday} | Monday | \textbf{Monday} | monday | MONDAY | \mathrm{Monday} | \text{ Monday }
\text{Monday} | Monday. | "Monday" | $\text{Monday}$ | \textit{Monday} | \emph{Monday}
\text{Yes} | Yes | YES | yes. | \textbf{yes} | **Yes**
\text{No} | no | No.
\text{True} | true | TRUE | \mathrm{true}
\text{no solution} | No solutions | There are no solutions. | \text{No solution.}
\text{no solution} | no solution exists | \text{No Solution}
DNE | does not exist | \text{DNE} | \text{does not exist} | \text{d.n.e.}
DNE | The limit does not exist.
\infty | infinity | \text{infinity} | ∞ | +\infty | \text{infinitely many}
\text{blue and green} | blue and green | \text{green and blue}
\text{isosceles} | isosceles
\text{Alice} | Alice | alice
\text{right triangle} | Right triangle | right triangle.
\text{John Smith} | John Smith | john smith
\text{increasing} | increasing | \mathit{increasing}
# choices
C | (C) | \text{(C)} | \textbf{(C)} | \mathbf{C} | C. | \text{C} | \mathrm{(C)} | $\text{C}$
C | \textbf{C} | **C** | [C] | \boxed{C} | (C). | **(C)** | {C}
E | (E) | \text{E} | \textbf{(E)} | \mathbf{(E)}
# functions and symbolic powers
\log_2 8 | 3 | \log_{2} 8 | \log_2(8)
\ln e^2 | 2 | \ln(e^2)
\sin 30^\circ | \frac12 | 0.5
\sin(\pi/6) | 1/2 | \sin\frac{\pi}{6}
2^n | 2^{n}
2^{n+1} | 2 \cdot 2^n
|-5| | 5 | \left|-5\right| | \lvert -5 \rvert
\tan x | \frac{\sin x}{\cos x}
\frac{x^2-4}{x-2} | x+2
e^{2x} | (e^x)^2 | \exp(2x)
\sqrt{x} | x^{1/2} | x^{\frac12}
\ln 8 | 3 \ln 2 | 3\ln(2)
\cos^2 x | (\cos x)^2 | 1-\sin^2 x
\binom{n}{2} | \frac{n(n-1)}{2}
\frac{1}{x+1} | (x+1)^{-1} | 1/(x+1)
\arctan 1 | \frac{\pi}{4} | \tan^{-1} 1
\lfloor 3.7 \rfloor | 3
x^n y | y x^n
"""

DIFFERENT_IN_FULL = r"""
# numbers
12 | 21 | -12 | 1.2 | 1,2 | 120 | 12/1000 | 012.1
1,0 | 10
1,0 | 10
0.3 | \frac13 | 0.33 | 0.\overline{3}0 | 0.03
2.718 | e | 2.72
3.14159 | \pi
1.7 | \sqrt{3} | \frac{5}{3}
10^3 | 10^{-3} | 3^{10} | 103 | 30
5! | 5 | 120.5
6.02 \times 10^{23} | 6.02 \times 10^{22} | 6.02
\frac{3}{4} | \frac{4}{3} | 34 | -\frac34 | 3 | 4
3\frac14 | \frac{3}{4} | \frac{31}{4} | 3 | 34
\frac12 | \frac{1}{12} | 12 | \frac{11}{2}
-2\frac13 | -\frac53 | 2\frac13
2^{10} | 20 | 210 | 10^2
\binom{5}{2} | \binom{5}{1} | \frac52 | 5,2
# percent, units
50\% | 0.5 | 5\%
5 \text{ cm} | 6 \text{ cm} | 50 \text{ cm} | 5.5
\$5 | \$6 | \$0.05
30^\circ | 60^\circ | \frac{\pi}{6} | 0.3
5 m | 5 n
5 \text{ thousand} | 5 | 5000.5
2 \text{ dozen} | 2 | 24
5 \text{ tenths} | 5 | 5 \text{ hundredths} | 5 \text{ tens} | 5 \text{ lakh}
x=1, y>2 | y=1, x>2
x>3 \text{ or } y<5 | y>3 \text{ or } x<5
2x=10, 2y=6 | 2y=10, 2x=6
2 \frac{\text{Area}}{h} | 2
4 \text{ more} | 4 | 4 \text{ less}
3 \text{ squared} | 3 | 9
3\text{ hours } 20 \text{ minutes} | 3 | 20 | 3.2
5 \text{ feet } 6 \text{ inches} | 5 | 6 | 5.6
\text{about } 5 | 5 | \text{exactly } 6
n \text{ is even} | n \text{ is odd} | n
2k \text{ for integer } k | 2k
6 \text{ or more} | 6 | 6 \text{ or less}
10 \text{ or } 20 | 10 | 20 | 1020
1st | 1 | 2nd
5^{\text{th}} | 5 | 6^{\text{th}} | 5^t
5 \text{ BC} | 5 \text{ AD} | 5
2 \bmod 5 | 2 | 5
2 \pmod{5} | 2 | 2 \pmod 7
# equations
x = 5 | x = -5 | x=5, y=6 | y > 5
x = 5 | x \ne 5 | x \ge 5
x=1, y=2 | x=2, y=1 | (1,2)
y = 2x+3 | y = 3x+2 | y=2x-3 | y = -2x+3
x^2+y^2=25 | x^2+y^2=5 | x^2-y^2=25 | 25
x^2 = 4 | 2 | 4 | x^2
y = x^2 | x = y^2
x + y | x - y | xy | x
2x | x^2 | x | 2
x^2+1 | x^2-1 | (x+1)^2
\frac{x}{2} | \frac{2}{x} | 2x | x - 2
a^b | b^a | ab
ab | ba c | a+b
X | x
2\pi r | 2\pi r^2 | \pi r
\frac{1}{x+1} | \frac1x + 1 | \frac{1}{x-1}
2^n | 2^{n+1} | 2n | n^2 | 2^{-n}
n! | n | (n+1)! | (n!)!
\sin x | \cos x | \sin 2x | \sin^2 x | x
\log x | \log 2x | \ln x
\sqrt{x} | x | \sqrt{x+1} | x^2
|x| | x | -x
e^x | e^{-x} | x^e
# tuples, sets, intervals
(1,2) | (2,1) | (1,2,3) | 12 | (1.2) | (1,-2)
\{1,2\} | \{1,2,3\} | \{1\} | (1,2) | \{-1,2\}
(0,1) | [0,1] | (0,1] | [0,1) | (1,0) | (0,2)
3<x<5 | 3 \le x<5 | 3<x\le5 | x>3 | x<5 | x<3 \text{ or } x>5 | 4 | x>3 \text{ or } x<5
x>3 \text{ and } x<5 | x>3 \text{ and } y<5 | x>5 \text{ and } x<3 | x>3 \text{ and } x>5
x < 3 | x \le 3 | x > 3 | 3 | x < -3 | y < 3 + x
(-\infty,2)\cup(3,\infty) | (-\infty,2]\cup[3,\infty) | (2,3) | (-\infty,3)\cup(2,\infty)
(-\infty,2)\cup(3,\infty) | (-\infty, \infty)
\{2\} \cup [3,4] | [3,4] | \{2,3,4\}
(-\infty,3) | (-\infty,3] | (3,\infty) | (-\infty,-3)
(0,0), (1,1) | (0,1),(1,0) | (0,0,1,1) | (0,0) | 0,0,1,1
\emptyset | \{0\} | \text{none}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2&3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1\\2\\3\\4\end{pmatrix} | (1,2,3,4)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix} | -2
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1\\-2\end{pmatrix}
(\begin{array}{cc|c}1&0&2\\0&1&3\end{array}) | \begin{pmatrix}1&0&2\\0&1&3\end{pmatrix}
# plus-minus, radicals, pi, complex
\pm 5 | 5 | -5 | 0 | \pm 4 | (5,-5)
2 \pm \sqrt{3} | 2+\sqrt3 | 2-\sqrt3 | \pm 2 + 3 | \pm\sqrt3
\sqrt{2}+\sqrt{3} | \sqrt5 | \sqrt{6} | 3.146
\sqrt[3]{9} | 3 | \sqrt{9}\cdot 3 | \sqrt[9]{3} | \sqrt9+1
\sqrt{3}/2 | \sqrt{3/2} | \frac{3}{2} | \frac{\sqrt3}{4}
\sqrt{x^2} | x | -x
\pi | 3 | \frac{22}{7} | 2\pi | \pi^2 | \frac1\pi
e^2 | 2e | 7.389 | e
3+4i | 3-4i | 4+3i | 7 | 5 | 7i
i | -i | 1 | \sqrt{i}
# bases, times, ratios
101_2 | 101_3 | 101 | 5 | 110_2 | 101_{10} | 1012
x_2 | x_3 | x | 2x
3:4 | 4:3 | \frac{3}{4} | 6:8 | 3:5 | 3:4:5 | 34
12:30 PM | 12:30 AM | 1:30 PM | 12:30 | 12:03 PM
2:05 | 12:30 | 2.05 | 205
10:00 | 10 | 1:00
7 \text{ AM} | 7 \text{ PM} | 7
# text
\text{Monday} | \text{Tuesday} | Mon
yes | no | true | false | \text{none} | y
no solution | infinitely many | DNE | \emptyset | 0 | no | one solution
Alice | Bob | \text{Alice and Bob}
\text{even} | \text{odd} | \text{neither}
\text{red} | \text{blue}
A | B | AB | \text{A and B} | a
C | 100 | \text{C and D} | D
C) 12 | 12 | D) 12
ABCD | DCBA | ABC
\overline{AB} | \overline{CD} | \overline{BA} C
March 5 | March 6 | May 5 | 5
July 4, 1776 | July 4, 1777
\text{none of the above} | \text{all of the above} | \text{above}
\text{five} | \text{six}
two | three
x \to \infty | \infty
\text{increasing} | \text{decreasing}
\text{at most } 5 | \text{at least } 5
0 | \text{none}
() | [] | \{\}
? | !
\angle A | \angle B
\triangle ABC | \triangle ABD
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


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as opened:
        yield opened


@pytest.mark.parametrize("row", _rows(EQUAL_IN_FULL), ids=lambda row: row[0])
def test_equal_in_full(equivalence: Equivalence, row: list[str]) -> None:
    assert [answer for answer in row if not equivalence.equal(row[0], answer)] == []


@pytest.mark.parametrize("row", _rows(DIFFERENT_IN_FULL), ids=lambda row: row[0])
def test_different_in_full(equivalence: Equivalence, row: list[str]) -> None:
    assert [pair for pair in combinations(row, 2) if equivalence.equal(*pair)] == []


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
def test_conventions_equal(conventions: Conventions, row: list[str]) -> None:
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
def test_conventions_different(conventions: Conventions, row: list[str]) -> None:
    keys = {answer: canonical_key(answer, conventions) for answer in row}
    assert len(set(keys.values())) == len(row), keys


def test_conventions_are_checked() -> None:
    assert Conventions() == DEFAULT
    with pytest.raises(ValueError, match="'no' is none of drop, keep"):
        Conventions(units="no")  # type: ignore[arg-type]


def test_latex_form_holds_a_kept_unit() -> None:
    kept = latex_form(r"\ln 2 \text{ cm}", Conventions(units="keep"))
    assert kept == r"\ln 2 \cdot u_{cm}"


@pytest.mark.parametrize(
    "answer", [r"\sin x", "2^n", r"\frac{1}{x+1}", "n!", r"\sqrt{3+2\sqrt2}", r"\log_2 8", "f(2)"]
)
def test_mathematics_beyond_the_canonical_form_has_no_key(answer: str) -> None:
    assert canonical_key(answer) is None


def test_latex_form_is_exact_and_bare() -> None:
    assert latex_form(r"y = 0.5\sin x \text{ cm}") == r"\frac{1}{2} \sin x"


def test_a_long_answer_is_its_own_text() -> None:
    ones = "+".join("1" * MAX_LENGTH)
    assert canonical_key(ones) == "text:" + ones
    assert canonical_key("(" * 1000 + "1" + ")" * 1000) != canonical_key("1")


@pytest.mark.parametrize("letter", "abfinpsvwxzAFNSW")
def test_a_command_of_one_letter_is_neither_a_number_nor_a_name(letter: str) -> None:
    for answer in (rf"\{letter}", rf"5\{letter}", rf"\int \{letter}", rf"x + \{letter} "):
        key = canonical_key(answer)
        assert key is None or key.startswith("text:")
        assert key or latex_form(answer)


def test_white_space_does_not_make_an_answer_long() -> None:
    sum_of = "+".join("x" * 1000)  # 1,999 characters, of 2,000 that are read
    assert canonical_key(f" {sum_of}\n") == canonical_key(sum_of) == canonical_key("1000x")


@st.composite
def _expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, Fraction]:
    """LaTeX of a rational expression in some spelling, and its value."""
    if depth == 0 or draw(st.booleans()):
        n, d = draw(st.integers(0, 40)), draw(st.integers(1, 20))
        spellings = [rf"\frac{{{n}}}{{{d}}}", f"({n}/{d})", rf"{{{n} \over {d}}}"]
        return draw(st.sampled_from(spellings)), Fraction(n, d)
    (a, x), (b, y) = draw(_expressions(depth - 1)), draw(_expressions(depth - 1))
    forms = [(f"({a}+{b})", x + y), (rf"\left({a} - {b}\right)", x - y), (rf"{a} \cdot {b}", x * y),
             (f"({a})({b})", x * y), (rf"\left({a}\right)^{{2}}", x * x)]  # fmt: skip
    if y:
        forms.append((rf"\frac{{{a}}}{{{b}}}", x / y))
    return draw(st.sampled_from(forms))


@settings(deadline=None)
@given(_expressions(), _expressions())
def test_keys_agree_with_exact_arithmetic(a: tuple[str, Fraction], b: tuple[str, Fraction]) -> None:
    assert canonical_key(a[0]) == canonical_key(f"{a[1].numerator}/{a[1].denominator}")
    assert (canonical_key(a[0]) == canonical_key(b[0])) == (a[1] == b[1])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_roots_agree_with_their_squares(a: int, b: int, p: int, q: int) -> None:
    equal = canonical_key(rf"{p}\sqrt{{{a}}}") == canonical_key(rf"{q}\sqrt{{{b}}}")
    assert equal == (p * p * a == q * q * b)
    left = canonical_key(rf"\frac{{{p}}}{{\sqrt{{{a}}}+{q}\sqrt{{{b}}}+ i}}")
    assert left is not None
    right = rf"({p})(\sqrt{{{a}}}+{q}\sqrt{{{b}}}+ i)^{{-1}}"
    assert left == canonical_key(right)


_DIGITS = st.text("0123456789", min_size=1, max_size=45)
_PLAIN = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+"]),
        st.one_of(
            _DIGITS, st.builds("{}.{}".format, _DIGITS, _DIGITS | st.just("")),
            st.builds(".{}".format, _DIGITS), st.builds("{}/{}".format, _DIGITS, _DIGITS),
            st.builds(r"\frac{{{}}}{{{}}}".format, _DIGITS, _DIGITS),
            st.builds(r"\dfrac{{{}}}{{{}}}".format, _DIGITS, _DIGITS),
        ),
    ),
)  # fmt: skip
_CONVENTIONS = st.builds(
    Conventions, st.sampled_from(["drop", "keep"]), st.sampled_from(["drop", "fraction"])
)


@given(_PLAIN, _CONVENTIONS)
def test_the_short_cut_is_the_long_way(answer: str, conventions: Conventions) -> None:
    assert canonical_key(answer, conventions) == _long_way(answer, conventions)


@given(_PLAIN | _expressions().map(lambda pair: pair[0]), st.lists(st.sampled_from([
    "${}$", r"\({}\)", " {} ", r"\displaystyle {}", r"\left({}\right)", "{{{}}}", r"x = {}", "{}.",
    r"\boxed{{{}}}", "{}\n", r"{} \text{{ cm}}", r"{}\%", "**{}**", r"\mathbf{{{}}}"
]), max_size=1))  # fmt: skip
def test_dress_does_not_matter(answer: str, dress: list[str]) -> None:
    dressed = dress[0].format(answer) if dress else answer
    if not answer.endswith("."):
        assert canonical_key(dressed) == canonical_key(answer)


@given(st.text(max_size=200), _CONVENTIONS)
def test_keys_of_any_text_under_any_conventions(text: str, conventions: Conventions) -> None:
    key = canonical_key(text, conventions)
    if key is None:
        assert latex_form(text, conventions)


@st.composite
def _radicals(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A spelling of a signed square root of a rational, and its signed square."""
    a, b, k = draw(st.integers(1, 50)), draw(st.integers(1, 12)), draw(st.integers(-6, 6))
    spellings = [
        rf"{k}\sqrt{{\frac{{{a}}}{{{b}}}}}",
        rf"\frac{{{k}\sqrt{{{a}}}}}{{\sqrt{{{b}}}}}",
        rf"{k} \cdot ({a}/{b})^{{1/2}}",
        rf"\dfrac{{{k}}}{{{b}}}\sqrt{{{a * b}}}",
        rf"\frac{{{k * a}}}{{\sqrt{{{a * b}}}}}",
        rf"{k}\sqrt{{{a}}}/\sqrt{{{b}}}",
    ]
    return draw(st.sampled_from(spellings)), Fraction(k * abs(k) * a, b)  # fmt: skip


@given(_radicals(), _radicals())
def test_radicals_agree_in_any_spelling(a: tuple[str, Fraction], b: tuple[str, Fraction]) -> None:
    assert canonical_key(a[0]) is not None
    assert (canonical_key(a[0]) == canonical_key(b[0])) == (a[1] == b[1])


def test_the_core_imports_without_heavy_packages() -> None:
    code = (
        "import sys, rzero_cli.method.votes; "
        "print({'torch', 'sympy', 'math_verify', 'numpy', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
