"""A function over a stream of inputs on all cores: results in order, as soon as they are there.

Each core has a process of its own and a thread that feeds it. A thread takes whatever inputs are
waiting, up to a chunk: a slow pipe is answered record by record, a fast one in blocks. A process
that dies, killed by hand or for want of memory, is replaced and its chunk done again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, suppress
from multiprocessing.connection import Connection
from queue import Empty, Queue
from typing import Any, TypeVar

from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import available_cores, end_with_parent

__all__ = ["default_workers", "in_order"]

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
OpenWork = Callable[[], AbstractContextManager[Callable[[A], R]]]

_CHUNK = 64  # inputs sent at a time
_AHEAD = 4  # chunks a process may be ahead of the reader of the results
_END_SECONDS = 5.0
_TRIES = 3  # a chunk that kills so many processes ends the run
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOST_WORKERS = 16  # one reader of JSON cannot feed more


def default_workers() -> int:
    """As many as there are cores for us, up to what one reader can feed."""
    return min(available_cores(), _MOST_WORKERS)


def in_order(
    open_work: OpenWork[A, R], inputs: Iterable[tuple[T, A]], *, workers: int
) -> Iterator[tuple[T, R]]:
    """Yield (item, result) for each (item, argument) of `inputs`, in order.

    `inputs` is read lazily, with a bounded look-ahead, and in a thread; if reading raises, so does
    this, after the results of what was read before.

    Args:
        open_work: opens the function in each process. Arguments and results are pickled.
        workers: processes; 1 calls the function right here.

    Raises:
        RzeroError: the same inputs ended several processes.
    """
    if workers == 1:
        with open_work() as work:
            for item, argument in inputs:
                yield item, work(argument)
        return
    with closing(_Pool(open_work, workers)) as pool:
        yield from pool.run(inputs)


class _Pool:
    def __init__(self, open_work: Callable[[], Any], workers: int) -> None:
        self._waiting: Queue[tuple[Any, Any] | None] = Queue(workers * _AHEAD * _CHUNK)
        self._taken: Queue[tuple[list[Any], Future[list[Any]]] | None] = Queue(workers * _AHEAD)
        self._taking = threading.Lock()
        self._error: BaseException | None = None
        self._closed = False
        # Forked before there is any thread.
        self._workers = [_Worker(open_work) for _ in range(workers)]

    def run(self, inputs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        threading.Thread(target=self._read, args=(inputs,), daemon=True).start()
        for worker in self._workers:
            threading.Thread(target=self._feed, args=(worker,), daemon=True).start()
        while taken := self._taken.get():
            items, future = taken
            yield from zip(items, future.result(), strict=True)
        if self._error:
            raise self._error

    def close(self) -> None:
        self._closed = True
        for worker in self._workers:
            worker.stop()

    def _read(self, inputs: Iterable[tuple[Any, Any]]) -> None:
        try:
            for pair in inputs:
                self._waiting.put(pair)
        except BaseException as error:
            self._error = error
        self._waiting.put(None)

    def _feed(self, worker: _Worker) -> None:
        while not self._closed:
            with self._taking:  # so that chunks are numbered as they are taken
                if not (chunk := self._take()):
                    self._taken.put(None)
                    return
                items, arguments = zip(*chunk, strict=True)
                future: Future[list[Any]] = Future()
                self._taken.put((list(items), future))
            try:
                future.set_result(worker.call(arguments))
            except Exception as error:
                future.set_exception(error)

    def _take(self) -> list[tuple[Any, Any]]:
        """Wait for an input and take those behind it that are there; none at the end."""
        chunk: list[tuple[Any, Any]] = []
        with suppress(Empty):
            while len(chunk) < _CHUNK:
                if (pair := self._waiting.get(block=not chunk)) is None:
                    self._waiting.put(None)  # for the other threads
                    break
                chunk.append(pair)
        return chunk


class _Worker:
    """One process that applies the function to chunks."""

    def __init__(self, open_work: Callable[[], Any]) -> None:
        self._open_work = open_work
        self._changing = threading.Lock()
        self._stopped = False
        self._start()

    def call(self, arguments: Sequence[Any]) -> list[Any]:
        for _ in range(_TRIES):
            try:
                self._connection.send(arguments)
                outcome = self._connection.recv()
            except (OSError, EOFError):
                self._replace()
                continue
            if isinstance(outcome, Exception):
                raise outcome
            return list(outcome)
        raise RzeroError(f"the same {len(arguments)} records ended {_TRIES} worker processes")

    def stop(self) -> None:
        with self._changing:
            self._stopped = True
            self._end()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")  # nothing is imported or pickled again
        self._connection, theirs = context.Pipe()
        # As a daemon it is ended with the interpreter, also when we are interrupted right here.
        self._process = context.Process(
            target=_serve, args=(theirs, self._open_work, os.getpid()), daemon=True
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # till it has its own handlers
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def _replace(self) -> None:
        with self._changing:
            if self._stopped:
                raise RzeroError("the run has ended")
            self._end()
            self._connection.close()
            self._start()

    def _end(self) -> None:
        self._process.terminate()  # it ends its own children on the way out
        self._process.join(_END_SECONDS)
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, open_work: Callable[[], Any], parent: int) -> None:
    """What a process does: until it is told to end, or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends us
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if not end_with_parent(signal.SIGTERM, parent):
        return
    with open_work() as work, suppress(EOFError):
        while True:
            arguments = connection.recv()
            try:
                outcome: Any = [work(argument) for argument in arguments]
            except Exception as error:
                outcome = error
            connection.send(outcome)


def _end(number: int, frame: object) -> None:
    raise SystemExit
