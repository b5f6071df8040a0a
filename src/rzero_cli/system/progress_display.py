"""Display the progress of a long stage: a bar on a terminal, otherwise occasional lines, and a log.

A stage counts in its own variables, which a thread reads twice a second. Its loop, which may see
ten thousand records a second, does nothing for it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from rzero_cli.system.messages import say
from rzero_cli.system.progress import MetricsLog, Moment, Window

Look = Callable[[], Mapping[str, float]]
"""Returns the progress of a stage: `done` (including an earlier run; missing before the work
starts), `before` (the earlier run's part, if unknown when the work starts), `tokens` (generated,
for stages with a model), and the metrics to display."""
Tell = Callable[[Mapping[str, Any]], None]
Draw = Callable[[Moment], None]

_TICK = 0.5  # seconds
_FIRST = 10.0  # seconds until the first line if there is no terminal
_LONGEST = 300.0  # the most seconds between two lines
_LOGGED = 10.0  # seconds between two lines of --log-file
_PATIENCE = 1.0  # seconds to wait for a blocked terminal
_SHORT = 1.0  # seconds before a bar appears; a shorter stage shows none


@contextmanager
def watched(
    name: str,
    total: int | Callable[[], int | None] | None,
    look: Look,
    *,
    unit: str = "",
    points: int = 8,
    quiet: bool = False,
    draws_bar: bool = True,
    log: MetricsLog | None = None,
    settings: Mapping[str, Any] = {},
    at_end: ExitStack,
) -> Iterator[Tell]:
    """Display and log the progress of a stage while the block does its work.

    Args:
        name: the stage's name.
        total: the final value of `done`, or None if unknown; or a function that finds it, called
            from the other thread if the stage takes long enough.
        look: returns the progress; called from another thread, and once more at the end.
        unit: what is counted, in the plural.
        points: as for `Window`.
        quiet: display nothing.
        draws_bar: allow a bar if standard error is a terminal.
        log: receives a line every few seconds; the first has the `settings`.
        settings: the stage's settings, for the log.
        at_end: the command's exit stack, which writes the log's last line, since the output is put
            in place after the block.

    Yields:
        A function that logs the metrics of an update as a separate line.
    """
    if quiet and log is None:
        yield _nothing
        return
    started, window, one_at_a_time = time.monotonic(), Window(points), threading.RLock()
    find, known = (total, None) if callable(total) else (None, total)

    def moment() -> Moment:
        with one_at_a_time:
            now, seen = time.monotonic(), dict(look())
            done, before = seen.pop("done", None), seen.pop("before", 0)
            if done is None:
                return Moment(now - started, total=known)
            tokens = seen.pop("tokens", None)
            window.add(now, (done - before, tokens or 0))
            rate, tokens_rate = window.rates(now)
            return Moment(now - started, done, known, rate, tokens_rate if tokens else None, seen)

    last = moment()
    with nullcontext(_nothing) if quiet else _drawing(name, unit, draws_bar) as draw:
        due = time.monotonic() + _LOGGED
        if log:
            log.write("start", last.as_record() | {"settings": dict(settings)})

        def tick() -> None:
            nonlocal due, find, known
            if find:
                known, find = find(), None
            now = moment()
            draw(now)
            if log and time.monotonic() >= due:
                due += _LOGGED
                log.write("progress", now.as_record())

        def tell(metrics: Mapping[str, Any]) -> None:
            nonlocal due
            due = math.inf  # updates replace the periodic lines
            if log:
                log.write("update", replace(moment(), metrics={}).as_record() | dict(metrics))

        draw(last)
        try:
            with _ticking(tick):
                yield tell
        finally:
            last = moment()
            draw(last)
            if log:
                at_end.enter_context(_log_end(log, last))


@contextmanager
def _log_end(log: MetricsLog, last: Moment) -> Iterator[None]:
    """Log the exit status of the command when it ends."""
    status, message = 0, {}
    try:
        yield
    except BaseException as error:
        status = _status(error)
        message = {"error": str(error)} if status and isinstance(error, Exception) else {}
        raise
    finally:
        log.write("end", last.as_record() | {"status": status} | message)
        log.close()


def _status(error: BaseException) -> int:
    """Return the exit status that `cli.run` makes of an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return int(getattr(error, "exit_code", 1))


@contextmanager
def _ticking(tick: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(_TICK):
            tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_PATIENCE)


# ---------------------------------------------------------------- on standard error


def _nothing(seen: object) -> None:
    """Do nothing."""


def _drawing(name: str, unit: str, draws_bar: bool) -> Any:
    """Return a bar if it is allowed and standard error is a suitable terminal, else lines."""
    if sys.stderr.isatty() and draws_bar:
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_interactive:
            return _bar(name, console)
    return _lines(name, unit)


@contextmanager
def _lines(name: str, unit: str) -> Iterator[Draw]:
    due = _FIRST

    def draw(moment: Moment) -> None:
        nonlocal due
        if moment.seconds >= due:
            due = moment.seconds + min(moment.seconds, _LONGEST)
            say(f"{name}: {', '.join(moment.texts(unit))}")

    yield draw


@contextmanager
def _bar(name: str, console: Any) -> Iterator[Draw]:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(min(30, console.width // 5)),
        TextColumn("{task.fields[texts]}", markup=False, table_column=rest),
        console=console,
        auto_refresh=False,
        expand=True,
    )
    task, gone = bar.add_task(name, total=None), False

    def draw(moment: Moment) -> None:
        """Update the bar; errors of the terminal never end the stage."""
        nonlocal gone
        if gone or moment.seconds < _SHORT:
            return
        texts = "  ".join(moment.texts())
        bar.update(task, total=moment.total, completed=moment.done, texts=texts)
        try:
            bar.start()
            bar.refresh()
        except (OSError, ValueError):  # the terminal is full or closed
            gone = True

    try:
        yield draw
    finally:
        with suppress(OSError, ValueError):
            bar.stop()
