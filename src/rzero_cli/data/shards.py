"""Shards, which split the work of a stage over machines: `--shard I/N`.

Shard I has the records I, I + N, I + 2N and so on. Shards therefore differ in size by at most one
record, a stream of unknown length can be split, and each record is in exactly one shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from rzero_cli.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `index` of `count`, from 0."""

    index: int
    count: int

    def of(self, items: Iterable[T]) -> Iterator[T]:
        """Return the items of this shard."""
        return islice(items, self.index, None, self.count)

    def has(self, number: int) -> bool:
        """Return True if item `number` is in this shard."""
        return number % self.count == self.index

    def size(self, total: int) -> int:
        """Return the number of this shard's items out of `total`."""
        return len(range(self.index, total, self.count))


WHOLE = Shard(0, 1)


def parse_shard(text: str | None) -> Shard:
    """Parse the value of `--shard`; None is the whole. Raises UsageError."""
    if text is None:
        return WHOLE
    if not (match := re.fullmatch(r"(\d{1,9})/([1-9]\d{0,8})", text)):
        raise UsageError(f"--shard {text}: must be I/N, such as 0/8")
    index, count = map(int, match.groups())
    if index >= count:
        raise UsageError(f"--shard {text}: the {count} shards are numbered from 0 to {count - 1}")
    return Shard(index, count)
