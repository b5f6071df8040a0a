"""Report a full disk, or another reason why a file cannot be written to its end, with its name."""

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
    """Say where it was that nothing more could be written, and `hint` what to do."""
    try:
        yield
    except RzeroError:
        raise
    except Exception as error:
        if (reason := _unwritable(error)) is None:
            raise
        raise RzeroError(f"{path}: {reason}{hint()}") from error


def _unwritable(error: Exception) -> str | None:
    """Why nothing more can be written, if that is the error; as libraries in other languages say
    it, too: safetensors and tokenizers quote the system, torch does not."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in _UNWRITABLE else None
    said = str(error)
    if "PytorchStreamWriter failed" in said or "unexpected pos" in said:
        return "a file could not be written to its end (is the disk full?)"
    return next((why for why in map(os.strerror, _UNWRITABLE) if why in said), None)
