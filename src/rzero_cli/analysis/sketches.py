"""Counts and samples in bounded memory: exact up to a stated size, then with a known error.

Each is a few lines over eight-byte digests and exact for the files of one iteration, so no sketch
library is needed. Nothing depends on Python's own hashes, which differ between processes: the same
file gives the same metrics.
"""

from __future__ import annotations

import heapq
import math
import random
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Generic, TypeVar

Item = TypeVar("Item")

EXACT = 2**18
"""The largest number of different texts that is counted exactly."""
_KEPT = EXACT // 2
_RANGE = 2**64


def same_text(text: str) -> str:
    """Return the casefolded words with one space between: equal for texts that differ only in white
    space and case."""
    text = text.casefold()
    if len(text) < _LONG:
        return " ".join(text.split())
    # A list of all words would take thirty times the memory of their letters.
    return " ".join(" ".join(some[0].split()) for some in _SOME_WORDS.finditer(text))


_LONG = 1 << 16
_SOME_WORDS = re.compile(r"\S+(?:\s+\S+){0,999}")


def digest(text: str, size: int = 8) -> int:
    """Return a digest of `size` bytes as an integer.

    With 8 bytes, the chance that any two of a million texts collide is 3e-8; with 16 it is nil.
    """
    made = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return int.from_bytes(made, "big")


def ngrams(items: tuple[Item, ...], n: int) -> Iterator[tuple[Item, ...]]:
    """Return the n-grams of `items`, in order."""
    return zip(*(items[k:] for k in range(n)), strict=False)


class Distinct:
    """A count of distinct digests, with a sample of them.

    Up to `EXACT`, all are kept. Beyond that, the smallest half is kept and then every digest below
    `limit`, the first that was dropped: a random fraction limit / 2^64 of all (Bar-Yossef et al.
    2002; as a "theta sketch", Dasgupta et al. 2016). Memory: 25 MB at most.
    """

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.limit = _RANGE
        """Every digest below it is kept."""

    def add(self, digest: int) -> None:
        if digest < self.limit:
            self.kept.add(digest)
            if len(self.kept) > EXACT:
                self._halve()

    def update(self, other: Distinct) -> None:
        """Add everything that another one has counted."""
        self.limit = min(self.limit, other.limit)
        self.kept = {digest for digest in self.kept | other.kept if digest < self.limit}
        if len(self.kept) > EXACT:
            self._halve()

    def _halve(self) -> None:
        *smallest, self.limit = sorted(self.kept)[: _KEPT + 1]
        self.kept = set(smallest)

    @property
    def count(self) -> int:
        return round(len(self.kept) * _RANGE / self.limit)

    @property
    def error(self) -> float:
        """The relative standard error of `count`: 0, or 0.3 %."""
        return 0.0 if self.limit == _RANGE else 1 / math.sqrt(_KEPT - 1)


class Frequent(Generic[Item]):
    """The most frequent items and their counts (Misra and Gries 1982, in batches).

    Exact up to twice `size` different items. With more, the (`size` + 1)-th largest count is
    subtracted from all, and items without a count left are dropped. Each subtraction affects more
    than `size` items, so no count falls short by more than 1 / `size` of all additions.
    """

    def __init__(self, size: int) -> None:
        self.counts: dict[Item, int] = {}
        self.short = 0
        """The largest possible shortfall of a count."""
        self._size = size

    def add(self, item: Item) -> None:
        self.counts[item] = self.counts.get(item, 0) + 1
        if len(self.counts) > 2 * self._size:
            cut = sorted(self.counts.values())[-self._size - 1]
            self.counts = {one: n - cut for one, n in self.counts.items() if n > cut}
            self.short += cut

    def most(self, n: int) -> list[tuple[Item, int]]:
        """Return the `n` most frequent items with their counts; of equal ones the first added."""
        return heapq.nlargest(n, self.counts.items(), key=lambda pair: pair[1])


class Sample(Generic[Item]):
    """A random sample of `size` of all added items (Vitter 1985, algorithm R)."""

    def __init__(self, size: int, seed: int) -> None:
        self.seen = 0
        self._size = size
        self._random = random.Random(seed).random
        self._items: list[tuple[int, Item]] = []

    def add(self, item: Item) -> None:
        self.seen += 1
        if self.seen <= self._size:
            self._items.append((self.seen, item))
        elif (place := int(self._random() * self.seen)) < self._size:
            self._items[place] = (self.seen, item)

    def in_order(self) -> list[Item]:
        """Return the sampled items in the order in which they were added."""
        return [item for _, item in sorted(self._items, key=lambda pair: pair[0])]
