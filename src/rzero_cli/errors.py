"""The errors that end a command: one line for the person, one status for the shell."""

from __future__ import annotations


class RzeroError(Exception):
    """Something went wrong while working. Exit status 1."""

    exit_code = 1


class UsageError(RzeroError):
    """An option or a path is wrong; nothing has been done yet. Exit status 2."""

    exit_code = 2


class DataError(RzeroError):
    """The input is wrong; the message names file, line and key. Exit status 2."""

    exit_code = 2


class ClosedPipe(RzeroError):
    """Whoever read our output has enough, as in `| head`. Quiet, exit status 0."""

    exit_code = 0


class AlreadyDone(RzeroError):
    """`--resume` was given and nothing is left to do. Exit status 0."""

    exit_code = 0
