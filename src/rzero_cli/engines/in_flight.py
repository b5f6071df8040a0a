"""Many prompts in flight at once: what vLLM and servers have in common.

Both take a prompt whenever one comes and finish it whenever they can. So prompts are handed over
one by one, as far ahead as `window` allows, and each result comes out when it is finished: nothing
waits for the slowest of a block. The work itself is asynchronous and done by a loop in a thread of
its own; it goes on while the caller writes a record or waits for its input.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # python 3.10 has its own
from functools import partial
from queue import Empty, Queue
from typing import Any, TypeVar

from rzero_cli.engines import Asked, Completed, Completion, K, Keep
from rzero_cli.method.prompts import Prompt

T = TypeVar("T")
_PATIENCE = 5.0
"""Seconds in which a loop that is closed has ended what it was doing."""
_LOOK = 0.2
"""Seconds between two looks at whether somebody wants us to stop."""


class EventLoop:
    """An asyncio loop in a thread of its own, to be closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work`; its result or error comes from the future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` and wait for it. A signal is heard while waiting, on every system."""
        future = self.submit(work)
        while True:
            try:
                return future.result(timeout=_LOOK)
            except FutureTimeoutError:
                if future.done():  # the error is the work's own
                    raise

    def close(self, *last: Coroutine[Any, Any, None]) -> None:
        """Cancel what is running, do `last`, and end the thread.

        A loop that a library keeps busy, as vLLM does while it starts, is left to end with us.
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
    asked: Asked[K],
    begin: Callable[[int, Prompt], Future[list[Completion]]],
    *,
    window: int,
    times: int = 1,
    done: Collection[int] = (),
    keep: Keep | None = None,
) -> Completed[K]:
    """Complete prompts and yield each result when it is finished; see `Engine.complete`.

    Args:
        asked: read as results come out, at most `window` ahead of the first that is missing.
        begin: begins to complete a prompt, given its number.
        window: prompts begun from the first without a result on.
        times: how often each completion counts.
        done, keep: as for `Engine.complete`.
    """
    ready: Queue[tuple[int, Any, Future[list[Completion]] | None]] = Queue()
    room, over = threading.Semaphore(window), threading.Event()
    begun: dict[int, Future[list[Completion]]] = {}
    idle, changing = False, threading.Lock()  # idle: the caller takes the next result at once

    def finish(place: int, number: int, item: K, future: Future[list[Completion]]) -> None:
        nonlocal idle
        with changing:
            taken, idle = idle, False
        if keep and not taken and not future.cancelled() and future.exception() is None:
            keep(number, future.result() * times)
        ready.put((place, item, future))

    def read() -> None:
        """Begin prompts as they come, in a thread: a source that lets one wait, such as a pipe,
        must not keep back what is finished."""
        count, error = 0, None
        try:
            for number, (item, prompt) in enumerate(asked):
                if number in done:
                    continue
                room.acquire()
                if over.is_set():
                    return
                begun[count] = future = begin(number, prompt)
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
            if future is None:  # the end of `asked`
                total, error = place, item
                continue
            yield item, future.result() * times
            del begun[place]
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
        for future in list(begun.values()):
            future.cancel()


def _next(queue: Queue[T]) -> T:
    """The next item. A signal is heard while waiting."""
    while True:
        try:
            return queue.get(timeout=_LOOK)
        except Empty:
            continue
