"""The process pool: ordered, streaming, bounded, with no process left or result lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rzero_cli.errors import RzeroError
from rzero_cli.system.pool import in_order


@contextmanager
def squares() -> Iterator[Callable[[int], int]]:
    yield lambda number: number * number


def _pairs(numbers: range) -> Iterator[tuple[str, int]]:
    return ((str(number), number) for number in numbers)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pool_results_keep_their_order(workers: int) -> None:
    results = list(in_order(squares, _pairs(range(3000)), workers=workers))
    assert results == [(str(number), number * number) for number in range(3000)]
    assert list(in_order(squares, iter([]), workers=workers)) == []
    assert multiprocessing.active_children() == []


def test_pool_returns_each_result_before_the_next_input() -> None:
    """The records of a slow pipe are processed one by one."""
    ready, seen = threading.Semaphore(1), []

    def slow() -> Iterator[tuple[int, int]]:
        for number in range(5):
            assert ready.acquire(timeout=30)
            yield number, number

    for number, square in in_order(squares, slow(), workers=2):
        seen.append((number, square))
        ready.release()
    assert seen == [(number, number * number) for number in range(5)]


def test_pool_lookahead_is_bounded() -> None:
    read = 0

    def endless() -> Iterator[tuple[int, int]]:
        nonlocal read
        while True:
            read += 1
            yield read, read

    results = in_order(squares, endless(), workers=2)
    next(results)
    time.sleep(0.3)
    assert read < 5000
    results.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_pool_input_error_comes_after_earlier_results(workers: int) -> None:
    def bad() -> Iterator[tuple[str, int]]:
        yield from _pairs(range(100))
        raise ValueError("line 101")

    results = in_order(squares, bad(), workers=workers)
    assert [next(results)[1] for _ in range(100)] == [number * number for number in range(100)]
    with pytest.raises(ValueError, match="line 101"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2])
def test_pool_work_error_is_raised_in_the_caller(workers: int) -> None:
    @contextmanager
    def inverses() -> Iterator[Callable[[int], float]]:
        yield lambda number: 1 / number

    with pytest.raises(ZeroDivisionError):
        list(in_order(inverses, _pairs(range(3)), workers=workers))
    assert multiprocessing.active_children() == []


def test_killed_pool_worker_is_replaced_and_nothing_lost(tmp_path: Path) -> None:
    mark = tmp_path / "killed"

    @contextmanager
    def fragile() -> Iterator[Callable[[int], int]]:
        def work(number: int) -> int:
            if number == 777 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        yield work

    results = list(in_order(fragile, _pairs(range(2000)), workers=2))
    assert mark.exists()
    assert [number for _, number in results] == list(range(2000))


def test_pool_worker_killed_while_it_answers_is_replaced(tmp_path: Path) -> None:
    """The rest of a result that it has partly sent is not waited for."""
    mark, long = tmp_path / "killed", 30 << 20

    @contextmanager
    def fragile() -> Iterator[Callable[[int], bytes]]:
        def work(number: int) -> bytes:
            if number != 100 or mark.exists():
                return b""
            mark.touch()
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return bytes(long)

        yield work

    results = [len(result) for _, result in in_order(fragile, _pairs(range(300)), workers=2)]
    assert mark.exists()
    assert results in ([0] * 300, [0] * 100 + [long] + [0] * 199)  # the worker may be faster once
    assert multiprocessing.active_children() == []


def test_record_that_kills_every_worker_ends_the_run() -> None:
    @contextmanager
    def deadly() -> Iterator[Callable[[int], int]]:
        yield lambda number: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[return-value]

    with pytest.raises(RzeroError, match="3 worker processes in a row died on the same"):
        list(in_order(deadly, _pairs(range(1)), workers=2))
    assert multiprocessing.active_children() == []


def test_each_pool_worker_closes_its_context(tmp_path: Path) -> None:
    def all_open(number: int) -> int:
        deadline = time.monotonic() + 60
        while (
            len(list(tmp_path.glob("opened-*"))) < 3
        ):  # a process that did not open it closes nothing
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return number

    @contextmanager
    def opened() -> Iterator[Callable[[int], int]]:
        (tmp_path / f"opened-{os.getpid()}").touch()
        try:
            yield all_open
        finally:
            (tmp_path / f"closed-{os.getpid()}").touch()

    list(in_order(opened, _pairs(range(10)), workers=3))
    assert len(list(tmp_path.glob("closed-*"))) == 3
