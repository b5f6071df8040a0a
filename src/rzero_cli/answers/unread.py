"""Count the answers that could not be read, and report what would read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rzero_cli.answers.extraction import EXTRACTIONS, has_lost_backslashes, other_extraction

LOST = "lost"
"""Counts texts with lost backslashes."""
MANY = 1 / 4
"""The fraction of unreadable answers from which other extractions are suggested."""


def count_unread(
    texts: Sequence[str | None], answers: Sequence[str | None], how: Sequence[str] | None
) -> Counter[str]:
    """Count `answers`, those that are `unreadable`, and texts that have `lost` backslashes.

    Args:
        texts: completions, or answers that were given as such.
        answers: the answers read from them, None or blank if unreadable.
        how: the extractions that read them, so that others that would read an answer are counted
            by name; None if the texts are answers.
    """
    counts = Counter(answers=len(answers))
    for text, answer in zip(texts, answers, strict=True):
        unreadable = not answer or answer.isspace()
        counts["unreadable"] += unreadable
        if text and has_lost_backslashes(text):
            counts[LOST] += 1
        if text and unreadable and how is not None and (name := other_extraction(text, how)):
            counts[name] += 1
    return counts


def unread_in_words(counts: Counter[str]) -> str:
    """Return the number of unreadable answers, as the end of a summary."""
    return f"{counts['unreadable']:,} of {counts['answers']:,} answers could not be read"


def hints(counts: Counter[str], how: Sequence[str]) -> Iterator[str]:
    """Yield what to change, if many answers are unreadable, or if LaTeX lost its backslashes."""
    others = [name for name in EXTRACTIONS if counts[name]]
    if others and counts["unreadable"] > MANY * counts["answers"]:
        found = sum(counts[name] for name in others)
        yield (
            f"--extract {','.join([*how, *others])} would read {found:,} of the "
            f"{counts['unreadable']:,} that could not be read"
        )
    if lost := counts[LOST]:
        yield lost_in_words(lost, "answers")


def lost_in_words(count: int, what: str) -> str:
    """Report LaTeX without backslashes, for texts named `what`."""
    return (
        f"{what} whose LaTeX lost its backslashes: {count:,} (a backspace instead of \\b in "
        "\\boxed, a form feed instead of \\f in \\frac): write \\\\ for each backslash in JSON"
    )
