"""One process at a time for each output.

The lock is the kernel's (`fcntl`), so it goes with the process that holds it, however that ends,
and it is seen from other hosts where the file system shares locks, as NFS does. Beside it stands
who holds it, for the message to whoever comes second.
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
    """Be the only process that makes `target`, a file or a directory.

    It holds between processes, not within one. A file system that knows no locks gives none.

    Raises:
        UsageError: another process is at it, named by its id and host, or another user's was.
        RzeroError: the target's folder cannot be written to.
    """
    path = target.with_name(f".{target.name}.lock")
    with _locked(path, target) as stream:
        holder = {"pid": os.getpid(), "host": platform.node()}
        stream.write(json.dumps(holder))
        stream.flush()
        yield


def check_free(target: Path) -> None:
    """Raise what `held` would, before anything heavy is loaded."""
    with held(target):
        pass


@contextmanager
def _locked(path: Path, target: Path) -> Iterator[IO[str]]:
    while True:
        try:
            stream = path.open("a+", encoding="utf-8")
        except OSError as error:
            if path.exists():  # of another user
                raise UsageError(f"{path}: cannot be opened: {error.strerror}") from error
            raise RzeroError(f"{target}: cannot be written there: {error.strerror}") from error
        with stream:
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise UsageError(f"{target} is being made by {_holder(stream)}") from error
            if not _still_there(path, stream):
                continue  # its last holder has just removed it
            try:
                stream.truncate(0)
                yield stream
            finally:
                # Before it is let go: whoever has opened it meanwhile finds that it is gone.
                with suppress(OSError):
                    path.unlink()
            return


def _still_there(path: Path, stream: IO[str]) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    return False


def _holder(stream: IO[str]) -> str:
    stream.seek(0)
    try:
        holder = json.load(stream)
        return f"process {holder['pid']} on {holder['host']}: wait for it, or choose another name"
    except (ValueError, KeyError, TypeError):  # it is about to write it
        return "another process: wait for it, or choose another name"
