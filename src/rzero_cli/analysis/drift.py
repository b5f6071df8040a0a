"""What of the diversity has fallen from one file's figures to a later one's, in words.

The limits let pass what samples and sizes do to the figures of a sequence that is sound, and are
passed long before a collapse is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Figures = dict[str, Any]
Counts = Mapping[str, tuple[int, int]]

FEWEST = 50
"""Questions that both files must have: among fewer, a share is mostly chance."""
LEAST_DISTINCT = 1 / 2
"""Of the distinct there were, so many must be left. In a public re-run of the method that fell
silently, 40 % of the distinct answers were; draws of one and the same Challenger differ by a few
per cent."""
MOST_ALIKE = 0.1
"""By so much self-BLEU may rise, a tenth of its scale: that of unlike questions is about 0.04, and
with three templates in equal parts a third of all pairs share one."""
MOST_IN_A_CLUSTER = 0.1
"""By so much the share of the largest cluster may rise. It is the repetition penalty of each of its
questions, so that a tenth is no longer small beside a reward of 1 at most."""
MOST_FREQUENT = 0.25
"""By so much the share of the ten most frequent answers or openings may rise. It is 0.2 among
`FEWEST` of which no two are alike, and near 0 among many."""


def falls(first: Figures, later: Figures) -> Iterator[str]:
    """A line for each figure of `analysis.diversity` that tells of lost diversity."""
    yield from fewer(counts(first), counts(later)).values()
    for what, share, of, most in _SHARES:
        if all(figures.get(of, 0) >= FEWEST for figures in (first, later)):
            before, after = share(first), share(later)
            if after > before + most:
                yield f"{what} rose from {before:.2f} to {after:.2f}"


def counts(figures: Figures) -> Counts:
    """By the key of `_COUNTS` how many different ones a file has, and of how many."""
    return {
        key: (count(figures), figures[of])
        for key, (_, count, of) in _COUNTS.items()
        if of in figures
    }


def fewer(first: Counts, later: Counts, least: float = LEAST_DISTINCT) -> dict[str, str]:
    """By key a line for each count that has become too small.

    Of a larger file there should not be fewer different ones, and of a smaller one not a smaller
    share.

    Args:
        first, later: of two files, by `counts`.
        least: of what there was, so much must be left.
    """
    told = {}
    for key, (had, size) in first.items():
        has, now = later.get(key, (0, 0))
        if min(size, now) >= FEWEST and has < least * had * min(1, now / size):
            told[key] = (
                f"{_COUNTS[key][0]} fell from {had:,} of {size:,} ({had / size:.0%}) to "
                f"{has:,} of {now:,} ({has / now:.0%})"
            )
    return told


_COUNTS: dict[str, tuple[str, Callable[[Figures], int], str]] = {
    "distinct_questions": ("distinct questions", lambda f: f["distinct_questions"], "questions"),
    "without_near_duplicate": (
        "questions without an earlier near-duplicate",
        lambda f: round(f["compared"] * (1 - f["near_duplicates"])),
        "compared",
    ),
    "distinct_answers": ("distinct answers", lambda f: f["distinct_answers"], "labelled"),
}
_SHARES: tuple[tuple[str, Callable[[Figures], float], str, float], ...] = (
    ("self-BLEU", lambda f: f["self_bleu"], "sampled", MOST_ALIKE),
    ("the largest cluster's share", lambda f: f["largest_cluster"], "sampled", MOST_IN_A_CLUSTER),
    (
        "the share of the ten most frequent openings",
        lambda f: sum(share for _, share in f["openings"]),
        "questions",
        MOST_FREQUENT,
    ),
    (
        "the share of the ten commonest answers",
        lambda f: f["top_10_answers"],
        "labelled",
        MOST_FREQUENT,
    ),
)
