"""Warnings of lost diversity between the metrics of one file and a later one.

The limits tolerate the noise of sampling and of file sizes in a healthy run, and are exceeded long
before a collapse is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Metrics = dict[str, Any]
Counts = Mapping[str, tuple[int, int]]

FEWEST = 50
"""The fewest questions that both files must have; a fraction of fewer is mostly chance."""
LEAST_DISTINCT = 1 / 2
"""The fraction of the earlier distinct items that must be left. In a public re-run of the method
that collapsed silently, 40 % of the distinct answers were left; samples of one Challenger differ by
a few per cent."""
MOST_ALIKE = 0.1
"""The largest tolerated rise of self-BLEU, a tenth of its range. It is about 0.04 for dissimilar
questions; with three templates in equal parts, a third of all pairs share one."""
MOST_IN_A_CLUSTER = 0.1
"""The largest tolerated rise of the largest cluster's fraction. That fraction is the repetition
penalty of each of its questions, so a tenth matters against a reward of at most 1."""
MOST_FREQUENT = 0.25
"""The largest tolerated rise of the fraction of the ten most frequent answers or openings. It is
0.2 among `FEWEST` different ones, and near 0 among many."""


def falls(first: Metrics, later: Metrics) -> Iterator[str]:
    """Yield a line for each metric of `analysis.diversity` that shows lost diversity."""
    yield from fewer(counts(first), counts(later)).values()
    for what, share, of, most in _SHARES:
        if all(metrics.get(of, 0) >= FEWEST for metrics in (first, later)):
            before, after = share(first), share(later)
            if after > before + most:
                yield f"{what} rose from {before:.2f} to {after:.2f}"


def counts(metrics: Metrics) -> Counts:
    """Return (distinct, total) of a file's metrics under each key of `_COUNTS` that applies."""
    return {
        key: (count(metrics), metrics[of])
        for key, (_, count, of) in _COUNTS.items()
        if of in metrics
    }


def fewer(first: Counts, later: Counts, least: float = LEAST_DISTINCT) -> dict[str, str]:
    """Return key -> message for each count that has become too small.

    A larger file must not have fewer distinct items; a smaller one must not have a smaller
    fraction.

    Args:
        first, later: the `counts` of two files.
        least: the fraction that must be left.
    """
    messages = {}
    for key, (had, size) in first.items():
        has, now = later.get(key, (0, 0))
        if min(size, now) >= FEWEST and has < least * had * min(1, now / size):
            messages[key] = (
                f"{_COUNTS[key][0]} fell from {had:,} of {size:,} ({had / size:.0%}) to "
                f"{has:,} of {now:,} ({has / now:.0%})"
            )
    return messages


_COUNTS: dict[str, tuple[str, Callable[[Metrics], int], str]] = {
    "distinct_questions": ("distinct questions", lambda f: f["distinct_questions"], "questions"),
    "without_near_duplicate": (
        "questions without an earlier near-duplicate",
        lambda f: round(f["compared"] * (1 - f["near_duplicates"])),
        "compared",
    ),
    "distinct_answers": ("distinct answers", lambda f: f["distinct_answers"], "labelled"),
}
_SHARES: tuple[tuple[str, Callable[[Metrics], float], str, float], ...] = (
    ("self-BLEU", lambda f: f["self_bleu"], "sampled", MOST_ALIKE),
    (
        "the largest cluster's fraction",
        lambda f: f["largest_cluster"],
        "sampled",
        MOST_IN_A_CLUSTER,
    ),
    (
        "the fraction of the ten most frequent openings",
        lambda f: sum(share for _, share in f["openings"]),
        "questions",
        MOST_FREQUENT,
    ),
    (
        "the fraction of the ten most frequent answers",
        lambda f: f["top_10_answers"],
        "labelled",
        MOST_FREQUENT,
    ),
)
