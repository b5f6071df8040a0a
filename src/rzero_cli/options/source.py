"""The records that a command is given, and what becomes of the bad ones: `--on-error`."""

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
    """The records of a command's files.

    A bad line is one that is no record, or that `check` refuses. It is taken out where lines are
    read, so whatever counts them (parts, batches, seeds, a journal) is as if it were not there.

    Args:
        call: of the command.
        names: the files.
        lines: how they are read.
        check: what else a good line is.
        target: what the command writes: bad lines go next to it. None where it writes no file.
        dry: nothing is written this time, so that bad lines need no file.

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
        self._call, self._names, self._check = call, names, check
        self._limit, self._strict = lines.limit, lines.strict
        self._named, self._target = lines.rejects, target
        self._path = _rejects_of(lines, names, target, must=target is not None and not dry)
        self._rejects: Rejects | None = None
        self.reject: Reject | None = self._reject if lines.on_error == "skip" else None
        """Takes the bad lines, as `read_lines` needs it; None where the first one is an error."""
        self.good = 0
        """Good lines read so far."""

    @property
    def rejected(self) -> dict[str, int]:
        """How many bad lines there were, for the record; empty where the first is an error."""
        return {"rejected": self._rejects.count} if self.reject and self._rejects else {}

    def lines(self) -> Iterator[Line]:
        """Read the good lines. Raises as `read_lines`."""
        return self.counted(
            read_lines(
                self._names,
                limit=self._limit,
                strict=self._strict,
                check=self._check,
                reject=self.reject,
            )
        )

    def counted(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Count `lines`, which are good ones, on their way."""
        for line in lines:
            self.good += 1
            yield line

    def _reject(self, source: str, number: int, raw: bytes | None, reason: str) -> None:
        if self._rejects:  # otherwise they are read once more
            self._rejects(source, number, raw, reason)

    def count(self) -> int | None:
        """Read files once before a model is loaded, so that a bad line is found at once.

        Returns:
            How many good lines there are; None for pipes, which can be read only once.

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
        return count

    def at_most(self, part: Shard = WHOLE) -> int | None:
        """Return how many good lines a part of the input may have, for progress: nothing is parsed,
        so bad and blank ones are counted. None for pipes."""
        files = [Path(name) for name in self._names]
        with suppress(OSError):
            if all(path.is_file() for path in files):
                count = sum(map(count_lines, files))
                return part.size(count if self._limit is None else min(count, self._limit))
        return None

    @contextmanager
    def rejecting(self) -> Iterator[None]:
        """Send the bad ones of the `lines` that are read within to their file, which is there when
        the block ends well, and say how many there were.

        Raises:
            UsageError: the file exists, without --force.
            DataError: all were bad.
        """
        target, path = self._target, self._path
        force = target is not None and target.force
        # A file that was named may be anybody's; the one next to the output is ours.
        if not self._named:
            force = force or target is None or target.resume
        if self.reject is None and not force:
            path = None  # and not there to be removed
        # The file next to an output goes with it.
        output = target.output if target else None
        new = not self._named and not Path(output or "").exists()
        self.good = 0
        with open_rejects(path, force=force or new) as self._rejects:
            yield
        if not (bad := self._rejects.count):
            return
        message = f"{bad} of {bad + self.good} lines rejected"
        message += "" if path is None else f": {path}"
        if not self.good:
            raise DataError(f"no good line in {', '.join(self._names)}: {message}")
        self._call.say(message)


def part_seed(seed: int, part: Shard) -> int:
    """Return the seed of one part of the work: no two parts sample alike."""
    return seed if part == WHOLE else derived_seed(seed, part.index, part.count)


def _is_of(output: str | None, path: Path) -> bool:
    """Whether `path` is an output, or one of the files that lie next to it."""
    if not output or output == "-":
        return False
    own, given = Path(output).resolve(), path.resolve()
    stem = re.sub(r"\.(meta\.json|part|part\..*)$", "", given.name)
    return given.parent == own.parent and stem == own.name


def _rejects_of(
    lines: Lines, names: list[str], target: Written | None, *, must: bool
) -> Path | None:
    """Return where bad lines go: to --rejects, or next to the output. Raises UsageError.

    `must` is whether they need a file where they are skipped.
    """
    action, given = lines.on_error, lines.rejects
    output = target.output if target else None
    if action not in ("stop", "skip"):
        raise UsageError(f"--on-error {action}: must be stop or skip")
    if given is not None and action == "stop":
        raise UsageError("--rejects goes with --on-error skip")
    if output and output != "-":
        beside = Path(output).with_name(Path(output).name + ".rejects.jsonl")
    elif action == "skip" and not given and must:
        raise UsageError("--on-error skip needs --rejects FILE for the bad lines, or -o FILE")
    else:
        beside = None
    path = Path(given) if given else beside
    others = {Path(name).resolve() for name in names if name != "-"}
    if path is None or not (given == "-" or path.resolve() in others or _is_of(output, path)):
        return path
    if action == "skip":
        raise UsageError(f"{path}: the bad lines need a file of their own: give --rejects FILE")
    return None
