"""How far a command is, by its options --quiet and --log-file; and what `filter` would keep."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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
) -> AbstractContextManager[Tell]:
    """Show and log how far a stage is, while a block does its work.

    Args:
        total, look, unit, points: as for `progress_display.watched`.
        title: the stage's name; by default the command's.
        out: where records go; no bar is drawn into them.
        settings: for the log, in place of the command's own.

    Returns:
        For the block, a function that logs metrics as a line of their own: those of an update.

    Raises:
        UsageError: the log is another file of this command, or cannot be opened.
    """
    name, path = title or call.command, call.log_file
    log = _open_log(call, name, Path(path)) if path and not rank() else None
    return watched(
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
    )


def _open_log(call: Call, stage: str, path: Path) -> MetricsLog:
    if name := call.naming(path, but="log_file"):
        raise UsageError(f"--log-file {path}: is another file of this command, {name}")
    common = {"stage": stage, "output": call.output, "pid": os.getpid()}
    try:
        return MetricsLog(path, common, call.say)
    except OSError as error:
        raise UsageError(f"--log-file {path}: {error.strerror}") from error


def interval_of_filter(call: Call) -> Band:
    """Return what of p_hat `rzero filter` would keep with the preset and configuration of this
    command.

    Raises:
        UsageError: the configuration has no numbers there.
    """
    try:
        return call.group(Keep, "filter").interval()
    except UsageError as error:
        raise UsageError(f"filter: {error}") from error


def kept_by_filter(call: Call) -> Callable[[str | None, float], bool]:
    """Return whether `rzero filter` would keep a question, by its label and `p_hat`.

    Raises as above.
    """
    low, high = map(float, interval_of_filter(call))
    return lambda answer, p_hat: answer is not None and low <= p_hat <= high
