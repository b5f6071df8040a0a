"""Reserve standard output for records.

Output of libraries and child processes goes to standard error instead.
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
    """Standard output whose own write errors name it, so that other errors are not confused."""

    def write(self, data: Any) -> int:
        try:
            with named("standard output"):
                return super().write(data)
        except BrokenPipeError as error:
            raise ClosedPipe from error


class _OnTerminal(io.BufferedWriter):
    """A writer of whole JSON lines that escapes characters with an effect on a terminal."""

    def write(self, data: Any) -> int:
        return super().write(json_on_terminal(bytes(data)))


@contextmanager
def protect_stdout() -> Iterator[IO[bytes]]:
    """Reserve standard output for records and return the stream to write them to.

    From now on, anything else printed on file descriptor 1, by a library or a child process, goes
    to standard error. A write to the stream raises ClosedPipe if the reader has closed it.

    Raises:
        UsageError: there is no standard output.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed: use -o FILE, or open it")
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    kind = _OnTerminal if os.isatty(private) else io.BufferedWriter
    stream = kind(_StandardOutput(private, "wb"))
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(RzeroError):  # the write error was already raised
            stream.close()


def nothing_on_stdout() -> None:
    """Redirect standard output to standard error, since the records go to a file.

    A reader of the pipe must not mistake messages of libraries for records.
    """
    with suppress(OSError):  # one of the two may be closed
        os.dup2(2, 1)
