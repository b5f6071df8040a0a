"""Near-duplicates among many questions, without comparing all pairs.

Two questions are near-duplicates if their distance 1 - BLEU is below tau_bleu, the distance of the
repetition penalty (`core.bleu`). Candidates come from an index: each question is entered under the
smallest hashes of its n-grams (a bottom-k sketch, Broder 1997), and looked for among those entered
before. The candidates that share most are compared exactly, so what is reported is always true;
what is missed is the price, see `near_duplicates`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from rzero_cli.core.bleu import MAX_ORDER, Words, pair_distance

__all__ = ["near_duplicates"]

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
    among real questions with edited copies, against all pairs (`tests/test_near.py`); with
    `tau_bleu` above 0.5 it is fewer.

    Args:
        questions: read one by one.
        tau_bleu: distance at which two questions stop being near-duplicates.
        bleu: tokenizer of the distance, see `core.bleu.distance_matrix`.
    """
    words = Words(bleu)
    known: list[tuple[int, ...]] = []
    same: dict[tuple[int, ...], int] = {}
    owners: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=_OWNERS))
    for number, question in enumerate(questions):
        tokens = tuple(words.of(question))
        found = same.setdefault(tokens, number)
        if found == number:
            sketch = _sketch(tokens, _GRAM.get(bleu, _WORDS))
            shared = Counter(owner for item in sketch for owner in owners[item])
            least = len(sketch) * _LEAST
            likely = (owner for owner, n in shared.most_common(_COMPARED) if n >= least)
            found = _first_near(tokens, known, likely, tau_bleu, bleu)
            for item in sketch:
                owners[item].append(number)
        elif _first_near(tokens, known, iter([found]), tau_bleu, bleu) == number:
            found = number  # of one to three tokens, nltk's BLEU is far from itself
        known.append(tokens)
        yield None if found == number else found


def _first_near(
    tokens: tuple[int, ...],
    known: Sequence[tuple[int, ...]],
    candidates: Iterator[int],
    tau_bleu: float,
    bleu: str,
) -> int:
    """The first candidate that is near; the question's own number if none is."""
    own = _counts(tokens)
    for owner in candidates:
        there = known[owner]
        lengths = len(there), len(tokens)
        # An n-gram that is matched begins with an (n - 1)-gram that is, so this is the best.
        best = [min(lengths)] * MAX_ORDER
        for n, mine in enumerate(own):
            if pair_distance(*best, *lengths, bleu) >= tau_bleu:
                break
            best[n:] = [_shared(mine, there, n + 1)] * (MAX_ORDER - n)
        else:
            if pair_distance(*best, *lengths, bleu) < tau_bleu:
                return owner
    return len(known)


def _sketch(tokens: tuple[int, ...], n: int) -> list[int]:
    """The smallest hashes of the n-grams, and of the tokens where there are few."""
    items = {hash(gram) for gram in _grams(tokens, n)}
    if len(items) < _SKETCH // 2:
        items.update(tokens)
    return heapq.nsmallest(_SKETCH, ((item * _SPREAD) & (2**64 - 1) for item in items))


def _grams(tokens: tuple[int, ...], n: int) -> Iterator[tuple[int, ...]]:
    return zip(*(tokens[k:] for k in range(n)), strict=False)


def _counts(tokens: tuple[int, ...]) -> list[Counter[tuple[int, ...]]]:
    """The n-grams of orders 1 to 4, each as often as it is there."""
    return [Counter(_grams(tokens, n)) for n in range(1, MAX_ORDER + 1)]


def _shared(counts: Counter[tuple[int, ...]], other: tuple[int, ...], n: int) -> int:
    """Clipped matches of the n-grams that were counted."""
    left: dict[tuple[int, ...], int] = {}
    matches = 0
    for gram in _grams(other, n):
        if gram in counts and (there := left.get(gram, counts[gram])):
            left[gram] = there - 1
            matches += 1
    return matches
