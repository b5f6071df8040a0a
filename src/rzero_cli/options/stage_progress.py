"""Progress reporting by --quiet and --log-file, and the questions that `filter` would keep."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rzero_cli.data.journal import Output
from rzero_cli.errors import UsageError
from rzero_cli.method.filtering import Band
from rzero_cli.options.command import Call
from rzero_cli.options.method_groups import Keep
from rzero_cli.system.processes import rank
from rzero_cli.system.progress import MetricsLog
from rzero_cli.system.progress_display import Look, Tell, watched
from rzero_cli.system.stopwatch import shares


@contextmanager
def progress(
    call: Call,
    total: int | Callable[[], int | None] | None,
    look: Look,
    *,
    unit: str = "",
    title: str | None = None,
    points: int = 8,
    out: Output | None = None,
    settings: Mapping[str, Any] = {},
) -> Iterator[Tell]:
    """Show and log the progress of a stage while a block runs; at its end print where the time
    went, if a model generated.

    Args:
        total, look, unit, points: as for `progress_display.watched`.
        title: the stage's name; by default the command's.
        out: the output of records; no bar is shown if it is the terminal.
        settings: additions to the command's settings in the log.

    Yields:
        A function that logs metrics, such as an update's, as a separate line.

    Raises:
        UsageError: the log is another file of this command, or cannot be opened.
    """
    name, path = title or call.command, call.log_file
    log = _open_log(call, name, Path(path)) if path and not rank() else None
    with watched(
        name,
        total,
        look,
        unit=unit,
        points=points,
        quiet=bool(call.quiet or rank()),
        draws_bar=not (out and out.on_terminal),
        log=log,
        settings=call.settings | dict(settings),
        at_end=call.at_end,
    ) as tell:
        yield tell
    seconds = call.spent.seconds
    if len(seconds) > 1:
        call.say(f"time: {shares(seconds)}")


def _open_log(call: Call, stage: str, path: Path) -> MetricsLog:
    if name := call.naming(path, but="log_file"):
        raise UsageError(f"--log-file {path}: is already in use as {name}")
    common = {"stage": stage, "output": call.output, "pid": os.getpid()}
    try:
        return MetricsLog(path, common, call.say)
    except (OSError, ValueError) as error:  # the second: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--log-file {path}: {reason}") from error


def interval_of_filter(call: Call) -> Band:
    """Return the interval of p_hat that `rzero filter` keeps with this preset and configuration.

    Raises:
        UsageError: the configured values are not numbers.
    """
    try:
        return call.group(Keep, "filter").interval()
    except UsageError as error:
        raise UsageError(f"filter: {error}") from error


def kept_by_filter(call: Call) -> Callable[[str | None, float], bool]:
    """Return a predicate of label and `p_hat`: True if `rzero filter` would keep the question.

    Raises as `interval_of_filter`.
    """
    low, high = map(float, interval_of_filter(call))
    return lambda answer, p_hat: answer is not None and low <= p_hat <= high
