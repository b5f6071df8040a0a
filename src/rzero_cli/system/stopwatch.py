"""Seconds of a stage by activity."""

from __future__ import annotations

import os
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


def clock(*, children: bool = False) -> float:
    """Return the seconds of a clock: wall-clock time, or CPU time with RZERO_CLOCK=cpu.

    CPU time depends little on what else the machine does, so tests compare it.

    Args:
        children: the CPU time of the child processes that have ended, not of this process.
    """
    if os.environ.get("RZERO_CLOCK") != "cpu":
        return time.perf_counter()
    if not children:
        return time.process_time()
    times = os.times()
    return times.children_user + times.children_system


class Stopwatch:
    """Measures the activities of one thread; one within another interrupts it."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, float](float)
        self._running = [LOADING]
        self._since = clock()

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
        now = clock()
        self._seconds[self._running[-1]] += now - self._since
        self._since = now


def shares(seconds: Mapping[str, float]) -> str:
    """Return a line with the fraction of each activity, the largest first."""
    total = sum(seconds.values()) or 1.0
    parts = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{name} {value / total:.0%}" for name, value in parts if value / total >= 5e-3
    )
