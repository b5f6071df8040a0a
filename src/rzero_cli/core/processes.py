"""What processes that compute with us or for us have in common: how many, which, and their end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["available_cores", "end_with_parent", "rank", "world_size"]

_PR_SET_PDEATHSIG = 1


def available_cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rank() -> int:
    """Which this is of the processes that torchrun or accelerate began together. Number 0 is the
    one that talks and writes files."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes torchrun or accelerate began together; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def end_with_parent(number: signal.Signals, parent: int) -> bool:
    """Have this process sent signal `number` when `parent`, which forked it, ends.

    Only Linux can; elsewhere a child ends when it next finds its pipe closed.

    Returns:
        False if the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent
