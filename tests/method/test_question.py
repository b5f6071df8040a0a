"""The question and the boxed answer in a Challenger's completion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.method.question import parse_question, question_id


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (r"<question>What?</question> \boxed{5}", ("What?", "5")),
        ("thinking...\n<question>\n  What?\nWhy? \n</question>", ("What?\nWhy?", None)),
        # the last block counts
        ("<question>a</question><question>b</question>", ("b", None)),
        (r"<question>a</question> \boxed{1} <question>b</question> \boxed{2}", ("b", "2")),
        ("<question>a</question> <question> </question>", (None, None)),
        # an unfinished block does not count
        ("<question>a</question> <question>b", ("a", None)),
        ("<question>a<question>b</question>", ("b", None)),
        ("<question>a</question> so </question>", ("a", None)),
        ("<question></question></question>", (None, None)),
        # the answer follows the question, and the last box counts
        (r"\boxed{1} <question>a \boxed{2}</question>", (r"a \boxed{2}", None)),
        (r"<question>a</question> \boxed{1} or \boxed{\frac{1}{2}}", ("a", r"\frac{1}{2}")),
        (r"<question>a</question> \boxed{1", ("a", None)),
        # malformed
        ("What?", (None, None)),
        ("", (None, None)),
        ("<question></question>", (None, None)),
        ("<question> \n\t </question>", (None, None)),
        ("<question>a", (None, None)),
        ("a</question>", (None, None)),
        ("</question>a<question>", (None, None)),
        (r"<Question>a</Question> \boxed{5}", (None, None)),
        (r"\boxed{5}", (None, None)),
    ],
)
def test_parse_question(completion: str, expected: tuple[str | None, str | None]) -> None:
    assert parse_question(completion) == expected
    question, proposed = expected
    if question is not None and proposed is None:
        expected = None, None  # no box
    assert parse_question(completion, require_boxed=True) == expected


plain = st.text().filter(lambda text: "<" not in text and "\\" not in text and text.strip())


@given(st.text(), plain, plain.filter(lambda text: not set(text) & set("{}")))
def test_well_formed_question_and_answer_are_read(before: str, question: str, answer: str) -> None:
    completion = f"{before}<question>{question}</question>\\boxed{{{answer}}}"
    assert parse_question(completion) == (question.strip(), answer.strip())


@given(st.lists(st.sampled_from(["<question>", "</question>", "a", " ", r"\boxed{", "}"])))
def test_any_order_of_tags_is_read_or_malformed(pieces: list[str]) -> None:
    question, proposed = parse_question("".join(pieces))
    if question is None:
        assert proposed is None
    else:
        assert question == question.strip() != ""
        assert "</question>" not in question


def test_question_id_is_a_hash_of_the_text() -> None:
    # sha256("What is 1 + 1?"), as `printf '%s' 'What is 1 + 1?' | sha256sum` prints it
    assert question_id("What is 1 + 1?") == "72f8917549de2d6d"
    assert question_id("\ud800") != question_id("\udfff")
