"""What processes that compute for us have in common: how many, and their end with ours."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["available_cores", "end_with_parent"]

_PR_SET_PDEATHSIG = 1


def available_cores() -> int:
    """The processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent(number: signal.Signals, parent: int) -> bool:
    """Have this process sent signal `number` when `parent`, which forked it, ends.

    Only Linux can; elsewhere a child ends when it next finds its pipe closed.

    Returns:
        False if the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent
