"""How far a long stage has come: rates of late, the time left, and the log of its figures.

A rate is over a recent window, not since the start: a run that is continued has what was done
before for nothing, and the first minutes of a model say little about the rest.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rzero_cli.system.secrets import redact

Figures = Mapping[str, float]
_RECENT = 60.0
"""Seconds that a rate is taken over, if enough happens in them."""


def means(count: int, **sums: float) -> dict[str, float]:
    """Each sum over `count` as a mean; nothing of nothing."""
    return {name: total / count for name, total in sums.items()} if count else {}


class Window:
    """Counters of late, and how fast they grow.

    Args:
        points: changes to look back over at least, where a minute has fewer. Engines finish many
            answers at once, so one change alone says little.
    """

    def __init__(self, points: int = 8) -> None:
        self._points = points
        self._seen: deque[tuple[float, Sequence[float]]] = deque()

    def add(self, now: float, counts: Sequence[float]) -> None:
        """What the counters are at `now`, in seconds of a monotonic clock."""
        if not self._seen or self._seen[-1][1] != counts:
            self._seen.append((now, counts))
        while len(self._seen) > self._points and self._seen[1][0] <= now - _RECENT:
            self._seen.popleft()

    def rates(self, now: float) -> list[float | None]:
        """Of each counter how much it grows a second; None while that cannot be told."""
        if not self._seen:
            return []
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        # The next change is not due yet; when it is late, the rate falls.
        seconds = max(end - begin, now - begin - (end - begin) / max(1, len(self._seen) - 1))
        if end == begin:
            return [None] * len(after)
        return [(b - a) / seconds for a, b in zip(before, after, strict=True)]


@dataclass(frozen=True, slots=True)
class Moment:
    """What there is to say of a stage at one moment."""

    seconds: float
    """Since it began, of this process."""
    done: float | None = None
    """With what an earlier run had done; None before the work has begun."""
    total: int | None = None
    per_second: float | None = None
    tokens_per_second: float | None = None
    figures: Figures = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """None where the total or the rate is not known."""
        if self.done is None or self.total is None or not self.per_second:
            return None
        return max(0.0, self.total - self.done) / self.per_second

    def as_record(self) -> dict[str, Any]:
        """Keys of the log; those that are not known are left out, `done` and `total` apart."""
        rates = {
            "per_second": self.per_second,
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
        }
        known = {name: _short(value) for name, value in rates.items() if value is not None}
        figures = {name: _short(value) for name, value in self.figures.items()}
        counts = {"done": self.done, "total": self.total}
        return {"seconds": round(self.seconds, 3), **counts, **known, **figures}

    def texts(self, unit: str = "") -> list[str]:
        """Return what a person is shown; a narrow terminal cuts off the end."""
        shown = []
        if self.done is not None:
            total = "" if self.total is None else f"/{self.total:,}"
            shown.append(f"{self.done:,.0f}{total} {unit}".rstrip())
        if self.per_second is not None:
            shown.append(_rate(self.per_second))
        left = self.seconds_left
        shown.append(f"{duration(left)} left" if left else duration(self.seconds))
        shown += [f"{name} {value:.3g}" for name, value in self.figures.items()]
        if self.tokens_per_second:
            shown.append(_rate(self.tokens_per_second, " tokens"))
        return shown


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24} h"


def _rate(rate: float, unit: str = "") -> str:
    if 0 < rate < 0.5:
        return f"{60 * rate:.3g}{unit}/min"
    return f"{rate:,.0f}{unit}/s" if rate >= 100 else f"{rate:.3g}{unit}/s"


def _short(value: Any) -> Any:
    """Six digits, as the log of a training has them."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def check_log_file(path: Path) -> str | None:
    """Why lines cannot be appended to `path`; None where they can, as far as can be told without
    making it."""
    if path.is_dir():
        return "is a directory"
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"no such folder: {folder}"
    return None if os.access(path if path.exists() else folder, os.W_OK) else "cannot be written"


class MetricsLog:
    """A file that lines of JSON are appended to, each by one write, so that those of several
    processes do not mix. Where that fails, `notify` is told once, and the stage goes on.

    Args:
        path: made where it is not there.
        common: what each line has.
        notify: told in one line.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, common: Mapping[str, Any], notify: Callable[[str], None]):
        self._path, self._common, self._notify = path, dict(common), notify
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
        self._failed = False
        if _is_torn(path):
            self._append(b"\n")

    def write(self, event: str, record: Mapping[str, Any]) -> None:
        """Append a line, with the time. Keys of the environment and what is not finite do not get
        into it."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"event": event, **self._common, "time": now.replace("+00:00", "Z"), **record}
        self._append(json.dumps(_clean(line), default=str).encode() + b"\n")

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                self._take_back(written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if not self._failed:
                self._notify(f"{self._path}: {error.strerror}; goes on without a log")
            self._failed = True

    def _take_back(self, written: int) -> None:
        """Remove the beginning of a line for whose rest there was no room, if it is the end."""
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if os.fstat(self._descriptor).st_size == end:
            os.ftruncate(self._descriptor, end - written)

    def close(self) -> None:
        os.close(self._descriptor)


def _is_torn(path: Path) -> bool:
    """Whether a file ends within a line: a machine may have lost its power."""
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) != b"\n"
    except OSError:  # it may be ours to write and not to read
        return False


def _clean(value: Any) -> Any:
    """`value` without numbers that JSON has not, and without keys."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, (list, tuple)) else value
