"""True answers from a file, by the exact text of the question.

The paper asks a stronger model what is true. Whoever knows better, or had such a model's answers
checked, puts them in by a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rzero_cli.data.jsonl import Line


def read_references(
    lines: Iterable[Line], *, question_key: str = "question", reference_key: str = "reference"
) -> dict[str, str | None]:
    """The true answer of each question; None where the file says null, or nothing is known.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or a question is there twice
            with different answers.
    """
    found: dict[str, str | None] = {}
    for line in lines:
        question, reference = line.text(question_key), line.text_or_none(reference_key)
        if found.setdefault(question, reference) != reference:
            raise line.error("the same question has another true answer in an earlier line")
    return found


def with_references(
    lines: Iterable[Line], references: Mapping[str, str | None], question_key: str
) -> Iterator[Line]:
    """`lines` with the `reference` of each question that has one; where it is not known, what a
    record has already stays."""
    for line in lines:
        question = line.record.get(question_key)
        if isinstance(question, str) and question in references:
            known = references[question]
            line.record["reference"] = line.record.get("reference") if known is None else known
        yield line
