"""Many prompts in flight at once, their results in order: what vLLM and servers have in common.

Both take a prompt whenever one comes and finish it whenever they can. So prompts are handed over
one by one, as far ahead as `window` allows, and the results wait for their turn: nothing waits for
the slowest of a block. The work itself is asynchronous and done by a loop in a thread of its own;
it goes on while the caller writes a record or waits for its input.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # python 3.10 has its own
from itertools import islice
from queue import Empty, Queue
from typing import Any, TypeVar

from rzero_cli.engines import Completion
from rzero_cli.engines.ahead import Ahead
from rzero_cli.method.prompts import Prompt

__all__ = ["EventLoop", "in_order"]

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
        """Do `work` and wait for it."""
        return wait(self.submit(work))

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


def wait(future: Future[T]) -> T:
    """The result of `future`. A signal is heard while waiting, on every system."""
    while True:
        try:
            return future.result(timeout=_LOOK)
        except FutureTimeoutError:
            if future.done():  # the error is the work's own
                raise


def in_order(
    prompts: Iterable[Prompt],
    begin: Callable[[int, Prompt], Future[list[Completion]]],
    *,
    window: int,
    start: int = 0,
    ahead: Ahead | None = None,
) -> Iterator[list[Completion]]:
    """Complete prompts and yield their results in the order of the prompts.

    Args:
        prompts: read as results come out, at most `window` ahead of them.
        begin: begins to complete a prompt, given its number.
        window: prompts begun whose results have not come out.
        start: prompts to leave out at the beginning.
        ahead: has what an interrupted run had finished, and gets what is finished before its turn.
    """
    turn = start
    begun: Queue[Future[list[Completion]] | BaseException | None] = Queue()
    room, over = threading.Semaphore(window), threading.Event()

    def work(number: int, prompt: Prompt) -> Future[list[Completion]]:
        if ahead is None:
            return begin(number, prompt)
        if kept := ahead.take(number, prompt):
            there: Future[list[Completion]] = Future()
            there.set_result(kept)
            return there
        future = begin(number, prompt)
        future.add_done_callback(lambda done: keep(number, prompt, done))
        return future

    def keep(number: int, prompt: Prompt, done: Future[list[Completion]]) -> None:
        if ahead and number > turn and not done.cancelled() and done.exception() is None:
            ahead.keep(number, prompt, done.result())

    def read() -> None:
        """Begin prompts as they come, in a thread: a source that lets one wait, such as a pipe,
        must not keep back what is finished."""
        try:
            for number, prompt in enumerate(islice(prompts, start, None), start):
                room.acquire()
                if over.is_set():
                    return
                begun.put(work(number, prompt))
            begun.put(None)
        except BaseException as error:
            begun.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (item := _next(begun)) is not None:
            if isinstance(item, BaseException):
                raise item
            result = wait(item)
            room.release()
            yield result
            turn += 1
    finally:
        over.set()
        room.release()
        while not begun.empty():
            if isinstance(item := begun.get(), Future):
                item.cancel()


def _next(queue: Queue[T]) -> T:
    """The next item. A signal is heard while waiting."""
    while True:
        try:
            return queue.get(timeout=_LOOK)
        except Empty:
            continue
