"""The progress of a long stage: a bar on a terminal, else a line now and then, and a log.

A stage counts for itself, in variables of its own, and is looked at from a thread twice a second:
its loop, which may see ten thousand records a second, does nothing for it.
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
"""How far a stage is: `done` (with what an earlier run had; not there before the work begins),
`before`, where that run's part of it is not known when the work begins, `tokens` generated where a
model works, and the metrics that are worth watching."""
Tell = Callable[[Mapping[str, Any]], None]
Draw = Callable[[Moment], None]

_TICK = 0.5  # seconds
_FIRST = 10.0  # seconds until the first line, of what is no terminal
_LONGEST = 300.0  # ... and between two lines, which begin to grow apart at that
_LOGGED = 10.0  # seconds between two lines of --log-file
_PATIENCE = 1.0  # seconds to wait for a terminal that takes nothing
_SHORT = 1.0  # seconds in which no bar is drawn: what ends sooner would only leave one behind


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
    """Show and log how far a stage is, while the block does its work.

    Args:
        name: of the stage.
        total: what `done` will be in the end, where that is known; or a function that finds out,
            called from the other thread if the stage takes long enough for anybody to see it.
        look: called from another thread, and once more at the end.
        unit: what is counted, in the plural.
        points: as for `Window`.
        quiet: show nothing.
        draws_bar: whether a bar may be drawn where standard error is a terminal.
        log: takes a line now and then; its first has the `settings`.
        at_end: the command's, which the log's last line is left to: the output is put in place
            after the stage's work.

    Yields:
        A function that logs metrics as a line of their own: those of an update.
    """
    if quiet and log is None:
        yield _nothing
        return
    began, window, one_at_a_time = time.monotonic(), Window(points), threading.RLock()
    find, known = (total, None) if callable(total) else (None, total)

    def moment() -> Moment:
        with one_at_a_time:
            now, seen = time.monotonic(), dict(look())
            done, before = seen.pop("done", None), seen.pop("before", 0)
            if done is None:
                return Moment(now - began, total=known)
            tokens = seen.pop("tokens", None)
            window.add(now, (done - before, tokens or 0))
            rate, tokens_rate = window.rates(now)
            return Moment(now - began, done, known, rate, tokens_rate if tokens else None, seen)

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

        def tell(figures: Mapping[str, Any]) -> None:
            nonlocal due
            due = math.inf  # the updates are lines enough
            if log:
                log.write("update", replace(moment(), figures={}).as_record() | dict(figures))

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
    """Log how the command ends, once it has."""
    status, said = 0, {}
    try:
        yield
    except BaseException as error:
        status = _status(error)
        said = {"error": str(error)} if status and isinstance(error, Exception) else {}
        raise
    finally:
        log.write("end", last.as_record() | {"status": status} | said)
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
    """Neither draw nor log."""


def _drawing(name: str, unit: str, draws_bar: bool) -> Any:
    """A bar, or lines where there is no terminal that can be drawn on, or no bar may be."""
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
        """Whatever becomes of the terminal, the stage goes on."""
        nonlocal gone
        if gone or moment.seconds < _SHORT:
            return
        texts = "  ".join(moment.texts())
        bar.update(task, total=moment.total, completed=moment.done, texts=texts)
        try:
            bar.start()
            bar.refresh()
        except (OSError, ValueError):  # it is full, or closed
            gone = True

    try:
        yield draw
    finally:
        with suppress(OSError, ValueError):
            bar.stop()
