"""Seconds of a stage by activity."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

LOADING = "loading"
"""Whatever no other activity covers: imports, models, files."""
GENERATING = "generating"
ROLLOUTS = "rollouts"
ANSWERS = "Solver's answers"
VOTES = "votes and rewards"
"""Work on the CPU: reading, comparing and voting on answers, similarity, rewards."""
UPDATES = "updates"
SAVING = "saving"
WAITING = "waiting"
"""For the other processes of a training."""


class Stopwatch:
    """Measures the activities of one thread; one within another interrupts it."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, float](float)
        self._running = [LOADING]
        self._since = time.perf_counter()

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Count the block's time as `activity`, except for activities within it."""
        self._lap()
        self._running.append(activity)
        try:
            yield
        finally:
            self._lap()
            self._running.pop()

    def each(self, activity: str, items: Iterable[T]) -> Iterator[T]:
        """Yield items; count the time to get each as `activity`."""
        source = iter(items)
        while True:
            with self.during(activity):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each activity so far."""
        self._lap()
        return {name: round(value, 3) for name, value in self._seconds.items()}

    def _lap(self) -> None:
        now = time.perf_counter()
        self._seconds[self._running[-1]] += now - self._since
        self._since = now


def shares(seconds: Mapping[str, float]) -> str:
    """Return a line with the fraction of each activity, the largest first."""
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{name} {value / total:.0%}" for name, value in parts if value / total >= 5e-3
    )
