"""BLEU between all pairs of a batch of questions in one go (paper, section 3.2).

The item counted is "(n-gram, its k-th occurrence)": clipped n-gram matches are then plain set
intersections, and all pairs at once are one sparse product for each n. Scores are those of the
library loops, to rounding: sacrebleu's sentence BLEU (`effective_order=True`,
`smooth_method="exp"`) under any of its tokenizers, or nltk's with smoothing method 1 on whitespace
tokens (`official`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NLTK", "bleu_matrix", "distance_matrix"]

NLTK = "nltk"
"""The tokenizer name that stands for the authors' nltk BLEU."""

MAX_ORDER = 4


def distance_matrix(questions: Sequence[str], bleu: str = "13a") -> NDArray[np.float64]:
    """d_ij = 1 - BLEU(x_i, x_j), made symmetric, with d_ii = 0.

    BLEU is not symmetric. `paper`: the mean of both directions. `official`: hypothesis is the
    lower index, and the value is mirrored.

    Args:
        questions: B texts.
        bleu: a tokenizer of sacrebleu's ("13a", "char", "intl", "zh", "none", ...) or "nltk".

    Returns:
        (B, B) distances in [0, 1].
    """
    scores = bleu_matrix(questions, bleu)
    if bleu == NLTK:
        upper = np.triu(scores, 1)
        distances = 1.0 - (upper + upper.T)
    else:
        distances = 1.0 - (scores + scores.T) / 2.0
    np.fill_diagonal(distances, 0.0)
    # Rounding may leave 1 - BLEU a hair below 0 for identical texts.
    return np.asarray(np.clip(distances, 0.0, 1.0), dtype=np.float64)


def bleu_matrix(questions: Sequence[str], bleu: str = "13a") -> NDArray[np.float64]:
    """Sentence BLEU in [0, 1] of every hypothesis (row) against every reference (column)."""
    tokens = _tokenize(questions, bleu)
    lengths = np.array([len(t) for t in tokens], dtype=np.float64)
    matches = [_matches(tokens, n) for n in range(1, MAX_ORDER + 1)]
    score = _nltk_score if bleu == NLTK else _sacrebleu_score
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.minimum(1.0, np.exp(1.0 - lengths[None, :] / lengths[:, None]))
        scores = penalty * score(matches, lengths)
    # No shared unigram, or an empty side, is exactly 0.
    return np.where(matches[0] > 0, scores, 0.0)


def _tokenize(questions: Sequence[str], bleu: str) -> list[list[str]]:
    if bleu == NLTK:
        return [q.split() for q in questions]
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True, tokenize=bleu)
    # sacrebleu strips the right end of every segment before its tokenizer sees it.
    return [metric.tokenizer(q.rstrip()).split() for q in questions]


def _matches(tokens: Sequence[Sequence[str]], n: int) -> NDArray[np.float64]:
    """(B, B) clipped matches of n-grams between every two token lists."""
    from scipy.sparse import csr_array

    ids: dict[tuple[tuple[str, ...], int], int] = {}
    columns: list[int] = []
    ends = [0]
    for words in tokens:
        seen: Counter[tuple[str, ...]] = Counter()
        for gram in zip(*(words[k:] for k in range(n)), strict=False):
            seen[gram] += 1
            columns.append(ids.setdefault((gram, seen[gram]), len(ids)))
        ends.append(len(columns))
    shape = (len(tokens), max(1, len(ids)))
    items = csr_array((np.ones(len(columns)), np.array(columns, dtype=np.int64), ends), shape=shape)
    return np.asarray((items @ items.T).toarray(), dtype=np.float64)


def _sacrebleu_score(
    matches: Sequence[NDArray[np.float64]], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """exp of the mean log precision over the orders the hypothesis has (effective order).

    Smoothing "exp": the k-th order without a match counts 1 / (2^k * total).
    """
    logs = np.zeros_like(matches[0])
    halvings = np.zeros_like(matches[0])
    for n, match in enumerate(matches, 1):
        total = np.broadcast_to(lengths[:, None] - n + 1, match.shape)
        halvings += match == 0
        precision = np.where(match > 0, match, np.exp2(-halvings)) / total
        logs += np.where(total > 0, np.log(precision), 0.0)
    orders = np.clip(lengths, 1, MAX_ORDER)[:, None]
    return np.asarray(np.exp(logs / orders))


def _nltk_score(
    matches: Sequence[NDArray[np.float64]], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """exp of the mean of four log precisions; an order without a match counts 0.1 / total."""
    logs = np.zeros_like(matches[0])
    for n, match in enumerate(matches, 1):
        total = np.maximum(1.0, lengths - n + 1)[:, None]
        logs += 0.25 * np.log(np.where(match > 0, match, 0.1) / total)
    return np.asarray(np.exp(logs))
