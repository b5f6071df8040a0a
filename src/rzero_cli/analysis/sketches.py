"""Counts and samples in bounded memory: exact up to a stated size, beyond it with a known error.

They are a few lines each over digests of eight bytes, and exact for what an iteration of the loop
writes, so no library of sketches is loaded for them. Nothing depends on Python's own hashes, which
differ from process to process: the same file gives the same figures.
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
"""So many different texts are counted exactly."""
_KEPT = EXACT // 2
_RANGE = 2**64


def same_text(text: str) -> str:
    """What two texts share that differ in white space and case alone: the words in one case, with
    a space between."""
    text = text.casefold()
    if len(text) < _LONG:
        return " ".join(text.split())
    # Its words, all in one list, would take thirty times as much memory as their letters.
    return " ".join(" ".join(some[0].split()) for some in _SOME_WORDS.finditer(text))


_LONG = 1 << 16
_SOME_WORDS = re.compile(r"\S+(?:\s+\S+){0,999}")


def digest(text: str, size: int = 8) -> int:
    """So many bytes for a text. Of 8, among a million two share theirs with a chance of 3e-8; of
    16, no two do that anybody has met."""
    made = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return int.from_bytes(made, "big")


def ngrams(items: tuple[Item, ...], n: int) -> Iterator[tuple[Item, ...]]:
    """Every n items in a row."""
    return zip(*(items[k:] for k in range(n)), strict=False)


class Distinct:
    """How many different digests there are, and which of them.

    Up to `EXACT` all are kept. Beyond, the smallest half is, and from then on whatever is below
    `limit`, the first that was dropped: a random share limit / 2^64 of all there are (Bar-Yossef et
    al. 2002; as a "theta sketch", Dasgupta et al. 2016). Memory: 25 MB at most.
    """

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.limit = _RANGE
        """Of the digests below it every one is kept."""

    def add(self, digest: int) -> None:
        if digest < self.limit:
            self.kept.add(digest)
            if len(self.kept) > EXACT:
                self._halve()

    def update(self, other: Distinct) -> None:
        """Add all that another one has counted."""
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
        """The standard error of `count` as a share of it: 0, or 0.3 %."""
        return 0.0 if self.limit == _RANGE else 1 / math.sqrt(_KEPT - 1)


class Frequent(Generic[Item]):
    """The most frequent items and how often they were added (Misra and Gries 1982, in batches).

    Exact up to twice `size` different ones. When there are more, the count of the largest that has
    no room is taken off all, and what has nothing left is dropped. That takes it off more than
    `size` items at once, so no count falls short by more than 1 / `size` of all that was added.
    """

    def __init__(self, size: int) -> None:
        self.counts: dict[Item, int] = {}
        self.short = 0
        """The most by which a count may fall short."""
        self._size = size

    def add(self, item: Item) -> None:
        self.counts[item] = self.counts.get(item, 0) + 1
        if len(self.counts) > 2 * self._size:
            cut = sorted(self.counts.values())[-self._size - 1]
            self.counts = {one: n - cut for one, n in self.counts.items() if n > cut}
            self.short += cut

    def most(self, n: int) -> list[tuple[Item, int]]:
        """The `n` most frequent, of those alike the ones that came first."""
        return heapq.nlargest(n, self.counts.items(), key=lambda pair: pair[1])


class Sample(Generic[Item]):
    """A random sample of `size` of all items that were added (Vitter 1985, algorithm R)."""

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
        """The sampled items, in the order in which they were added."""
        return [item for _, item in sorted(self._items, key=lambda pair: pair[0])]
