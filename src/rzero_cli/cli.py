"""The `rzero` command: its subcommands, and every ending turned into a status and a line."""

from __future__ import annotations

import builtins
import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from inspect import cleandoc
from types import FrameType
from typing import Annotated, NamedTuple, NoReturn

import typer

from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import rank
from rzero_cli.system.secrets import redact
from rzero_cli.system.terminal import printable


class Command(NamedTuple):
    """A subcommand; its module is imported only when it is asked for."""

    name: str
    panel: str
    summary: str
    """The first line of its help, for the list of all."""


_PANELS = {
    "The loop": {
        "challenge": "Train the Challenger with GRPO to ask what the frozen Solver is unsure of.",
        "sample": "Draw N completions from a Challenger and keep the questions.",
        "label": "Let the Solver answer each question m times and take the majority as the label.",
        "filter": "Keep the questions the Solver is unsure of; drop the easy and the hopeless.",
        "train-solver": "Train the Solver with GRPO on questions and their pseudo-labels.",
        "eval": "Examine a model: pass@1 greedy, mean@k by sampling, maj@k, with 95 % intervals.",
    },
    "Single stages for other pipelines": {
        "score": "Give each question the reward its Challenger would get, part by part.",
        "vote": "Label without a model: the majority over the answers that are there already.",
        "grade": "Say of each answer whether it is equivalent to the reference.",
        "oracle": (
            "Add the true answer of each question: from a file, a stronger model, or computed."
        ),
        "merge": (
            "Write an adapter into its base: an ordinary checkpoint, for what takes no adapters."
        ),
    },
    "Looking": {
        "stats": "Show how difficult and how different questions and labels are, file beside file.",
        "compare": (
            "Compare evaluations question by question: differences, intervals, McNemar's test."
        ),
        "report": "Show what happened in a run: scores with intervals, labels, difficulty, time.",
        "guard": "Say whether a run has begun to collapse, and which of its Solvers to ship.",
        "lineage": (
            "Show where an artefact came from, back to the base model, and what has changed since."
        ),
    },
    "Setting up": {
        "tiny-base": (
            "Make a small base model by pre-training it here, with its held-out questions."
        ),
        "init": (
            "Write the loop's Makefile and an rzero.toml into a folder, to run and to recompose."
        ),
        "env": "Show the versions, devices, engines and settings that rzero finds here.",
    },
}
COMMANDS = tuple(
    Command(name, panel, summary)
    for panel, summaries in _PANELS.items()
    for name, summary in summaries.items()
)


def build(wanted: str | None = None) -> typer.Typer:
    """The application: with `wanted` in full and the others by name alone, or all in full.

    What is imported and converted for one command would take longer than `filter` does.
    """
    app = typer.Typer(
        name="rzero",
        help="Self-evolving language models as Unix-style stages (R-Zero, arXiv 2508.05004).",
        epilog="The whole loop on one machine: rzero init DIR && make -C DIR demo",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    for command in COMMANDS:
        function, text = _by_name_alone, command.summary
        if wanted in (None, command.name):
            function, text = _load(command)
        app.command(command.name, rich_help_panel=command.panel, help=text)(function)
    return app


def _load(command: Command) -> tuple[Callable[..., None], str]:
    """Return a subcommand's function, and its docstring without the breaks inside paragraphs.

    It has its module's name, with a `_` behind where that is a name of Python's own.
    """
    name = command.name.replace("-", "_")
    module = import_module(f"rzero_cli.commands.{name}")
    function = getattr(module, f"{name}_" if hasattr(builtins, name) else name)()
    paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
    return function, "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _by_name_alone() -> None:
    raise AssertionError("this command was listed, and another one asked for")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rzero {version('rzero-cli')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="RZERO_DEBUG")
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit status: 0, 1, 2, 130 or 143."""
    debug = "--debug" in arguments or bool(os.environ.get("RZERO_DEBUG"))
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as of what nohup or `&` has begun
        signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    named = next((word for word in arguments if not word.startswith("-")), "")
    try:
        status = build(named)(arguments, prog_name="rzero", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        # Typer's own ending when whoever reads the help has left.
        if isinstance(end.__context__, BrokenPipeError):
            return 0
        raise
    except MemoryError:
        if debug:
            _show_traceback()
        return _report(RzeroError("out of memory: give it less at a time, or a machine with more"))
    except (RzeroError, typer.TyperException, OSError) as error:
        if debug:
            _show_traceback()
        return _report(error)
    except Exception:
        _show_traceback()
        return 1
    return status if isinstance(status, int) else 0


_OTHERS_END = 10.0
"""Seconds in which the launcher has ended the other processes after the failure of one."""


def _report(error: Exception) -> int:
    """Print the one line that an error is worth; returns its exit status."""
    if isinstance(error, OSError):
        # Whatever writes to a file says its name.
        unnamed = "standard output: " if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else unnamed
        message, code = f"{where}{error.strerror or error}", 1
    elif isinstance(error, RzeroError):
        message, code = str(error), error.exit_code
    else:
        formatter = getattr(error, "format_message", None)
        message, code = formatter() if formatter else str(error), 2
    if rank() and code:
        # Of processes begun together the first one talks. What all have met ends this one while it
        # waits, since the launcher ends all when one has failed; what it met alone it says itself.
        time.sleep(_OTHERS_END)
        message = f"process {rank()}: {message}"
    if message and (code or not rank()):
        with suppress(OSError):  # it may be standard error that is full
            print(f"rzero: {printable(redact(message))}", file=sys.stderr, flush=True)
    return code


def _show_traceback() -> None:
    """Print the traceback of what is being handled: it can quote what others have written."""
    import traceback

    text = redact(traceback.format_exc())
    print(printable(text, lines=True), end="", file=sys.stderr)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End as an exception, so that journals are closed and children ended on the way out.

    Another SIGTERM, as `timeout` sends, does not disturb that; another Ctrl-C ends at once.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _open_closed_streams() -> None:
    """Give the number of a closed standard stream to nothing: the next file that is opened would
    have it, and what is printed there would go among its records."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(descriptor, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 # as long as the process


def main() -> None:
    """Run the command that this process was begun with."""
    _open_closed_streams()
    # TRL tells the hub of every training; it is read when the hub's library is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    status = run(sys.argv[1:])
    # All is done or kept: from now on a signal has nobody to disturb.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if "vllm" in sys.modules:
        gc.unfreeze()  # its libraries print a report of all that is not collected at the end
    else:  # the interpreter would look for garbage among all that was imported, for a second
        gc.freeze()
    sys.exit(status)
