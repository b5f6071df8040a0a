"""Turn a full disk, or another reason why a write fails, into an error that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rzero_cli.errors import RzeroError

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def named(path: Path | str, hint: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raise RzeroError with `path` and `hint()` if a write in the block fails."""
    try:
        yield
    except RzeroError:
        raise
    except Exception as error:
        if (reason := _unwritable(error)) is None:
            raise
        raise RzeroError(f"{path}: {reason}{hint()}") from error


def _unwritable(error: Exception) -> str | None:
    """Return why a write failed, or None for other errors.

    Libraries in other languages raise their own types: safetensors and tokenizers quote the
    system's message, torch does not.
    """
    if isinstance(error, OSError):
        return error.strerror if error.errno in _UNWRITABLE else None
    message = str(error)
    if "PytorchStreamWriter failed" in message or "unexpected pos" in message:
        return "a file could not be written completely (is the disk full?)"
    return next((why for why in map(os.strerror, _UNWRITABLE) if why in message), None)
