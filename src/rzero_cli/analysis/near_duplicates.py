"""Near-duplicates among many questions, without comparing all pairs.

Two questions are near-duplicates if their distance 1 - BLEU is below tau_bleu, as in the repetition
penalty (`method.similarity`). An index holds each question under the smallest hashes of its n-grams
(a bottom-k sketch, Broder 1997). The earlier questions that share most hashes are compared exactly,
so every reported pair is real; `near_duplicates` states how many are missed.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Literal

from rzero_cli.analysis.sketches import ngrams
from rzero_cli.method.similarity import MAX_ORDER, Words, pair_distance

_SKETCH = 16  # hashes of a question in the index
_OWNERS = 24  # questions kept under one hash, the latest
_COMPARED = 8  # candidates compared exactly
_LEAST = 1 / 8  # fraction of the sketch that a candidate must share
_GRAM = {"char": 5, "zh": 5}  # tokens in a hashed n-gram if a token is a character
_WORDS = 2  # and if it is a word
_SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio spreads neighbouring numbers


def near_duplicates(
    questions: Iterable[str], *, tau_bleu: float = 0.5, bleu: str = "13a"
) -> Iterator[int | None]:
    """Yield for each question the number of an earlier one at distance below `tau_bleu`, or None.

    Time and memory are linear in the number of questions: about 2 kB each. Every reported pair is
    real. Compared with all pairs, on real questions with edited copies, at least 98 % of the
    questions with an earlier near-duplicate were found (`tests/analysis/test_near_duplicates.py`);
    with `tau_bleu` above 0.5 fewer are.

    Args:
        questions: read one by one.
        tau_bleu: distance at which two questions stop being near-duplicates.
        bleu: tokenizer of the distance, see `method.similarity.distance_matrix`.
    """
    index = NearIndex(tau_bleu=tau_bleu, bleu=bleu)
    for question in questions:
        yield index.look(question, enter="always")


class NearIndex:
    """An index of questions to find near-duplicates in; about 2 kB per question.

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
        """Return the number of an entered question that is a near-duplicate of this one, or None.

        Then enter this one under the next number, from 0: always, or only if it is new, that is,
        not a near-duplicate of an entered one.
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
            found = number  # nltk's BLEU of one to three tokens with themselves is low
        if enter == "always" or found == number:
            self._known.append(tokens)
        return None if found == number else found

    def _first_near(self, tokens: tuple[int, ...], candidates: Iterable[int]) -> int:
        """Return the first near-duplicate's index, or the index this question would get if none is
        near."""
        own = _counts(tokens)
        for owner in candidates:
            there = self._known[owner]
            lengths = len(there), len(tokens)
            # A matched n-gram starts with a matched (n - 1)-gram, so this is an upper bound.
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
    """Return the smallest hashes of the n-grams, and of the tokens if there are few n-grams."""
    items = {hash(gram) for gram in ngrams(tokens, n)}
    if len(items) < _SKETCH // 2:
        items.update(tokens)
    return heapq.nsmallest(_SKETCH, ((item * _SPREAD) & (2**64 - 1) for item in items))


def _counts(tokens: tuple[int, ...]) -> list[Counter[tuple[int, ...]]]:
    """Return the counts of the n-grams of orders 1 to 4."""
    return [Counter(ngrams(tokens, n)) for n in range(1, MAX_ORDER + 1)]


def _shared(counts: Counter[tuple[int, ...]], other: tuple[int, ...], n: int) -> int:
    """Return the clipped matches of the counted n-grams."""
    left: dict[tuple[int, ...], int] = {}
    matches = 0
    for gram in ngrams(other, n):
        if gram in counts and (there := left.get(gram, counts[gram])):
            left[gram] = there - 1
            matches += 1
    return matches
