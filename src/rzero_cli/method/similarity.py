"""BLEU between all pairs of a batch of questions in one go (paper, section 3.2).

    BLEU(hypothesis, reference) = penalty * (p_1 p_2 p_3 p_4) ** (1/4)

with p_n = (clipped n-gram matches) / (n-grams of the hypothesis). Three facts make all pairs cheap:

- the item counted is "(n-gram, its k-th occurrence)", so clipped matches are set intersections: one
  product of matrices for each n, dense for the items that many questions have, sparse for the rest.
  Items that one question alone has match nothing and drop out, and with them all longer n-grams
  around them;
- matches are symmetric, and the penalty and the denominators depend on the two lengths alone, so
  both directions of a pair cost a table look-up and two square roots;
- an order has a match only where the one below it has, so the smoothed value of an order without a
  match does not depend on the pair.

Scores are those of the library loops: sacrebleu's sentence BLEU (`effective_order=True`,
`smooth_method="exp"`) under any of its tokenizers, or nltk's with smoothing method 1 on whitespace
tokens (`official`). Pairs closer than `NEAR` are computed once more in the libraries' own order of
operations, so that they are equal to the last bit: rounding must not decide on which side of a
threshold a pair falls.
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
"""The tokenizer name that stands for the authors' nltk BLEU."""

MAX_ORDER = 4
NEAR = 0.9
"""Below this distance, values are the libraries' to the last bit; above it, to 1e-15."""
_FREQUENT = 1 / 8
"""An item that more than this share of the questions have is cheaper in a dense product."""


def distance_matrix(questions: Sequence[str], bleu: str = "13a") -> Floats:
    """d_ij = 1 - BLEU(x_i, x_j), made symmetric, with d_ii = 0.

    BLEU is not symmetric. `paper`: the mean of both directions. `official`: hypothesis is the
    lower index, and the value is mirrored.

    Args:
        questions: B texts.
        bleu: a tokenizer of sacrebleu's ("13a", "char", "intl", "zh", "none", ...) or "nltk".

    Returns:
        (B, B) distances in [0, 1].
    """
    distances = np.zeros((len(questions), len(questions)))
    upper = np.triu_indices(len(questions), 1)
    distances[upper] = condensed_distances(questions, bleu)
    distances += distances.T
    return distances


def condensed_distances(questions: Sequence[str], bleu: str = "13a") -> Floats:
    """The upper triangle of `distance_matrix`, row by row, as scipy's `linkage` takes it.

    Memory: 8 bytes a pair, and blocks of rows that are small beside it.

    Returns:
        B (B - 1) / 2 distances: 17 MB of a batch of 2,048, 268 MB of one of 8,192.
    """
    size = len(questions)
    tokens, lengths = _numbered(questions, bleu)
    orders = _shared_items(tokens, lengths)
    distances = np.empty(size * (size - 1) // 2)
    weights, kinds = _weights(lengths, bleu)
    # Orders without a match; the n-grams of sacrebleu's k-th such order count 1 / 2^k.
    smooth = (1.0, 0.1, 0.1, 0.1) if bleu == NLTK else (1.0, 1 / 8, 1 / 4, 1 / 2)
    # sacrebleu takes the mean over the orders that the hypothesis has.
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
            # Rounding may leave 1 - BLEU a hair below 0 for identical texts.
            np.maximum(row, 0.0, out=distances[done : done + len(row)])
            done += len(row)
    return distances


def self_bleu(distances: Floats) -> tuple[float, float]:
    """How alike questions are: the mean BLEU of all pairs, each in both directions as in `paper`.

    It is the mean over the questions of each one's mean BLEU against every other. With all others
    as references of one score (Zhu et al. 2018) it would grow with their number; a mean of pairs
    (Shen et al. 2019) does not, so that samples of different sizes can be compared.

    Args:
        distances: B (B - 1) / 2 of them, B > 1, as `condensed_distances` gives them.

    Returns:
        The mean, from 0 to 1, and its standard error where the questions are a random sample: that
        of a U-statistic, from how much the questions' own means differ (Hoeffding 1948).
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
    """The distance of two questions from their matches of each order and lengths in tokens.

    Every operation in the order of the libraries, hence equal to the last bit. `one` is the length
    of the question that comes first.
    """
    matches = (m1, m2, m3, m4)
    if bleu == NLTK:
        return 1.0 - _nltk_score(matches, one, other)
    there = _sacrebleu_score(matches, one, other)
    return 1.0 - (there + _sacrebleu_score(matches, other, one)) / 200.0


def _sacrebleu_score(matches: Sequence[int], hypothesis: int, reference: int) -> float:
    """From 0 to 100: exp of the mean log precision over the orders the hypothesis has.

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
    """From 0 to 1: exp of the mean of four log precisions; no match counts 0.1 / total."""
    if not matches[0]:
        return 0.0
    logs = [0.25 * math.log((m or 0.1) / max(1, hypothesis - n)) for n, m in enumerate(matches)]
    penalty = math.exp(1 - reference / hypothesis) if hypothesis <= reference else 1.0
    return penalty * math.exp(math.fsum(logs))


def _weights(lengths: Ints, bleu: str) -> tuple[Floats, Ints]:
    """What lengths alone contribute to 1 - distance: a table by kinds of length, and the kinds."""
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
    """The tokenizer of that name: a text to its tokens, as the library loop would see them."""
    if bleu == NLTK:
        return str.split
    from sacrebleu.metrics.bleu import BLEU

    tokenize = BLEU(effective_order=True, tokenize=bleu).tokenizer
    # sacrebleu strips the right end of every segment before its tokenizer sees it.
    return lambda text: tokenize(text.rstrip()).split()


class Words(dict[str, list[int]]):
    """The token numbers of each word between spaces, once it is asked for.

    Questions share most of their words, and tokenizing is most of the work.
    """

    def __init__(self, bleu: str) -> None:
        super().__init__()
        self._tokenize = tokenizer(bleu)
        self._numbers: dict[str, int] = {}
        # These look at no character beyond a word's ends; "intl" and "zh" do.
        self._by_word = bleu in (NLTK, "13a", "char", "none")

    def __missing__(self, word: str) -> list[int]:
        numbers = self._numbers
        made = [numbers.setdefault(token, len(numbers)) for token in self._tokenize(word)]
        self[word] = made
        return made

    def of(self, text: str) -> list[int]:
        """The token numbers of a text."""
        # 13a removes these two from a line, and what was apart becomes one word.
        if self._by_word and "-\n" not in text and "<skipped>" not in text:
            return [number for word in text.split() for number in self[word]]
        made = self[text]
        del self[text]
        return made


def _numbered(texts: Iterable[str], bleu: str) -> tuple[Ints, Ints]:
    """The token numbers of all texts, one after the other, and how many each text has."""
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
    """The items of one order that two questions or more have, as 0/1 matrices."""

    frequent: NDArray[np.float32]
    """(B, frequent items)"""
    rare: Any
    """(B, other items), sparse"""
    rare_by_item: Any
    """the same, transposed"""

    @classmethod
    def of(cls, owners: Ints, items: Ints, size: int) -> _Items:
        """From whose each item is, for all of `size` questions."""
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
        """(stop - start, B - start) items that those rows share with all from `start` on."""
        counts = (self.rare[start:stop] @ self.rare_by_item).toarray()[:, start:]
        counts += self.frequent[start:stop] @ self.frequent[start:].T
        return np.asarray(counts, dtype=np.float32)


def _shared_items(tokens: Ints, lengths: Ints) -> list[_Items]:
    """The items of orders 1 to 4."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(tokens))  # where the n-grams begin
    keys = tokens
    grams = np.full(len(tokens) + 1, -1)  # the shared (n - 1)-gram that begins at each place
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
        # The first occurrence of an n-gram is shared, or none is; its item is numbered as it is.
        grams[:] = -1
        grams[places] = np.where(np.bincount(items, minlength=len(keys))[ids] > 1, ids, -1)
        orders.append(_Items.of(owners[places[shared]], items[shared], len(lengths)))
    return orders


def _number_items(keys: Ints, owners: Ints) -> tuple[Ints, Ints]:
    """The number of each n-gram and of each item, from n-grams in order and whose they are."""
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
