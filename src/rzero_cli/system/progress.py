"""The progress of a long stage: recent rates, the time left, and the log of its metrics.

Rates are over a recent window, not since the start: a resumed run gets its earlier work for free,
and a model's first minutes are not representative.
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

Metrics = Mapping[str, float]
_RECENT = 60.0
"""Seconds that a rate covers, if enough happens in them."""


def means(count: int, **sums: float) -> dict[str, float]:
    """Return each sum divided by `count`; {} if `count` is 0."""
    return {name: total / count for name, total in sums.items()} if count else {}


class Window:
    """Recent values of counters, and their rates.

    Args:
        points: the fewest changes to cover if a minute has fewer. Engines finish many answers at
            once, so single changes are not informative.
    """

    def __init__(self, points: int = 8) -> None:
        self._points = points
        self._seen: deque[tuple[float, Sequence[float]]] = deque()

    def add(self, now: float, counts: Sequence[float]) -> None:
        """Record the counters at `now`, in seconds of a monotonic clock."""
        if not self._seen or self._seen[-1][1] != counts:
            self._seen.append((now, counts))
        while len(self._seen) > self._points and self._seen[1][0] <= now - _RECENT:
            self._seen.popleft()

    def rates(self, now: float) -> list[float | None]:
        """Return the growth of each counter per second; None while it is unknown."""
        if not self._seen:
            return []
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        # Allow one mean interval for the next change; if it is late, the rate falls.
        seconds = max(end - start, now - start - (end - start) / max(1, len(self._seen) - 1))
        if end == start:
            return [None] * len(after)
        return [(b - a) / seconds for a, b in zip(before, after, strict=True)]


@dataclass(frozen=True, slots=True)
class Moment:
    """The progress of a stage at one moment."""

    seconds: float
    """Since this process started the stage."""
    done: float | None = None
    """Includes what an earlier run had done; None before the work starts."""
    total: int | None = None
    per_second: float | None = None
    tokens_per_second: float | None = None
    metrics: Metrics = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds left; None if the total or the rate is unknown."""
        if self.done is None or self.total is None or not self.per_second:
            return None
        return max(0.0, self.total - self.done) / self.per_second

    def as_record(self) -> dict[str, Any]:
        """Return the keys of the log; unknown ones are left out, except `done` and `total`."""
        rates = {
            "per_second": self.per_second,
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
        }
        known = {name: _short(value) for name, value in rates.items() if value is not None}
        metrics = {name: _short(value) for name, value in self.metrics.items()}
        counts = {"done": self.done, "total": self.total}
        return {"seconds": round(self.seconds, 3), **counts, **known, **metrics}

    def texts(self, unit: str = "") -> list[str]:
        """Return the texts to display, most important first; a narrow terminal truncates them."""
        shown = []
        if self.done is not None:
            total = "" if self.total is None else f"/{self.total:,}"
            shown.append(f"{self.done:,.0f}{total} {unit}".rstrip())
        if self.per_second is not None:
            shown.append(_rate(self.per_second))
        left = self.seconds_left
        shown.append(f"{duration(left)} left" if left else duration(self.seconds))
        shown += [f"{name} {value:.3g}" for name, value in self.metrics.items()]
        if self.tokens_per_second:
            shown.append(_rate(self.tokens_per_second, " tokens"))
        return shown


def duration(seconds: float) -> str:
    """Return seconds as text for a person, such as "2 h 05 min"."""
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
    """Round floats to six digits, as in a training log."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def check_log_file(path: Path) -> str | None:
    """Return why lines cannot be appended to `path`, or None; does not create the file."""
    if path.is_dir():
        return "is a directory"
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"no such folder: {folder}"
    return None if os.access(path if path.exists() else folder, os.W_OK) else "cannot be written"


class MetricsLog:
    """A file to which lines of JSON are appended.

    Each line is one write, so lines of several processes do not mix. If a write fails, `notify` is
    called once and the stage continues.

    Args:
        path: created if it does not exist.
        common: keys of every line.
        notify: receives a one-line message.

    Raises:
        OSError: the file cannot be opened.
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
        """Append a line with the time; secrets are redacted, and non-finite numbers are null."""
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
                self._notify(f"{self._path}: {error.strerror}; continuing without a log")
            self._failed = True

    def _take_back(self, written: int) -> None:
        """Remove the start of a line that did not fit on the disk, if it is still at the end."""
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if os.fstat(self._descriptor).st_size == end:
            os.ftruncate(self._descriptor, end - written)

    def close(self) -> None:
        os.close(self._descriptor)


def _is_torn(path: Path) -> bool:
    """Return True if a file ends within a line, as after a power failure."""
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) != b"\n"
    except OSError:  # it may be writable but not readable
        return False


def _clean(value: Any) -> Any:
    """Return `value` with None for numbers that are not finite, and secrets redacted."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, (list, tuple)) else value
