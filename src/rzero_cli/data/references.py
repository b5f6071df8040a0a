"""True answers from a file, by the exact text of the question.

The paper takes them from a stronger model. A file can supply known or checked answers instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from rzero_cli.data.jsonl import Line

T = TypeVar("T")


def reference_of(line: Line, key: str, read: Callable[[str], T | None]) -> T:
    """Return what `read` finds in a record's reference.

    Raises:
        DataError: the key is missing or no string, or `read` finds nothing.
    """
    if (found := read(line.text(key))) is None:
        raise line.error(f'key "{key}": --reference-extract finds no answer in it')
    return found


def read_references(
    lines: Iterable[Line],
    *,
    question_key: str = "question",
    reference_key: str = "reference",
    read: Callable[[str], str | None] = str,
) -> dict[str, str | None]:
    """Return question -> true answer, None where the file has null.

    Args:
        lines: the records.
        question_key, reference_key: their keys.
        read: reads the answer from a reference.

    Raises:
        DataError: a key is missing or of the wrong type, or a question has two different answers.
    """
    found: dict[str, str | None] = {}
    for line in lines:
        question, reference = line.text(question_key), line.text_or_none(reference_key)
        reference = None if reference is None else read(reference)
        if found.setdefault(question, reference) != reference:
            raise line.error("the same question has a different true answer in an earlier line")
    return found


def with_references(
    lines: Iterable[Line], references: Mapping[str, str | None], question_key: str
) -> Iterator[Line]:
    """Yield `lines` with `reference` set for each question in `references`.

    A null there keeps the record's own `reference`, if any.
    """
    for line in lines:
        question = line.record.get(question_key)
        if isinstance(question, str) and question in references:
            known = references[question]
            line.record["reference"] = line.record.get("reference") if known is None else known
        yield line
