"""The input records of a command, and the handling of bad lines (`--on-error`)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rzero_cli.data.jsonl import Check, Line, Reject, count_lines, read_lines
from rzero_cli.data.rejects import Rejects, open_rejects
from rzero_cli.data.shards import WHOLE, Shard
from rzero_cli.engines import derived_seed
from rzero_cli.errors import DataError, UsageError
from rzero_cli.options.command import Call
from rzero_cli.options.file_groups import Lines, Written


class Input:
    """The records of a command's input files.

    A line is bad if it is not a record or if `check` refuses it. Bad lines are removed as they are
    read, so shards, batches, seeds and journals count as if they did not exist.

    Args:
        call: the command's call.
        names: the files.
        lines: the options for reading them.
        check: an additional check of a line, which raises DataError.
        target: the command's output, next to which bad lines are written; None without a file.
        dry: the command writes nothing, so that bad lines need no file.

    Raises:
        UsageError: the options contradict each other.
    """

    def __init__(
        self,
        call: Call,
        names: list[str],
        lines: Lines,
        check: Check | None = None,
        *,
        target: Written | None = None,
        dry: bool = False,
    ) -> None:
        self._call, self._names, self._lines = call, names, lines
        self._check, self._target = check, target
        self._path = _rejects_of(lines, names, target, must=target is not None and not dry)
        self._rejects: Rejects | None = None
        self.reject: Reject | None = self._reject if lines.on_error == "skip" else None
        """Receives the bad lines, for `read_lines`; None if the first one is an error."""
        self.good = 0
        """The number of good lines read so far."""

    @property
    def rejected(self) -> dict[str, int]:
        """The number of bad lines, for the record; empty if the first one is an error."""
        return {"rejected": self._rejects.count} if self.reject and self._rejects else {}

    def lines(self) -> Iterator[Line]:
        """Yield the good lines. Raises as `read_lines`."""
        return self.counted(
            read_lines(
                self._names,
                limit=self._lines.limit,
                strict=self._lines.strict,
                check=self._check,
                reject=self.reject,
            )
        )

    def counted(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield `lines` and count them as good."""
        for line in lines:
            self.good += 1
            yield line

    def _reject(self, source: str, number: int, raw: bytes | None, reason: str) -> None:
        if self._rejects:  # otherwise this is a first pass, and they are read again
            self._rejects(source, number, raw, reason)

    def count(self, part: Shard) -> int | None:
        """Read the files once before a model is loaded, to find bad lines at once.

        Returns:
            The number of good lines in a part; None for pipes, which can be read only once.

        Raises:
            DataError: as `read_lines`, or as `rejecting`.
        """
        lines = self.lines()
        if not all(Path(name).is_file() for name in self._names):
            return None
        count = sum(1 for _ in lines)
        if not count and self.reject:
            with self.rejecting():
                deque(self.lines(), maxlen=0)
        return part.size(count)

    def at_most(self, part: Shard = WHOLE) -> int | None:
        """Return an upper bound on the lines of a part, for progress; None for pipes.

        Lines are not parsed, so bad and blank ones count.
        """
        files = [Path(name) for name in self._names]
        with suppress(OSError):
            if all(path.is_file() for path in files):
                count = sum(map(count_lines, files))
                return part.size(min(count, self._lines.limit or count))
        return None

    @contextmanager
    def rejecting(self) -> Iterator[None]:
        """Write the bad lines that are read in the block to their file, and report their number.

        The file appears when the block succeeds.

        Raises:
            UsageError: the file exists, without --force.
            DataError: all lines are bad.
        """
        target, path = self._target, self._path
        force = target is not None and target.force
        # A file given by --rejects may hold other data; the one next to the output is rzero's own.
        if not self._lines.rejects:
            force = force or target is None or target.resume
        if self.reject is None and not force:
            path = None  # there is no old file to remove
        # An old file next to a new output is a leftover.
        output = target.output if target else None
        new = not self._lines.rejects and not Path(output or "").exists()
        self.good = 0
        with open_rejects(path, force=force or new) as self._rejects:
            yield
        if not (bad := self._rejects.count):
            return
        message = f"{bad} of {bad + self.good} lines rejected"
        message += "" if path is None else f": {path}"
        if not self.good:
            raise DataError(f"no valid line in {', '.join(self._names)}: {message}")
        self._call.say(message)


def part_seed(seed: int, part: Shard) -> int:
    """Return the seed of one part of the work, different for each part."""
    return seed if part == WHOLE else derived_seed(seed, part.index, part.count)


def _is_of(output: str | None, path: Path) -> bool:
    """Return True if `path` is the output or one of the files that belong to it."""
    if not output or output == "-":
        return False
    own, given = Path(output).resolve(), path.resolve()
    stem = re.sub(r"\.(meta\.json|part|part\..*)$", "", given.name)
    return given.parent == own.parent and stem == own.name


def _rejects_of(
    lines: Lines, names: list[str], target: Written | None, *, must: bool
) -> Path | None:
    """Return the file for bad lines: --rejects, or next to the output. Raises UsageError.

    `must` requires a file if bad lines are skipped.
    """
    action, given = lines.on_error, lines.rejects
    output = target.output if target else None
    if action not in ("stop", "skip"):
        raise UsageError(f"--on-error {action}: must be stop or skip")
    if given is not None and action == "stop":
        raise UsageError("--rejects requires --on-error skip")
    if output and output != "-":
        beside = Path(output).with_name(Path(output).name + ".rejects.jsonl")
    elif action == "skip" and not given and must:
        raise UsageError("--on-error skip requires -o FILE, or --rejects FILE for the bad lines")
    else:
        beside = None
    path = Path(given) if given else beside
    others = {Path(name).resolve() for name in names if name != "-"}
    if path is None or not (given == "-" or path.resolve() in others or _is_of(output, path)):
        return path
    if action == "skip":
        raise UsageError(f"{path}: bad lines need a separate file: give another --rejects FILE")
    return None
