"""`rzero grade`: answers and completions against references."""

from __future__ import annotations

from typing import Any

from conftest import Rzero
from helpers.json_lines import jsonl, records


def test_grade_compares_answers_and_completions(rzero: Rzero) -> None:
    rows: list[dict[str, Any]] = [
        {"answer": "0.5", "reference": r"\frac{1}{2}", "x": 1},
        {"answer": "0.3333", "reference": "1/3"},
        {"answer": None, "reference": "1"},
        {"completion": r"so \boxed{1} no \boxed{1,234}", "reference": "1234"},
        {"completion": "I do not know", "reference": "1"},
        # `answer` takes precedence over `completion`
        {"answer": "2", "completion": r"\boxed{1}", "reference": "1"},
    ]
    ended = rzero("grade", input=jsonl(*rows))
    assert ended.status == 0, ended.stderr
    extracted = ["0.5", "0.3333", None, "1,234", None, "2"]
    correct = [True, False, False, True, False, False]
    assert records(ended) == [
        row | {"extracted": e, "correct": c}
        for row, e, c in zip(rows, extracted, correct, strict=True)
    ]
    assert "2 of 6 correct (33.3%)" in ended.stderr


def test_grade_reads_other_keys(rzero: Rzero) -> None:
    row = {"output": r"\boxed{5}", "gold": "5.0"}
    ended = rzero(
        "grade", "--completion-key", "output", "--reference-key", "gold", input=jsonl(row)
    )
    assert records(ended) == [row | {"extracted": "5", "correct": True}]
    row = {"guess": "6", "gold": "5.0"}
    ended = rzero("grade", "--answer-key", "guess", "--reference-key", "gold", input=jsonl(row))
    assert records(ended) == [row | {"extracted": "6", "correct": False}]


def test_grade_computes_references_of_the_miniature(rzero: Rzero) -> None:
    rows = [
        {"question": "reverse the digits of 4071", "answer": "1704"},
        {"question": "reverse the digits of 4071", "answer": "4071", "reference": "4071"},
    ]
    graded = records(rzero("grade", "--truth", input=jsonl(*rows)))
    assert [row["reference"] for row in graded] == ["1704", "1704"]
    assert [row["correct"] for row in graded] == [True, False]
