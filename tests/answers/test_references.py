"""Reading the true answer of a reference, which may be a whole solution."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from rzero_cli.answers.references import reading_in_words, reference_reader

SOLUTION = "She sells 16 - 7 = <<16-7=9>>9 eggs a day.\nShe makes 9 * 2 = $18.\n#### 18"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (SOLUTION, "18"),
        (SOLUTION + "  \n\n", "18"),
        ("#### 1,004", "1,004"),
        (r"Squaring both sides gives $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"The sum is \boxed{5}, so \boxed{5}.", "5"),
        (r"所以答案是\boxed{7}。", "7"),
    ],
)
def test_answer_of_a_solution_is_read(reference: str, answer: str) -> None:
    assert reference_reader()(reference) == answer


@pytest.mark.parametrize(
    "reference",
    [
        *("18", "", "x = 5", "no solution", "the answer is 5", "C", "5 #### 6"),
        # A mark that is not the end, has nothing behind it, or is a longer heading.
        *("#### 18\nis wrong", "text\n####", "##### 18", "#### 18\n#### "),
        # Boxes in a formula, or several: the whole is one answer.
        *(r"\boxed{5}", r"x = \boxed{5}", r"\boxed{3} and \boxed{4}", r"\text{at least }\boxed{5}"),
        r"The roots of the equation are \boxed{3} and \boxed{4}.",
        r"First we find \boxed{2}, then \boxed{3}, and check that it is \boxed{3}.",
        r"The answer to this is \boxed{5",
        *(r"<think>So the answer is \boxed{5}", "<think>So it is\n#### 5"),  # truncated
    ],
)
def test_any_other_reference_stays_whole(reference: str) -> None:
    assert reference_reader()(reference) == reference


def test_reading_can_be_chosen() -> None:
    assert reference_reader(("whole",))(SOLUTION) == SOLUTION
    assert reference_reader(("hashes",))("18") is None
    assert reference_reader(("hashes", "whole"))("18") == "18"
    roots = r"The roots of the equation are \boxed{3} and \boxed{4}."
    assert reference_reader(("boxed",))(roots) == "4"
    assert reference_reader(("phrase",))("the answer is 5.") == "5"


def test_reading_is_reported_in_one_line() -> None:
    counts: Counter[str] = Counter()
    read = reference_reader(counts=counts)
    read("18")
    assert list(reading_in_words(counts)) == []
    read(SOLUTION)
    assert list(reading_in_words(counts)) == ["references read: 1 after ####, 1 whole"]
    counts.clear()
    read(SOLUTION)
    read(SOLUTION)
    assert list(reading_in_words(counts)) == ["references read: all 2 after ####"]
    read("\x0crac12")
    assert "references whose LaTeX lost its backslashes: 1 " in [*reading_in_words(counts)][1]


def test_every_reference_of_gsm8k_is_read(benchmarks: Path) -> None:
    lines = (benchmarks / "gsm8k_test.jsonl").read_text("utf-8").splitlines()
    read = reference_reader()
    for line in lines:
        reference = json.loads(line)["answer"]
        assert read(reference) == reference.rpartition("#### ")[2]
