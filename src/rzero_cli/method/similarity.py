"""Vectorized BLEU between all pairs of a batch of questions (paper, section 3.2).

    BLEU(hypothesis, reference) = penalty * (p_1 p_2 p_3 p_4) ** (1/4)

with p_n = (clipped n-gram matches) / (n-grams of the hypothesis). Three facts make all pairs cheap:

- Counting "(n-gram, its k-th occurrence)" as an item turns clipped matches into set intersections:
  one matrix product per n, dense for frequent items and sparse for the rest. Items that occur in
  only one question match nothing and are dropped, as are all longer n-grams that contain them.
- Matches are symmetric, and the penalty and denominators depend only on the two lengths. Both
  directions of a pair therefore cost one table look-up and two square roots.
- An order can match only if the order below it does, so the smoothed value of an order without a
  match does not depend on the pair.

Scores equal those of sacrebleu's sentence BLEU (`effective_order=True`, `smooth_method="exp"`) with
any of its tokenizers, or of nltk's with smoothing method 1 on whitespace tokens (`official`). Pairs
closer than `NEAR` are recomputed in the library's order of operations and match it to the last bit,
so that rounding never moves a pair across a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

NLTK = "nltk"
"""The tokenizer name that selects the authors' nltk BLEU."""

MAX_ORDER = 4
NEAR = 0.9
"""Distances below this equal the libraries' to the last bit; others to 1e-15."""
_FREQUENT = 1 / 8
"""An item in more than this fraction of the questions is cheaper in a dense product."""


def distance_matrix(questions: Sequence[str], bleu: str = "13a") -> Floats:
    """Return the symmetric distances d_ij = 1 - BLEU(x_i, x_j), with d_ii = 0.

    BLEU itself is not symmetric. A sacrebleu distance is the mean of both directions (`paper`). An
    nltk distance takes the question of the lower index as the hypothesis (`official`).

    Args:
        questions: B texts.
        bleu: a sacrebleu tokenizer ("13a", "char", "intl", "zh", "none", ...) or "nltk".

    Returns:
        (B, B) distances in [0, 1].
    """
    distances = np.zeros((len(questions), len(questions)))
    upper = np.triu_indices(len(questions), 1)
    distances[upper] = condensed_distances(questions, bleu)
    distances += distances.T
    return distances


