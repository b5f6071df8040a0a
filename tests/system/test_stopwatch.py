"""The time of a stage by activity."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rzero_cli.system import stopwatch
from rzero_cli.system.stopwatch import LOADING, Stopwatch, shares


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still: the test sets its first item."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_inner_activity_interrupts_the_outer(clock: list[float]) -> None:
    watch = Stopwatch()
    clock[0] = 1.0
    with watch.during("updates"):
        clock[0] = 3.0
        with pytest.raises(ValueError), watch.during("rollouts"):
            clock[0] = 7.0
            raise ValueError
        clock[0] = 8.0
    clock[0] = 12.0
    assert watch.seconds == {LOADING: 5.0, "updates": 3.0, "rollouts": 4.0}
    assert shares(watch.seconds) == "loading 42%, rollouts 33%, updates 25%"


def test_time_between_items_is_not_counted(clock: list[float]) -> None:
    def slow() -> Iterator[int]:
        for i in range(3):
            clock[0] += 2.0
            yield i
        clock[0] += 1.0

    watch = Stopwatch()
    for _ in watch.each("generating", slow()):
        clock[0] += 5.0
    assert watch.seconds == {LOADING: 15.0, "generating": 7.0}
    assert shares({}) == ""


def test_clock_counts_cpu_time_if_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_CLOCK", "cpu")
    before, watch = stopwatch.clock(children=True), Stopwatch()
    with watch.during("updates"):
        time.sleep(0.3)
    assert watch.seconds["updates"] < 0.3
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert stopwatch.clock(children=True) > before
