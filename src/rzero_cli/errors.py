"""The errors that end a command: one line for the user, one exit status for the shell."""

from __future__ import annotations


class RzeroError(Exception):
    """A failure at run time. Exit status 1."""

    exit_code = 1


class UsageError(RzeroError):
    """A wrong option or path, found before any work. Exit status 2."""

    exit_code = 2


class DataError(RzeroError):
    """Bad input; the message names file, line and key. Exit status 2."""

    exit_code = 2


class ClosedPipe(RzeroError):
    """The reader closed the pipe, as `| head` does. No message, exit status 0."""

    exit_code = 0


class AlreadyDone(RzeroError):
    """`--resume` found the work already finished. Exit status 0."""

    exit_code = 0
