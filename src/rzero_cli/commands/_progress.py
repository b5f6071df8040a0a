"""The progress of a long stage: a bar on a terminal, else a line now and then, and `--log-file`.

A stage counts for itself, in variables of its own, and is looked at from a thread twice a second:
its loop, which may see ten thousand records a second, does nothing for it.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import say, settings_of
from rzero_cli.data.journal import Output
from rzero_cli.errors import UsageError
from rzero_cli.method.filtering import Band, interval
from rzero_cli.system.processes import rank
from rzero_cli.system.progress import MetricsLog, Moment, Window, fitting, means

__all__ = ["interval_of_filter", "kept_by_filter", "means", "progress"]

Look = Callable[[], Mapping[str, float]]
"""How far a stage is: `done` (with what an earlier run had; not there before the work begins),
`before`, where that run's share of it is not known when the work begins, `tokens` generated where a
model works, and the figures that are worth watching."""
Tell = Callable[[Mapping[str, Any]], None]
Draw = Callable[[Moment], None]

_TICK = 0.5  # seconds
_FIRST = 10.0  # seconds until the first line, of what is no terminal
_LONGEST = 300.0  # ... and between two lines, which begin to grow apart at that
_LOGGED = 10.0  # seconds between two lines of --log-file
_PATIENCE = 1.0  # seconds to wait for a terminal that takes nothing
_BAR, _LEAST_BAR = 30, 6  # columns
_SHORT = 1.0  # seconds in which no bar is drawn: what ends sooner would only leave one behind


@contextmanager
def progress(
    ctx: typer.Context,
    total: int | Callable[[], int | None] | None,
    look: Look,
    *,
    unit: str = "",
    title: str | None = None,
    points: int = 8,
    out: Output | None = None,
) -> Iterator[Tell]:
    """Show and log how far a stage is, while the block does its work.

    Args:
        total: what `done` will be in the end, where that is known; or a function that finds out,
            called from the other thread if the stage takes long enough for anybody to see it.
        look: called from another thread, and once more at the end.
        unit: what is counted, in the plural.
        title: the stage's name; by default the command's.
        points: as for `Window`.
        out: where records go; no bar is drawn into them.

    Yields:
        A function that logs figures as a line of their own: those of an update.

    Raises:
        UsageError: the log is another file of this command, or cannot be opened.
    """
    name, options = title or str(ctx.command.name), ctx.params
    log = None if rank() or not options.get("log_file") else _open_log(ctx, name)
    talks = not (options["quiet"] or rank())
    if not talks and log is None:
        yield lambda figures: None
        return
    began, window, one_at_a_time = time.monotonic(), Window(points), threading.RLock()
    find, known = (total, None) if callable(total) else (None, total)

    def moment() -> Moment:
        with one_at_a_time:
            return seen_now()

    def seen_now() -> Moment:
        now, seen = time.monotonic(), dict(look())
        done, before = seen.pop("done", None), seen.pop("before", 0)
        if done is None:
            return Moment(now - began, total=known)
        tokens = seen.pop("tokens", None)
        window.add(now, (done - before, tokens or 0))
        rate, tokens_rate = window.rates(now)
        return Moment(now - began, done, known, rate, tokens_rate if tokens else None, seen)

    last = moment()
    with ExitStack() as stack:
        draw = stack.enter_context(_drawing(name, unit, out)) if talks else lambda moment: None
        due = time.monotonic() + _LOGGED
        if log:
            log.write("start", last.as_record() | {"settings": settings_of(ctx)})

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
                ctx.with_resource(_ending(log, last))


@contextmanager
def _ending(log: MetricsLog, last: Moment) -> Iterator[None]:
    """Log how the command ends, once it has: the output is put in place after the stage's work."""
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
    """The exit status that `cli.run` makes of an error."""
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


def _open_log(ctx: typer.Context, stage: str) -> MetricsLog:
    options = ctx.params
    path = Path(options["log_file"])
    for name, value in options.items():
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if name != "log_file" and isinstance(text, str) and text and _is_same(path, text):
                raise UsageError(f"--log-file {path}: is another file of this command, {name}")
    common = {"stage": stage, "output": options.get("output"), "pid": os.getpid()}

    def notify(message: str) -> None:
        say(f"{ctx.command.name}: {message}", quiet=options["quiet"])

    try:
        return MetricsLog(path, common, notify)
    except OSError as error:
        raise UsageError(f"--log-file {path}: {error.strerror}") from error


def _is_same(path: Path, other: str) -> bool:
    with suppress(OSError, ValueError):  # options hold any text
        return os.path.realpath(path) == os.path.realpath(other)
    return False


# ---------------------------------------------------------------- on standard error


def _drawing(name: str, unit: str, out: Output | None) -> Any:
    """A bar, or lines where there is no terminal that can be drawn on, or it takes the records."""
    if sys.stderr.isatty() and not (out and out.on_terminal):
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            return _bar(name, console)
    return _lines(name, unit)


@contextmanager
def _lines(name: str, unit: str) -> Iterator[Draw]:
    due = _FIRST

    def draw(moment: Moment) -> None:
        nonlocal due
        if moment.seconds >= due:
            due = moment.seconds + min(moment.seconds, _LONGEST)
            say(f"{name}: {', '.join(text for _, text in moment.texts(unit))}")

    yield draw


@contextmanager
def _bar(name: str, console: Any) -> Iterator[Draw]:
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    live = Live(console=console, auto_refresh=False)
    gone = False

    def draw(moment: Moment) -> None:
        """Whatever becomes of the terminal, the stage goes on."""
        nonlocal gone
        if gone or moment.seconds < _SHORT:
            return
        width = console.width - 1 - len(name)
        texts = fitting(moment.texts(), width - _LEAST_BAR - 2)
        room = min(_BAR, width - 2 - sum(len(text) + 2 for text in texts))
        row: list[Any] = [name, *texts]
        if moment.total and moment.done is not None and room >= _LEAST_BAR:
            row.insert(1, ProgressBar(moment.total, moment.done, width=room))
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in row:
            table.add_column(no_wrap=True)
        table.add_row(*row)
        try:
            live.start()
            live.update(table, refresh=True)
        except (OSError, ValueError):  # it is full, or closed
            gone = True

    try:
        yield draw
    finally:
        with suppress(OSError, ValueError):
            live.stop()


# ---------------------------------------------------------------- figures


def interval_of_filter(ctx: typer.Context) -> Band:
    """Of p_hat, what `rzero filter` would keep with the preset and configuration of this command.

    Raises:
        UsageError: the configuration has no numbers there.
    """
    values = {name: str(value) for name, value in opt.values_of(ctx, "filter").items()}
    try:
        return interval(values["delta"], values.get("low"), values.get("high"))
    except UsageError as error:
        raise UsageError(f"filter: {error}") from error


def kept_by_filter(ctx: typer.Context) -> Callable[[str | None, float], bool]:
    """Whether `rzero filter` would keep a question, by its label and `p_hat`. Raises as above."""
    low, high = map(float, interval_of_filter(ctx))
    return lambda answer, p_hat: answer is not None and low <= p_hat <= high
