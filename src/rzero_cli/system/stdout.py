"""Keep standard output for records alone.

What libraries and child processes print there goes to standard error instead.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rzero_cli.errors import ClosedPipe, RzeroError, UsageError
from rzero_cli.system.terminal import json_on_terminal
from rzero_cli.system.write_errors import named


class _StandardOutput(io.FileIO):
    """Says of its own errors whose they are: what else fails meanwhile has no part in them."""

    def write(self, data: Any) -> int:
        try:
            with named("standard output"):
                return super().write(data)
        except BrokenPipeError as error:
            raise ClosedPipe from error


class _OnTerminal(io.BufferedWriter):
    """Writes the same JSON without a character in it that a terminal obeys; given whole lines."""

    def write(self, data: Any) -> int:
        return super().write(json_on_terminal(bytes(data)))


@contextmanager
def protect_stdout() -> Iterator[IO[bytes]]:
    """Take standard output for records alone; gives the stream to write them to.

    Whatever else is printed on file descriptor 1 from now on, by a library or by a child process,
    goes to standard error instead.

    Writing to it raises ClosedPipe where whoever read our output has left.

    Raises:
        UsageError: there is no standard output.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed: give -o FILE, or open it")
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    kind = _OnTerminal if os.isatty(private) else io.BufferedWriter
    stream = kind(_StandardOutput(private, "wb"))
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(RzeroError):  # what could not be written has been said
            stream.close()


def nothing_on_stdout() -> None:
    """Send what libraries print on standard output from now on to standard error: the records go
    to a file, and whoever reads our pipe should not take notices for records."""
    with suppress(OSError):  # one of the two may be closed
        os.dup2(2, 1)
