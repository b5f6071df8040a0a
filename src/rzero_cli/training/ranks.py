"""What the processes of one training, begun by torchrun or accelerate, settle among themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import rank, world_size

T = TypeVar("T")

_LOST = ("gloo", "connection closed by peer", "connection reset by peer", "nccl", "tcpstore")


def on_first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, or its error, in every process.

    Files are read from pipes, and made, by one process alone; what goes wrong there goes wrong for
    all, so that none waits for ever for the others.
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
    """Let SIGTERM end this process while it waits: no handler is called inside of a wait for others
    that have failed, and the launcher would lose patience after half a minute only."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def wait() -> None:
    """Go on when all processes have come here."""
    if world_size() > 1:
        _join().wait_for_everyone()


@contextmanager
def together() -> Iterator[None]:
    """Turn what a process sees of another one's end into one line.

    Raises:
        RzeroError: another process has ended, so that there is nobody to exchange figures with.
    """
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(word in str(error).lower() for word in _LOST):
            raise
        raise RzeroError("another process of this training has ended: see what it said") from error


@cache
def _join() -> Any:
    """Meet the other processes, once; the trainer goes on with the same group."""
    import atexit

    import torch
    from accelerate import PartialState

    gpu = torch.cuda.is_available()
    if not gpu:  # which accelerate calls cpu:0, and torch finds no such place to load a state to
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
    state = PartialState(cpu=not gpu)
    # Left to the end of the interpreter, gloo's threads abort the process now and then.
    atexit.register(state.destroy_process_group)
    return state
