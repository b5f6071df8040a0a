"""Reading boxed answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.answers import extract_answer, extract_boxed, is_blank_box


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
        (r"\boxed{3} as asked, inside \boxed.", "3"),  # a mention in prose is not a box
        (r"\boxed{x = \boxed{5}}", "5"),
        ("\\boxed{\n 5 \n}", "5"),
        (r"\boxed{1} wait, \boxed{2", None),  # truncated: the earlier box was superseded
        (r"\boxed{}", None),
        (r"\boxed{1} \boxed{  }", None),
        (r"\boxedx{5}", None),
        ("no box", None),
        ("", None),
    ],
)
def test_extract_boxed(text: str, answer: str | None) -> None:
    assert extract_boxed(text) == answer


@given(st.text(max_size=60), st.text(max_size=20))
def test_boxed_content_is_read_back_unchanged(content: str, after: str) -> None:
    safe = content.translate(dict.fromkeys(map(ord, "{}\\"), "x"))
    assert (
        extract_boxed(rf"\boxed{{{safe}}}{after}".replace("\\boxed", "\\boxed", 1))
        == (safe.strip() or None)
        or r"\boxed" in after
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>maybe \boxed{4}, or", None),
        (r"<think>maybe \boxed{4}</think> so \boxed{5}", "5"),
        (r"maybe \boxed{4}</think> so \boxed{5}", "5"),
        (r"<think>a</think> \boxed{5} <think>wait", None),
    ],
)
def test_box_in_an_unfinished_thought_is_no_answer(text: str, answer: str | None) -> None:
    assert extract_boxed(text) == answer
    assert extract_answer(text, ("boxed", "phrase")) == answer
    assert not is_blank_box(r"<think>\boxed{}")
