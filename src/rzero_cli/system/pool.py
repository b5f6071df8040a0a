"""Apply a function to a stream of inputs on all cores, with results in order.

Each core has one process and one thread that feeds it. A thread takes the inputs that are waiting,
up to a chunk, so a slow pipe is processed record by record and a fast one in blocks. A process that
dies, by a signal or for lack of memory, is replaced and its chunk repeated.

`ProcessPoolExecutor` does not do this. Its processes share one result pipe: if one is killed while
it writes, the pool waits for ever (in a quarter of 50 tries with results of 60 to 200 kB). Before
Python 3.14 it also cannot stop work at a Ctrl-C. Here each process has its own pipe, whose end is
noticed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from multiprocessing.connection import Connection
from queue import Empty, Queue
from typing import Any, TypeVar

from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import available_cores, end_with_parent

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
OpenWork = Callable[[], AbstractContextManager[Callable[[A], R]]]

_CHUNK = 64  # inputs sent at a time
_AHEAD = 4  # chunks per process that may be ahead of the consumer
_END_SECONDS = 5.0
_TRIES = 3  # processes that one chunk may kill before the run fails
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOST_WORKERS = 16  # one JSON reader cannot feed more


def in_order(
    open_work: OpenWork[A, R], inputs: Iterable[tuple[T, A]], *, workers: int | None
) -> Iterator[tuple[T, R]]:
    """Yield (item, result) for each (item, argument) of `inputs`, in order.

    `inputs` is read lazily in a thread, with bounded look-ahead. If reading raises, the error is
    raised here after the results of the inputs before it.

    Args:
        open_work: returns a context manager with the function, entered once in each process.
            Arguments and results are pickled.
        inputs: (item, argument) pairs.
        workers: number of processes; 1 calls the function in this process, None uses the available
            cores, at most 16.

    Raises:
        RzeroError: the same inputs ended several processes.
    """
    workers = workers or min(available_cores(), _MOST_WORKERS)
    if workers == 1:
        with open_work() as work:
            for item, argument in inputs:
                yield item, work(argument)
        return
    waiting: Queue[tuple[T, A] | None] = Queue(workers * _AHEAD * _CHUNK)
    taken: Queue[tuple[tuple[T, ...], Future[list[R]]] | None] = Queue(workers * _AHEAD)
    taking, failed = threading.Lock(), list[BaseException]()

    def read() -> None:
        try:
            for pair in inputs:
                waiting.put(pair)
        except BaseException as error:
            failed.append(error)
        waiting.put(None)

    def feed(worker: _Worker) -> None:
        while not worker.closed:
            with taking:  # so that chunks are queued in the order in which they are taken
                if not (chunk := _take(waiting)):
                    taken.put(None)
                    return
                items, arguments = zip(*chunk, strict=True)
                future: Future[list[R]] = Future()
                taken.put((items, future))
            try:
                future.set_result(worker.call(arguments))
            except Exception as error:
                future.set_exception(error)

    with ExitStack() as opened:
        # Fork before any thread exists.
        fed = [opened.enter_context(closing(_Worker(open_work))) for _ in range(workers)]
        threading.Thread(target=read, daemon=True).start()
        for worker in fed:
            threading.Thread(target=feed, args=(worker,), daemon=True).start()
        while chunk := taken.get():
            items, future = chunk
            yield from zip(items, future.result(), strict=True)
        if failed:
            raise failed[0]


def _take(waiting: Queue[Any]) -> list[tuple[Any, Any]]:
    """Wait for an input, then also take those already waiting; return [] at the end."""
    chunk: list[tuple[Any, Any]] = []
    with suppress(Empty):
        while len(chunk) < _CHUNK:
            if (pair := waiting.get(block=not chunk)) is None:
                waiting.put(None)  # for the other threads
                break
            chunk.append(pair)
    return chunk


class _Worker:
    """One process that applies the function to chunks."""

    def __init__(self, open_work: Callable[[], Any]) -> None:
        self._open_work = open_work
        self._changing = threading.Lock()
        self.closed = False
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
        raise RzeroError(
            f"{_TRIES} worker processes in a row died on the same {len(arguments)} records"
        )

    def close(self) -> None:
        with self._changing:
            self.closed = True
            self._end()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")  # nothing is imported or pickled again
        self._connection, theirs = context.Pipe()
        # A daemon ends with the interpreter, even if we are interrupted right here.
        self._process = context.Process(
            target=_serve, args=(theirs, self._open_work, os.getpid()), daemon=True
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until it has its handlers
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def _replace(self) -> None:
        with self._changing:
            if self.closed:
                raise RzeroError("the run has ended")
            self._end()
            self._connection.close()
            self._start()

    def _end(self) -> None:
        self._process.terminate()  # lets it end its own children
        self._process.join(_END_SECONDS)
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, open_work: Callable[[], Any], parent: int) -> None:
    """Process chunks until the connection closes or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C the parent ends this process
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
