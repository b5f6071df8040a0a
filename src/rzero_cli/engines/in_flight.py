"""Concurrent prompts for engines that batch continuously: vLLM and servers.

Prompts are submitted one by one, up to `window` ahead, and each result is returned when it is
finished, so that no block waits for its slowest prompt. An asyncio loop in a separate thread does
the work; it continues while the caller writes a record or waits for input.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # python 3.10 has its own
from functools import partial
from queue import Empty, Queue
from typing import Any, TypeVar

from rzero_cli.engines import Completed, Completion, K, Keep, Prompts
from rzero_cli.method.prompts import Prompt

T = TypeVar("T")
_PATIENCE = 5.0
"""Seconds that a loop gets to end its tasks when it is closed."""
_LOOK = 0.2
"""Seconds between two checks for signals."""


class EventLoop:
    """An asyncio loop in a separate thread; the owner must close it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` and return a future of its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` and return its result. Signals are handled while waiting, on every system."""
        future = self.submit(work)
        while True:
            try:
                return future.result(timeout=_LOOK)
            except FutureTimeoutError:
                if future.done():  # `work` itself raised it
                    raise

    def close(self, *last: Coroutine[Any, Any, None]) -> None:
        """Cancel the running tasks, run `last`, and end the thread.

        If a library blocks the loop, as vLLM does while it starts, the loop is left to end with
        the process.
        """

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, *last, return_exceptions=True)

        try:
            self.submit(end()).result(timeout=_PATIENCE)
        except FutureTimeoutError:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def as_they_finish(
    prompts: Prompts[K],
    start: Callable[[int, Prompt], Future[list[Completion]]],
    *,
    window: int,
    times: int = 1,
    done: Collection[int] = (),
    keep: Keep | None = None,
) -> Completed[K]:
    """Complete prompts and yield each result when it is finished; see `Engine.complete`.

    Args:
        prompts: read as results are yielded, at most `window` ahead of the first missing result.
        start: starts the completion of a prompt, given its index and the prompt.
        window: limit of prompts started, counted from the first without a result.
        times: how often each completion is repeated in the result.
        done, keep: as for `Engine.complete`.
    """
    ready: Queue[tuple[int, Any, Future[list[Completion]] | None]] = Queue()
    room, over = threading.Semaphore(window), threading.Event()
    started: dict[int, Future[list[Completion]]] = {}
    idle, changing = False, threading.Lock()  # idle: the caller is waiting for the next result

    def finish(place: int, number: int, item: K, future: Future[list[Completion]]) -> None:
        nonlocal idle
        with changing:
            taken, idle = idle, False
        if keep and not taken and not future.cancelled() and future.exception() is None:
            keep(number, future.result() * times)
        ready.put((place, item, future))

    def read() -> None:
        """Start prompts as they arrive, in a thread: a slow source such as a pipe must not delay
        finished results."""
        count, error = 0, None
        try:
            for number, (item, prompt) in enumerate(prompts):
                if number in done:
                    continue
                room.acquire()
                if over.is_set():
                    return
                started[count] = future = start(number, prompt)
                future.add_done_callback(partial(finish, count, number, item))
                count += 1
        except BaseException as raised:
            error = raised
        ready.put((count, error, None))

    threading.Thread(target=read, daemon=True).start()
    error: BaseException | None = None
    total, count, first, early = None, 0, 0, set[int]()
    try:
        while count != total:
            with changing:
                idle = ready.empty()
            place, item, future = _next(ready)
            with changing:
                idle = False
            if future is None:  # the end of `prompts`
                total, error = place, item
                continue
            yield item, future.result() * times
            del started[place]
            count += 1
            early.add(place)
            while first in early:
                early.remove(first)
                first += 1
                room.release()
        if error:
            raise error
    finally:
        over.set()
        room.release()
        for future in list(started.values()):
            future.cancel()


def in_background(items: Iterable[T]) -> Iterator[T]:
    """Read `items` in a thread from now on, and yield them as they come.

    Raises:
        BaseException: whatever reading `items` raises.
    """
    ready: Queue[tuple[T] | BaseException | None] = Queue()

    def read() -> None:
        try:
            for item in items:
                ready.put((item,))
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    threading.Thread(target=read, daemon=True).start()

    def results() -> Iterator[T]:
        while (one := _next(ready)) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one[0]

    return results()


def _next(queue: Queue[T]) -> T:
    """Return the next item. Signals are handled while waiting."""
    while True:
        try:
            return queue.get(timeout=_LOOK)
        except Empty:
            continue
