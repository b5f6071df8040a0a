"""What processes that compute with us or for us have in common: how many, which, and their end."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rzero_cli.system.secrets import without_keys

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


_UNUSED = ("sklearn", "scipy")
"""Packages that transformers imports, where they are installed, for what no stage does: assisted
generation and the losses of object detection. lm-eval brings them."""


@contextmanager
def importing() -> Iterator[None]:
    """Import torch and transformers, or what imports them, in half the time.

    The garbage collector is off: a million objects are made and nothing is thrown away. If torch
    was not there before, they are never looked through again. The packages of `_UNUSED` count as
    not installed, unless they have been imported before.
    """
    hidden = [name for name in _UNUSED if name not in sys.modules]
    first, was_on = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    # In the import system, None means that there is no such module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if first:
            gc.freeze()
        if was_on:
            gc.enable()


# Looks on from outside, and is told on its standard input that all is well; where that ends without
# a word, the process it looks after has died. It notes that one's descendants while they can be
# told: an orphan has another parent, and vLLM's processes write over their environment.
_GUARD = r"""
import glob, os, select, signal, sys
def descendants(root):
    found = {root}
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as stream:
                pid, _, rest = stream.read().partition(" (")
        except OSError:
            continue
        fields = rest.rpartition(")")[2].split()
        parents[int(pid)] = int(fields[1]), fields[19]  # parent, and when it began
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return {(pid, parents[pid][1]) for pid in found if pid in parents}
root = int(sys.argv[1])
before = descendants(root)
print("ready", flush=True)
known = set()
while not select.select([sys.stdin], [], [], 0.5)[0]:
    known |= descendants(root)
if not sys.stdin.read():
    known |= descendants(root)
    for pid, begun in known - before:
        if pid not in (root, os.getpid()) and (pid, begun) in descendants(pid):
            os.kill(pid, signal.SIGKILL)
"""


@contextmanager
def ended_with_us() -> Iterator[None]:
    """Have every process that is begun in the block, by whatever library, ended when ours is.

    Or when the block fails. They are sent SIGKILL, also where that has ended ours, against which
    nothing can be done from within: another process looks on. What was begun in the last half
    second before may escape it. On Linux alone.
    """
    if sys.platform != "linux":
        yield
        return
    import subprocess  # for the few that begin processes; slow to import

    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=without_keys(),
        start_new_session=True,  # a Ctrl-C on the terminal is not for it
    )
    assert guard.stdout is not None
    guard.stdout.readline()
    try:
        yield
    except BaseException:
        guard.communicate()
        raise
    with suppress(BrokenPipeError):
        guard.communicate(b"over")
