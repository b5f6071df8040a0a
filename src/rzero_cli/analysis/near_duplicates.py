"""Near-duplicates among many questions, without comparing all pairs.

Two questions are near-duplicates if their distance 1 - BLEU is below tau_bleu, the distance of the
repetition penalty (`method.similarity`). Candidates come from an index: each question is entered
under the smallest hashes of its n-grams (a bottom-k sketch, Broder 1997), and looked for among
those entered before. The candidates that share most are compared exactly, so what is reported is
always true; what is missed is the price, see `near_duplicates`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Literal

from rzero_cli.analysis.sketches import ngrams
from rzero_cli.method.similarity import MAX_ORDER, Words, pair_distance

_SKETCH = 16  # hashes a question is entered under
_OWNERS = 24  # questions kept under one hash, the latest
_COMPARED = 8  # candidates compared exactly
_LEAST = 1 / 8  # share of the sketch that a candidate has
_GRAM = {"char": 5, "zh": 5}  # tokens of what is hashed, where a token is a letter
_WORDS = 2  # and where it is a word
_SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: neighbouring numbers are sent far apart


def near_duplicates(
    questions: Iterable[str], *, tau_bleu: float = 0.5, bleu: str = "13a"
) -> Iterator[int | None]:
    """For each question the number of an earlier one at distance below `tau_bleu`, or None.

    Time grows with the number of questions, and so does memory: about 2 kB a question. Every pair
    named is one. Of the questions that have an earlier near-duplicate, 98 % or more were found
    among real questions with edited copies, against all pairs
    (`tests/analysis/test_near_duplicates.py`); with `tau_bleu` above 0.5 it is fewer.

    Args:
        questions: read one by one.
        tau_bleu: distance at which two questions stop being near-duplicates.
        bleu: tokenizer of the distance, see `method.similarity.distance_matrix`.
    """
    index = NearIndex(tau_bleu=tau_bleu, bleu=bleu)
    for question in questions:
        yield index.look(question, enter="always")


class NearIndex:
    """Questions that near-duplicates are looked for among; about 2 kB each.

    Args:
        tau_bleu, bleu: as for `near_duplicates`.
    """

    def __init__(self, *, tau_bleu: float = 0.5, bleu: str = "13a") -> None:
        self._tau_bleu, self._bleu = tau_bleu, bleu
        self._words = Words(bleu)
        self._known: list[tuple[int, ...]] = []
        self._same: dict[tuple[int, ...], int] = {}
        self._owners: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=_OWNERS))

    def __len__(self) -> int:
        return len(self._known)

    def look(self, question: str, *, enter: Literal["always", "new"]) -> int | None:
        """The number of an entered question that this one is a near-duplicate of, or None.

        Then it is entered itself, under the next number from 0: always, or where it is new, no
        near-duplicate of one before.
        """
        number = len(self._known)
        tokens = tuple(self._words.of(question))
        found = self._same.get(tokens, number)
        if found == number:
            sketch = _sketch(tokens, _GRAM.get(self._bleu, _WORDS))
            shared = Counter(owner for item in sketch for owner in self._owners.get(item, ()))
            least = len(sketch) * _LEAST
            likely = (owner for owner, n in shared.most_common(_COMPARED) if n >= least)
            found = self._first_near(tokens, likely)
            if enter == "always" or found == number:
                self._same[tokens] = number
                for item in sketch:
                    self._owners[item].append(number)
        elif self._first_near(tokens, [found]) == number:
            found = number  # of one to three tokens, nltk's BLEU is far from itself
        if enter == "always" or found == number:
            self._known.append(tokens)
        return None if found == number else found

    def _first_near(self, tokens: tuple[int, ...], candidates: Iterable[int]) -> int:
        """The first candidate that is near; the number of the next question if none is."""
        own = _counts(tokens)
        for owner in candidates:
            there = self._known[owner]
            lengths = len(there), len(tokens)
            # An n-gram that is matched begins with an (n - 1)-gram that is, so this is the best.
            best = [min(lengths)] * MAX_ORDER
            for n, mine in enumerate(own):
                if not self._is_near(best, *lengths):
                    break
                best[n:] = [_shared(mine, there, n + 1)] * (MAX_ORDER - n)
            else:
                if self._is_near(best, *lengths):
                    return owner
        return len(self._known)

    def _is_near(self, matches: list[int], one: int, other: int) -> bool:
        return pair_distance(*matches, one, other, self._bleu) < self._tau_bleu


def _sketch(tokens: tuple[int, ...], n: int) -> list[int]:
    """The smallest hashes of the n-grams, and of the tokens where there are few."""
    items = {hash(gram) for gram in ngrams(tokens, n)}
    if len(items) < _SKETCH // 2:
        items.update(tokens)
    return heapq.nsmallest(_SKETCH, ((item * _SPREAD) & (2**64 - 1) for item in items))


def _counts(tokens: tuple[int, ...]) -> list[Counter[tuple[int, ...]]]:
    """The n-grams of orders 1 to 4, each as often as it is there."""
    return [Counter(ngrams(tokens, n)) for n in range(1, MAX_ORDER + 1)]


def _shared(counts: Counter[tuple[int, ...]], other: tuple[int, ...], n: int) -> int:
    """Clipped matches of the n-grams that were counted."""
    left: dict[tuple[int, ...], int] = {}
    matches = 0
    for gram in ngrams(other, n):
        if gram in counts and (there := left.get(gram, counts[gram])):
            left[gram] = there - 1
            matches += 1
    return matches
