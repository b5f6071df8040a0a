"""Canonical keys of arbitrary answers agree with exact arithmetic and take bounded time."""

from __future__ import annotations

import re
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.answers import (
    Conventions,
    canonical_key,
    extract_boxed,
    latex_form,
)
from rzero_cli.answers.algebra import MAX_LENGTH
from rzero_cli.answers.keys import _long_way


@pytest.mark.parametrize(
    "text",
    ["{" * 100_000, r"\boxed{" * 100_000, r"\boxed " * 100_000, r"\boxed{" + "{}" * 100_000,
     r"\boxed{" + "\\" * 100_000, r"\boxed" + " " * 100_000, r"\boxed " + "1," * 100_000,
     r"\boxed{1}" * 100_000, "1 " * 100_000, r"\frac" * 100_000, "x^" * 100_000, "-" * 100_000,
     r"\sqrt{2}+" * 100_000, "(1+x)" * 100_000, r"(1+\sqrt2+\sqrt3+\sqrt5+i)" * 100_000],
)  # fmt: skip
def test_extraction_and_keys_take_linear_time(text: str) -> None:
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
def test_extraction_and_keys_never_raise(text: str) -> None:
    answer = extract_boxed(text)
    assert answer is None or (answer and answer == answer.strip())
    key = canonical_key(text)
    if key is None:
        assert latex_form(text)


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


@given(_expressions(), _expressions())
def test_keys_agree_with_exact_arithmetic(a: tuple[str, Fraction], b: tuple[str, Fraction]) -> None:
    assert canonical_key(a[0]) == canonical_key(f"{a[1].numerator}/{a[1].denominator}")
    assert (canonical_key(a[0]) == canonical_key(b[0])) == (a[1] == b[1])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_keys_of_roots_agree_with_their_squares(a: int, b: int, p: int, q: int) -> None:
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
def test_key_shortcut_agrees_with_the_parser(answer: str, conventions: Conventions) -> None:
    assert canonical_key(answer, conventions) == _long_way(answer, conventions)


@given(_PLAIN | _expressions().map(lambda pair: pair[0]), st.lists(st.sampled_from([
    "${}$", r"\({}\)", " {} ", r"\displaystyle {}", r"\left({}\right)", "{{{}}}", r"x = {}", "{}.",
    r"\boxed{{{}}}", "{}\n", r"{} \text{{ cm}}", r"{}\%", "**{}**", r"\mathbf{{{}}}"
]), max_size=1))  # fmt: skip
def test_key_ignores_markup_around_an_answer(answer: str, dress: list[str]) -> None:
    dressed = dress[0].format(answer) if dress else answer
    # A fraction without parts is not a number: it is compared as text with its markup.
    if not answer.endswith(".") and not re.search(r"[/{]0+\}?$", answer):
        assert canonical_key(dressed) == canonical_key(answer)


@given(st.text(max_size=200), _CONVENTIONS)
def test_any_text_has_a_key_or_a_latex_form(text: str, conventions: Conventions) -> None:
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
def test_keys_of_radicals_agree_in_any_spelling(
    a: tuple[str, Fraction], b: tuple[str, Fraction]
) -> None:
    assert canonical_key(a[0]) is not None
    assert (canonical_key(a[0]) == canonical_key(b[0])) == (a[1] == b[1])
