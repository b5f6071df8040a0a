"""A lock on each output, so that only one process at a time makes it.

The kernel (`fcntl`) releases the lock when its process ends for any reason, and other hosts see it
if the file system shares locks, as NFS does. The lock file names the process for error messages.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rzero_cli.errors import RzeroError, UsageError

_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def held(target: Path) -> Iterator[None]:
    """Hold the lock on `target`, a file or a directory.

    It excludes other processes, not threads of this one. A file system without locks gives none.

    Raises:
        UsageError: another process, named by its id and host, holds it; or the lock file belongs
            to another user.
        RzeroError: the target's folder cannot be written to.
    """
    path = target.with_name(f".{target.name}.lock")
    try:
        with _locked(path, target) as stream:
            stream.truncate(0)
            json.dump({"pid": os.getpid(), "host": platform.node()}, stream)
            stream.flush()
            yield
            # Before it is released, so that a process that waits for it sees it removed.
            with suppress(OSError):
                path.unlink()
    except BaseException:  # Ctrl-C and SIGTERM may come between any two of these steps
        _remove_if_free(path)
        raise


def check_free(target: Path) -> None:
    """Raise what `held` would, before anything heavy is loaded."""
    with held(target):
        pass


def _locked(path: Path, target: Path) -> IO[str]:
    """Open and lock the lock file. Raises as `held`."""
    while True:
        try:
            stream = path.open("a+", encoding="utf-8")
        except OSError as error:
            if path.exists():  # it belongs to another user
                raise UsageError(f"{path}: cannot be opened: {error.strerror}") from error
            raise RzeroError(f"{target}: cannot be written: {error.strerror}") from error
        if _is_taken(stream):
            with stream:
                raise UsageError(f"{target} is being made by {_holder(stream)}")
        if _still_there(path, stream):
            return stream
        stream.close()  # the last holder has just removed it


def _remove_if_free(path: Path) -> None:
    """Remove a lock file that no other process holds."""
    with suppress(OSError), path.open("r+") as stream:
        if not _is_taken(stream) and _still_there(path, stream):
            path.unlink()


def _is_taken(stream: IO[str]) -> bool:
    """Lock the file, if its system has locks; return whether another process holds it."""
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _TAKEN
    return False


def _still_there(path: Path, stream: IO[str]) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    return False


def _holder(stream: IO[str]) -> str:
    stream.seek(0)
    try:
        holder = json.load(stream)
        return f"process {holder['pid']} on {holder['host']}: wait for it, or choose another name"
    except (ValueError, KeyError, TypeError):  # the holder has not written its name yet
        return "another process: wait for it, or choose another name"
