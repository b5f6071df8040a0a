"""One part of the work of a stage, for many machines: `--shard I/N`.

Part I has the records I, I + N, I + 2N and so on, so the parts are of one size (to a record), a
stream can be divided whose end is not known, and together they are the whole, each record once.
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
    """Part `index` of `count`, from 0."""

    index: int
    count: int

    def of(self, items: Iterable[T]) -> Iterator[T]:
        """This part of `items`."""
        return islice(items, self.index, None, self.count)

    def has(self, number: int) -> bool:
        """Whether item `number` is in this part."""
        return number % self.count == self.index

    def size(self, total: int) -> int:
        """How many of `total` items are in this part."""
        return len(range(self.index, total, self.count))


WHOLE = Shard(0, 1)


def parse_shard(text: str | None) -> Shard:
    """What --shard says; the whole where it says nothing. Raises UsageError."""
    if text is None:
        return WHOLE
    if not (match := re.fullmatch(r"(\d{1,9})/([1-9]\d{0,8})", text)):
        raise UsageError(f"--shard {text}: must be I/N, such as 0/8")
    index, count = map(int, match.groups())
    if index >= count:
        raise UsageError(f"--shard {text}: the {count} parts are numbered from 0 to {count - 1}")
    return Shard(index, count)
