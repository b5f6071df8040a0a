"""Cores, ranks, and the lifetime of child processes."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from rzero_cli.errors import RzeroError
from rzero_cli.system.secrets import without_keys

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rank() -> int:
    """Return the rank of this process under torchrun or accelerate, 0 without them.

    Only rank 0 prints and writes files.
    """
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes under torchrun or accelerate, 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return the rank among the processes on this machine, which is also its GPU; 0 without a
    launcher."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Return the number of processes on this machine, 1 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def end_with_parent(number: signal.Signals, parent: int) -> bool:
    """Make the kernel send this process signal `number` when `parent`, which forked it, ends.

    On Linux only; elsewhere a child ends when it next finds its pipe closed.

    Returns:
        False if the parent has already ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def in_child(work: Callable[[], T]) -> T:
    """Return the result of a function, called in a fork of this process.

    Imports, and memory that they take of a GPU, end with the fork. Call it before any thread has
    been started and before torch is imported.

    Raises:
        RzeroError: the function raised it, or its process died.
    """
    import multiprocessing  # slow to import and rarely needed

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        try:
            theirs.send(work())
        except RzeroError as error:
            theirs.send(error)

    child = context.Process(target=run)
    child.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        result = RzeroError("a child process died")
    child.join()
    if isinstance(result, RzeroError):
        raise result
    return result  # type: ignore[no-any-return]


_UNUSED = ("sklearn", "scipy")
"""Packages that lm-eval installs and transformers then imports for features that no stage uses:
assisted generation and object-detection losses."""


@contextmanager
def importing() -> Iterator[None]:
    """Within the block, import torch and transformers in half the time.

    The garbage collector is off, since imports create a million objects and discard none. If torch
    was not imported before, the collector ignores those objects from then on. The packages of
    `_UNUSED` appear as not installed, unless they are already imported.
    """
    hidden = [name for name in _UNUSED if name not in sys.modules]
    first, was_on = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    # In sys.modules, None means that there is no such module.
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


# The watchdog. If its standard input ends without a message, the watched process has died. It
# records that process's descendants while they can be identified: an orphan gets another parent,
# and vLLM's processes overwrite their environment.
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
        parents[int(pid)] = int(fields[1]), fields[19]  # parent and start time
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
    for pid, started in known - before:
        if pid not in (root, os.getpid()) and (pid, started) in descendants(pid):
            os.kill(pid, signal.SIGKILL)
"""


@contextmanager
def ended_with_us() -> Iterator[None]:
    """Kill all processes started in the block if this process dies or the block fails.

    That includes processes of libraries. A watchdog process sends SIGKILL, so it also works if this
    process is killed by SIGKILL. A process started in the last half second may escape. Linux only.
    """
    if sys.platform != "linux":
        yield
        return
    import subprocess  # slow to import and rarely needed

    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=without_keys(),
        start_new_session=True,  # a Ctrl-C in the terminal must not reach it
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
