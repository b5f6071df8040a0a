"""Extraction of a completion's answer: the last box, a phrase, `####` or a choice letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.answers import EXTRACTIONS, extract_answer, extract_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 5.", "5"),
        ("**Answer:** 5", "5"),
        ("**Answer**: 5", "5"),
        ("**Final Answer:** **12**.", "12"),
        (r"Final Answer: $\frac{1}{2}$.", r"\frac{1}{2}"),
        (r"the correct answer is: \(x+1\).", "x+1"),
        ("The final answer is 3.5. It was easy.", "3.5"),
        ("The answer is $3$ and $4$.", "$3$ and $4$"),
        ("The answer is $5$, because 2+3=5.", "5"),
        ("The answer to the problem is 8.", "8"),
        ("The answer is 4. No, the answer is 5.", "5"),
        ("Answer:\n\n$$x=5$$", "x=5"),
        ("The answer is\n\\[\n7\n\\]\n", "7"),
        (r"So the answer is $\boxed{8}$.", "8"),
        ("The answer is 1,234 apples.", "1,234 apples"),
        ("The answer is 12:30 p.m. on Monday.", "12:30 p.m. on Monday"),
        ("The answer is $5! + 1$.", "5! + 1"),
        ("The answer is 4. So the answer is", None),  # truncated: 4 was superseded
        ("The answer is $$ 5", None),
        (r"The answer is \boxed{5", None),
        ("no mark, 5", None),
    ],
)
def test_extract_answer_from_phrase(text: str, answer: str | None) -> None:
    assert extract_answer(text, ("phrase",)) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 3 = 5\n#### 5", "5"),
        ("#### 1,234", "1,234"),
        ("####$18.", "$18"),
        ("#### 3\n#### 4", "4"),
        ("#### 3\n####", None),
        ("##### 3", None),
        ("5", None),
    ],
)
def test_extract_answer_from_hashes(text: str, answer: str | None) -> None:
    assert extract_answer(text, ("hashes",)) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *[(f"I compare them.\n{line}\n", "C") for line in (
            "C", "C.", "(C)", "(C).", "**C**", "**(C)**", "C) Paris", "(C) Paris", "C. Paris",
            r"\boxed{C}", r"$\textbf{(C)}$", r"\text{(C) }12", "Option C", "The answer is (C).",
            "the correct answer is C", "Answer: C", "**Answer: (C)** 12", "The answer is choice C.",
            "So the answer is C, because B is too small.",
        )],
        ("**Answer:** B\n\nI hope this helps.", "B"),
        ("The answer is (A).\nNo: the answer is (B).", "B"),
        # never a guess
        ("A man walks", None),
        ("I think (C)", None),
        ("(A) is wrong", None),
        ("(A) and (B)", None),
        ("(C) 12 or (D) 13", None),
        ("A, B", None),
        ("The answer is A good question", None),
        ("The answer is A or B", None),
        ("The answer is Paris", None),
        ("Cat", None),
        ("K", None),
        ("", None),
    ],
)  # fmt: skip
def test_extract_answer_from_choice(text: str, answer: str | None) -> None:
    assert extract_answer(text, ("choice",)) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is 4. \boxed{5}", "5"),
        ("The answer is 4.", "4"),
        ("The answer is 4.\n#### 6", "4"),
        ("#### 6\nC", "6"),
        ("hm\nC", "C"),
        (r"The answer is 4. \boxed{5", None),  # truncated: nothing else counts
        (r"The answer is 4. \boxed{}", None),
        ("nothing", None),
    ],
)
def test_first_extraction_that_matches_decides(text: str, answer: str | None) -> None:
    assert extract_answer(text, ("boxed", "phrase", "hashes", "choice")) == answer


def test_extraction_reads_only_boxes_by_default() -> None:
    assert EXTRACTIONS == ("boxed", "phrase", "hashes", "choice")
    assert extract_answer("The answer is 4.") is None
    assert extract_answer(r"The answer is 4. So \boxed{5}", ("phrase", "boxed")) == "4"
    assert extract_answer(r"\boxed{5}", ()) is None
    with pytest.raises(ValueError, match=r"'box' is none of boxed, phrase"):
        extract_answer("", ("boxed", "box"))


_HOSTILE = [
    "the answer is ", "answer to ", "answer: ", "answer\n", r"\boxed{", "####", "#### ", " ", "*",
    "$", "{", "(A)", ". ", " , ", "a.b", "\n", "answer is $$", r"answer is \[",
]  # fmt: skip


@pytest.mark.parametrize("how", EXTRACTIONS)
@pytest.mark.parametrize("piece", _HOSTILE)
def test_extraction_ends_on_hostile_text(piece: str, how: str) -> None:
    text = piece * (1_000_000 // len(piece))
    for nasty in (text, "the answer is " + text, "answer" + text + "x"):
        extract_answer(nasty, (how,))


@given(st.lists(st.sampled_from([*_HOSTILE, "5", "C", "}", "x"])).map("".join), st.permutations(
    EXTRACTIONS))  # fmt: skip
def test_extracted_answer_is_stripped_and_occurs_in_the_text(text: str, how: list[str]) -> None:
    answer = extract_answer(text, how)
    assert answer is None or (answer == answer.strip() != "" and answer in text)
    assert extract_answer(text) == extract_boxed(text)
