"""Extraction of a completion's answer: the last box, a phrase, `####` or a choice letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.answers import EXTRACTIONS, extract_answer, extract_boxed
from rzero_cli.answers.extraction import has_lost_backslashes, other_extraction


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
        ("The correct option is C.", "C"),
        ("I add.\n\n### Final Answer\n\n73\n", "73"),
        ("**Final Answer**\r\n$\\boxed{73}$", "73"),
        ("## The final answer\n**x = 5**", "x = 5"),
        ("### Final Answer: 5", "5"),
        ("答案：73", "73"),
        ("【答案】5", "5"),
        ("所以故选：C", "C"),
        ("故应选 B。", "B"),
        ("故选择题的得分是 5", None),
        ("所以**答案**：73。因为 70+3=73", "73"),
        ("最终答案是 73。", "73"),
        ("Answer：73", "73"),
        ("Answer the question: 5", None),
        ("### Final Answer\n", None),
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
            "So the answer is C, because B is too small.", "Answer C",
            "The correct option is C.", "the right choice is (C) Paris",
            r"So it is $\boxed{C. 73}$ m",
            r"\boxed{\text{(C) }73}", "答案：C", "最终答案是（C）。", "### Final Answer\nC",
        )],
        ("**Answer:** B\n\nI hope this helps.", "B"),
        ("The answer is (A).\nNo: the answer is (B).", "B"),
        (r"The answer is A? No, \boxed{B. 73}. I hope this helps.", "B"),
        (r"First \boxed{A}. No, the answer is B. I hope this helps.", "B"),
        (r"\boxed{73} is right", None),
        (r"\boxed{A + B}", None),
        ("A:B = 2:3", None),
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


@pytest.mark.parametrize("how", [("phrase", "choice"), ("choice", "phrase")])
def test_choice_reduces_the_answer_of_a_phrase_to_its_letter(how: tuple[str, ...]) -> None:
    assert extract_answer("The answer is (C) Paris. It is old.", how) == "C"
    assert extract_answer("The answer is Paris.", how) == "Paris"
    assert extract_answer(r"\boxed{B. 73}", ("boxed", *how)) == "B"
    assert extract_answer(r"\boxed{73}", ("boxed", *how)) == "73"
    assert extract_answer(r"\boxed{B. 73}", ("boxed", "phrase")) == "B. 73"


def test_other_extraction_names_what_would_read_an_answer() -> None:
    assert other_extraction("The answer is 5", ("boxed",)) == "phrase"
    assert other_extraction("#### 5", ("boxed",)) == "hashes"
    assert other_extraction("hm\n(C)", ("boxed", "phrase")) == "choice"
    assert other_extraction("The answer is 5", ("phrase",)) is None
    # A mark with nothing behind it means that the completion was truncated.
    assert other_extraction(r"The answer is 5 \boxed{", ("boxed",)) is None
    assert other_extraction("<think>The answer is 5", ("boxed",)) is None
    assert other_extraction("5", ("boxed",)) is None


@pytest.mark.parametrize("text", [r"\boxed{5}", r"\frac12", r"\beta", r"5\text{ cm}", r"\right)"])
def test_backslashes_lost_in_json_are_noticed(text: str) -> None:
    assert has_lost_backslashes(json.loads(f'"so {text}"'))
    assert not has_lost_backslashes(f"so {text}")


def test_other_control_characters_are_no_lost_backslashes() -> None:
    assert not has_lost_backslashes("x\ttext\tfraction\r\nright\x0cChapter 2\x0cfrom\x08 5")


_HOSTILE = [
    "the answer is ", "answer to ", "answer: ", "answer\n", r"\boxed{", "####", "#### ", " ", "*",
    "$", "{", "(A)", ". ", " , ", "a.b", "\n", "answer is $$", r"answer is \[",
    "答案：", "# final answer\n",
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
