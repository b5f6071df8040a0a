"""The index that finds benchmark questions in other text: tokens, n-grams, short questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.analysis.contamination import Index, index_benchmarks, tokens
from rzero_cli.data.jsonl import Line


def index_of(*questions: str, n: int = 13, source: str = "b") -> Index:
    lines = [Line(source, i, b"", {"question": q}) for i, q in enumerate(questions, 1)]
    return index_benchmarks(lines, n=n)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is  3 +\n4?", "what is 3+4"),
        ("**What** is (3 + 4)?", "What is 3 + 4"),
        (r"$x^2 \leq 1{,}000 \times \frac{1}{2}$", "x² ≤ 1,000 × 1/2"),
        (r"\left(\dfrac12\right)", "½"),
        (r"3\cdot 4 \text{ apples}", "3 * 4 apples"),
        (r"$2\pi r$ at $90^\circ$, 5\%", "2πr at 90°, 5%"),
        ("it’s a 9-kilometer walk", "It's a $9$ kilometer walk"),
        ("５ Äpfel", "5 äpfel"),
        ("求方程 x+1=2 的解。", "求 方程x + 1 = 2的解"),
    ],
)
def test_tokens_ignore_typesetting(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 + 4", "3 - 4"),
        ("x - y", "x y"),
        ("1000", "1 000 0"),
        ("0.5", "5"),
        ("x^2", "x2"),
        ("a < b", "a <= b"),
        (r"\sin x", r"\cos x"),
        ("求解", "求和"),
    ],
)
def test_tokens_keep_different_meanings_apart(one: str, other: str) -> None:
    assert tokens(one) != tokens(other)


def test_tokens_by_hand() -> None:
    assert tokens(r"Solve $\sqrt{x+1} = -2.50$ by 1,234,567!") == (
        "solve sqrt x + 1 = - 2.50 by 1234567".split()  # noqa: SIM905 - easier to read
    )
    assert tokens("数の和") == ["数", "の", "和"]


@given(st.text(max_size=200))
def test_tokenizing_is_idempotent_for_any_text(text: str) -> None:
    found = tokens(text)
    assert all(found)
    assert tokens(" ".join(found)) == found


def test_tokenizing_hostile_text_is_fast() -> None:
    for text in ("^" + " " * 50_000 + "\\x", "}" * 50_000 + "\\", "\\frac " * 20_000, "-" * 50_000):
        tokens(text)


LONG = "a farmer sells 16 eggs and 4 hens at the market for 2 dollars each how much is it all"


def test_index_finds_thirteen_tokens_in_a_row_but_not_twelve() -> None:
    words = LONG.split()
    index = index_of(LONG)
    for start in range(len(words) - 12):
        assert index.find("so: " + " ".join(words[start : start + 13]) + ", they say") == {0}
        assert index.find("so: " + " ".join(words[start : start + 12]) + ", they say") == set()


def test_short_question_is_found_if_all_of_it_occurs() -> None:
    eight = "how much is 3 * 4 + 5"
    assert len(tokens(eight)) == 8
    index = index_of(eight)
    assert index.find("My son, HOW MUCH is 3 * 4 + 5, please") == {0}
    assert index.find("how much is 3 * 4 + 6") == set()


def test_very_short_question_is_found_only_as_a_whole_text() -> None:
    index = index_of("what is 1 + 1", "?")
    assert index.find("What is 1+1?") == {0}
    assert index.find("Ann knows what is 1 + 1 and asks for more") == set()
    assert index.find("what is 1 + 2") == set()
    assert index.find("!") == set(), "nothing is not found in nothing"


def test_phrase_shared_by_several_questions_matches_none() -> None:
    ending = "written as m/n where m and n are relatively prime positive integers what is m+n"
    questions = [f"{opening} is {ending}" for opening in ("the area of a hexagon", "its volume")]
    index = index_of(*questions)
    assert index.find(f"the sum of all roots is {ending}") == set()
    assert [index.find(question) for question in questions] == [{0}, {1}]
    assert index_of(questions[0]).find(f"the sum of all roots is {ending}") == {0}
    assert index_of(LONG, LONG).find(f"so {LONG}") == {0, 1}, "a question that occurs twice"


def test_question_in_two_benchmarks_is_found_in_both() -> None:
    lines = [Line("a", 1, b"", {"question": LONG}), Line("b", 1, b"", {"problem": LONG + " now"})]
    assert index_benchmarks(lines).find(LONG) == {0, 1}


@given(st.lists(st.sampled_from("abcdefgh1234+="), min_size=1, max_size=30), st.integers(1, 14))
def test_question_is_always_found_in_itself(words: list[str], n: int) -> None:
    text = " ".join(words)
    assert index_of(text, n=n).find(text) == {0}