def condensed_distances(questions: Sequence[str], bleu: str = "13a") -> Floats:
    """Return the upper triangle of `distance_matrix`, row by row, as scipy's `linkage` takes it.

    Memory: 8 bytes per pair, plus much smaller blocks of rows.

    Returns:
        B (B - 1) / 2 distances: 17 MB for a batch of 2,048, 268 MB for 8,192.
    """
    size = len(questions)
    tokens, lengths = _numbered(questions, bleu)
    orders = _shared_items(tokens, lengths)
    distances = np.empty(size * (size - 1) // 2)
    weights, kinds = _weights(lengths, bleu)
    # Smoothed counts of orders without a match: sacrebleu's k-th such order counts 1 / 2^k.
    smooth = (1.0, 0.1, 0.1, 0.1) if bleu == NLTK else (1.0, 1 / 8, 1 / 4, 1 / 2)
    # sacrebleu averages only over the orders that the hypothesis has.
    short = np.zeros(size, dtype=bool) if bleu == NLTK else lengths < MAX_ORDER
    rows = min(512, max(64, size // 16))
    done = 0
    for start in range(0, size, rows):
        stop = min(start + rows, size)
        matches = [order.matches(start, stop) for order in orders]
        scores = matches[0].astype(np.float64)
        for match, least in zip(matches[1:], smooth[1:], strict=True):
            scores *= np.maximum(match, np.float64(least))
        np.sqrt(np.sqrt(scores, out=scores), out=scores)
        scores *= weights[kinds[start:stop, None], kinds[None, start:]]
        block = np.subtract(1.0, scores, out=scores)
        again = block < NEAR
        if short[start:].any():
            again |= (short[start:stop, None] | short[None, start:]) & (matches[0] > 0)
        again &= np.arange(start, size)[None, :] > np.arange(start, stop)[:, None]
        near = np.nonzero(again)
        block[near] = [
            pair_distance(*found, bleu)
            for found in zip(
                *(match[near].astype(np.int64).tolist() for match in matches),
                lengths[near[0] + start].tolist(),
                lengths[near[1] + start].tolist(),
                strict=True,
            )
        ]
        for i in range(stop - start):
            row = block[i, i + 1 :]
            # Rounding may leave 1 - BLEU just below 0 for identical texts.
            np.maximum(row, 0.0, out=distances[done : done + len(row)])
            done += len(row)
    return distances


def self_bleu(distances: Floats) -> tuple[float, float]:
    """Return the self-BLEU of a set of questions: the mean BLEU of all pairs.

    A mean over pairs (Shen et al. 2019) does not grow with the number of questions, so samples of
    different sizes can be compared. A score against all others as references (Zhu et al. 2018)
    would grow.

    Args:
        distances: the B (B - 1) / 2 `condensed_distances`, B > 1.

    Returns:
        The mean, from 0 to 1, and its standard error if the questions are a random sample: that of
        a U-statistic, from the spread of the questions' own means (Hoeffding 1948).
    """
    size = int((1 + math.sqrt(1 + 8 * len(distances))) / 2)
    sums, done = np.zeros(size), 0
    for i in range(size - 1):
        row = distances[done : (done := done + size - 1 - i)]
        sums[i] += row.sum()
        sums[i + 1 :] += row
    own = 1 - sums / (size - 1)
    return float(own.mean()), float(2 * own.std() / math.sqrt(size))


@lru_cache(maxsize=2**16)
def pair_distance(m1: int, m2: int, m3: int, m4: int, one: int, other: int, bleu: str) -> float:
    """Return the distance of two questions, equal to the library's to the last bit.

    Args:
        m1, m2, m3, m4: clipped matches of each order.
        one: length of the first question in tokens.
        other: length of the second.
        bleu: as in `distance_matrix`.
    """
    matches = (m1, m2, m3, m4)
    if bleu == NLTK:
        return 1.0 - _nltk_score(matches, one, other)
    there = _sacrebleu_score(matches, one, other)
    return 1.0 - (there + _sacrebleu_score(matches, other, one)) / 200.0


def _sacrebleu_score(matches: Sequence[int], hypothesis: int, reference: int) -> float:
    """Return exp of the mean log precision over the orders of the hypothesis, from 0 to 100.

    Smoothing "exp": the k-th order without a match counts 1 / (2^k * total).
    """
    if not matches[0]:
        return 0.0
    logs = []
    halvings = 1.0
    for n, match in enumerate(matches[:hypothesis]):
        total = hypothesis - n
        if not match:
            halvings *= 2.0
        precision = 100.0 * match / total if match else 100.0 / (halvings * total)
        logs.append(math.log(precision))
    penalty = math.exp(1 - reference / hypothesis) if hypothesis < reference else 1.0
    return penalty * math.exp(sum(logs) / len(logs))


def _nltk_score(matches: Sequence[int], hypothesis: int, reference: int) -> float:
    """Return exp of the mean of four log precisions, from 0 to 1; no match counts 0.1 / total."""
    if not matches[0]:
        return 0.0
    logs = [0.25 * math.log((m or 0.1) / max(1, hypothesis - n)) for n, m in enumerate(matches)]
    penalty = math.exp(1 - reference / hypothesis) if hypothesis <= reference else 1.0
    return penalty * math.exp(math.fsum(logs))


def _weights(lengths: Ints, bleu: str) -> tuple[Floats, Ints]:
    """Return the factors of 1 - distance that depend on lengths: a table, and each text's row."""
    known, kinds = np.unique(lengths, return_inverse=True)
    hypothesis = np.maximum(known, 1)[:, None].astype(np.float64)
    totals = np.maximum(1.0, hypothesis - np.arange(MAX_ORDER))
    penalty = np.exp(np.minimum(0.0, 1.0 - hypothesis.T / hypothesis))
    weights = penalty / np.sqrt(np.sqrt(totals.prod(axis=1, keepdims=True)))
    if bleu != NLTK:
        weights = (weights + weights.T) / 2.0
    return weights, kinds


# ---------------------------------------------------------------- tokens


def tokenizer(bleu: str) -> Callable[[str], list[str]]:
    """Return the tokenizer `bleu`: from a text to its tokens, as sacrebleu or NLTK cuts it."""
    if bleu == NLTK:
        return str.split
    from sacrebleu.metrics.bleu import BLEU

    tokenize = BLEU(effective_order=True, tokenize=bleu).tokenizer
    # sacrebleu strips the right end of every segment before its tokenizer sees it.
    return lambda text: tokenize(text.rstrip()).split()


class Words(dict[str, list[int]]):
    """A cache of the token numbers of each whitespace-separated word.

    Questions share most of their words, and tokenizing is most of the work.
    """

    def __init__(self, bleu: str) -> None:
        super().__init__()
        self._tokenize = tokenizer(bleu)
        self._numbers: dict[str, int] = {}
        # These tokenize each word independently of its neighbours; "intl" and "zh" do not.
        self._by_word = bleu in (NLTK, "13a", "char", "none")

    def __missing__(self, word: str) -> list[int]:
        numbers = self._numbers
        made = [numbers.setdefault(token, len(numbers)) for token in self._tokenize(word)]
        self[word] = made
        return made

    def of(self, text: str) -> list[int]:
        """Return the token numbers of a text."""
        # 13a removes these two from a line and so joins the words around them.
        if self._by_word and "-\n" not in text and "<skipped>" not in text:
            return [number for word in text.split() for number in self[word]]
        made = self[text]
        del self[text]
        return made


def _numbered(texts: Iterable[str], bleu: str) -> tuple[Ints, Ints]:
    """Return the token numbers of all texts, concatenated, and the length of each text."""
    words = Words(bleu)
    tokens: list[int] = []
    lengths = []
    for text in texts:
        made = words.of(text)
        tokens += made
        lengths.append(len(made))
    return np.array(tokens, dtype=np.int64), np.array(lengths, dtype=np.int64)


# ---------------------------------------------------------------- items and matches


class _Items(NamedTuple):
    """The items of one order that occur in at least two questions, as 0/1 matrices."""

    frequent: NDArray[np.float32]
    """(B, frequent items)"""
    rare: Any
    """(B, other items), sparse"""
    rare_by_item: Any
    """the same, transposed"""

    @classmethod
    def of(cls, owners: Ints, items: Ints, size: int) -> _Items:
        """Build the matrices from the owner and the number of each item, for `size` questions."""
        from scipy.sparse import csr_array

        counts = np.bincount(items, minlength=1)
        often = counts > _FREQUENT * size
        columns = np.where(often, np.cumsum(often), np.cumsum(~often)) - 1
        dense = often[items]
        frequent = np.zeros((size, int(often.sum())), dtype=np.float32)
        frequent[owners[dense], columns[items[dense]]] = 1
        ones = np.ones(int((~dense).sum()), dtype=np.float32)
        place = (owners[~dense], columns[items[~dense]])
        shape = (size, max(1, int((~often).sum())))
        return cls(
            frequent,
            csr_array((ones, place), shape=shape),
            csr_array((ones, place[::-1]), shape=shape[::-1]),
        )

    def matches(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return (stop - start, B - start) counts of items shared with questions from `start`."""
        counts = (self.rare[start:stop] @ self.rare_by_item).toarray()[:, start:]
        counts += self.frequent[start:stop] @ self.frequent[start:].T
        return np.asarray(counts, dtype=np.float32)


def _shared_items(tokens: Ints, lengths: Ints) -> list[_Items]:
    """Return the shared items of orders 1 to 4."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(tokens))  # where the n-grams start
    keys = tokens
    grams = np.full(len(tokens) + 1, -1)  # the shared (n - 1)-gram that starts at each place
    inside = np.append(owners[1:] == owners[:-1], False) if len(tokens) else owners == 1
    orders = []
    for n in range(1, MAX_ORDER + 1):
        if n > 1:
            # An n-gram is its first and its last (n - 1)-gram, and shared only if both are.
            places = np.nonzero(inside & (grams[:-1] >= 0) & (grams[1:] >= 0))[0]
            keys = grams[places] * len(grams) + grams[places + 1]
        order = np.argsort(keys, kind="stable")
        places, keys = places[order], keys[order]  # by n-gram, then by question
        ids, items = _number_items(keys, owners[places])
        shared = np.bincount(items)[items] > 1
        # The item of an n-gram's first occurrence has the n-gram's number; if it is not shared, no
        # later occurrence is.
        grams[:] = -1
        grams[places] = np.where(np.bincount(items, minlength=len(keys))[ids] > 1, ids, -1)
        orders.append(_Items.of(owners[places[shared]], items[shared], len(lengths)))
    return orders


def _number_items(keys: Ints, owners: Ints) -> tuple[Ints, Ints]:
    """Return the number of each n-gram and each item, from sorted n-grams and their owners."""
    if not len(keys):
        return keys, keys
    new = np.append(True, keys[1:] != keys[:-1])
    ids = np.cumsum(new) - 1
    new[1:] |= owners[1:] != owners[:-1]
    firsts = np.nonzero(new)[0]
    times = np.arange(len(keys)) - np.repeat(firsts, np.diff(firsts, append=len(keys)))
    items = ids.copy()
    again = times > 0
    _, later = np.unique(ids[again] * len(keys) + times[again], return_inverse=True)
    items[again] = ids[-1] + 1 + later
    return ids, items
