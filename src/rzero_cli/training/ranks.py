"""Coordination among the processes of one training, started by torchrun or accelerate."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import rank, world_size

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""The longest that a rank waits for the others: rank 0 may wait for the input of a pipe, or answer
questions, far longer than torch's default of 10 or 30 minutes."""

_LOST = ("gloo", "connection closed by peer", "connection reset by peer", "nccl", "tcpstore")


def on_first(work: Callable[[], T]) -> T:
    """Run `work` on rank 0 and return its result, or raise its RzeroError, on every rank.

    Only one process may read a pipe or create files; its error ends all of them, so that none waits
    for ever.
    """
    if world_size() == 1:
        return work()
    outcome: list[Any] = [None, None]
    if not rank():
        try:
            outcome[0] = work()
        except RzeroError as error:
            outcome[1] = error
    with _killable():
        _join()
        from accelerate.utils import broadcast_object_list

        result, failure = broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    return result  # type: ignore[no-any-return]


@contextmanager
def _killable() -> Iterator[None]:
    """Let SIGTERM end this process while it waits: Python's handlers do not run while it waits for
    failed ranks, and the launcher kills it only after half a minute."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def wait() -> None:
    """Wait until all processes have arrived."""
    if world_size() > 1:
        _join().wait_for_everyone()


@contextmanager
def together() -> Iterator[None]:
    """Turn the error that another process's end causes into one line.

    Raises:
        RzeroError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(word in str(error).lower() for word in _LOST):
            raise
        raise RzeroError(
            "another process of this training has ended: see its error message"
        ) from error


@cache
def _join() -> Any:
    """Join the process group, once; the trainer uses the same group."""
    import atexit

    import torch
    from accelerate import PartialState

    gpu = torch.cuda.is_available()
    if not gpu:  # accelerate's default is cpu:0, to which torch cannot load a state
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
    state = PartialState(cpu=not gpu, timeout=PATIENCE)
    # At the interpreter's shutdown gloo's threads sometimes abort the process.
    atexit.register(state.destroy_process_group)
    return state
