"""The `rzero` command: its subcommands, and one exit status and error line for every failure."""

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

import rzero_cli
from rzero_cli.errors import RzeroError
from rzero_cli.system.processes import rank
from rzero_cli.system.secrets import redact
from rzero_cli.system.terminal import printable


class Command(NamedTuple):
    """A subcommand; its module is imported only when the command is run."""

    name: str
    panel: str
    summary: str
    """The first line of its help, for the list of commands."""


_PANELS = {
    "The loop": {
        "challenge": (
            "Train the Challenger with GRPO to generate questions the Solver is uncertain about."
        ),
        "sample": "Sample N completions from a Challenger and keep the questions.",
        "label": "Sample m Solver answers per question and take the majority as the label.",
        "filter": "Keep the questions the Solver is uncertain about; drop easy and hopeless ones.",
        "train-solver": "Train the Solver with GRPO on questions and their pseudo-labels.",
        "eval": "Evaluate a model: greedy pass@1, mean@k and maj@k, with 95 % intervals.",
    },
    "Single stages for other pipelines": {
        "score": "Compute the Challenger's reward for each question, with its components.",
        "vote": "Label questions by majority vote over existing answers, without a model.",
        "grade": "Check whether each answer is equivalent to its reference.",
        "oracle": "Add true answers to questions: from a file, from a stronger model, or computed.",
        "merge": "Merge a LoRA adapter into its base model, for tools that cannot load adapters.",
    },
    "Analysis": {
        "stats": "Report the difficulty and diversity of questions and labels, file by file.",
        "compare": (
            "Compare evaluations question by question: differences, intervals, McNemar's test."
        ),
        "report": "Summarize a run: scores with intervals, label accuracy, difficulty, time.",
        "guard": "Check whether a run has started to collapse, and which Solver to ship.",
        "lineage": "Trace an artefact back to the base model and list what has changed since.",
    },
    "Setup": {
        "preflight": "Check whether a run fits this machine, and project its time and cost.",
        "tiny-base": "Pre-train a small base model on this machine, with held-out questions.",
        "init": "Write the loop's Makefile and an rzero.toml into a folder, to run and adapt.",
        "env": "Show the versions, devices, engines and settings that rzero finds.",
    },
}
COMMANDS = tuple(
    Command(name, panel, summary)
    for panel, summaries in _PANELS.items()
    for name, summary in summaries.items()
)


def build(wanted: str | None = None) -> typer.Typer:
    """Build the application: only `wanted` in full, the others by name; without it, all in full.

    Importing and converting every command would take longer than `filter` runs.
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
    """Return a subcommand's function, and its docstring without line breaks inside paragraphs.

    The function is named after its module, with a trailing `_` if that is a Python builtin.
    """
    name = command.name.replace("-", "_")
    module = import_module(f"rzero_cli.commands.{name}")
    function = getattr(module, f"{name}_" if hasattr(builtins, name) else name)()
    paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
    return function, "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _by_name_alone() -> None:
    raise AssertionError("only the requested command is built in full")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rzero {rzero_cli.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="RZERO_DEBUG")
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0, 1, 2, 130 or 143.

    `help COMMAND` is `COMMAND --help`.
    """
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    debug = "--debug" in arguments or bool(os.environ.get("RZERO_DEBUG"))
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # ignored under nohup or `&`
        signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    named = next((word for word in arguments if not word.startswith("-")), "")
    try:
        status = build(named)(arguments, prog_name="rzero", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        # Typer exits this way if the reader of the help has closed the pipe.
        if isinstance(end.__context__, BrokenPipeError):
            return 0
        raise
    except MemoryError:
        if debug:
            _show_traceback()
        return _report(RzeroError("out of memory: use a smaller batch or input, or more memory"))
    except (RzeroError, typer.TyperException, OSError) as error:
        if debug:
            _show_traceback()
        return _report(error)
    except Exception:
        _show_traceback()
        return 1
    return status if isinstance(status, int) else 0


_OTHERS_END = 10.0
"""Seconds within which the launcher ends the other ranks after one has failed."""


def _report(error: Exception) -> int:
    """Print an error as one line and return its exit status."""
    if isinstance(error, OSError):
        # Writes to a file set `filename`: an unnamed full disk is standard output's.
        unnamed = "standard output: " if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else unnamed
        message, code = f"{where}{error.strerror or error}", 1
    elif isinstance(error, RzeroError):
        message, code = str(error), error.exit_code
    else:
        formatter = getattr(error, "format_message", None)
        message, code = formatter() if formatter else str(error), 2
    if rank() and code:
        # Rank 0 reports errors that all ranks hit: the launcher then ends this rank while it waits.
        # An error that only this rank hit is still unreported after the wait.
        time.sleep(_OTHERS_END)
        message = f"process {rank()}: {message}"
    if message and (code or not rank()):
        with suppress(OSError):  # standard error may be on the full disk
            print(f"rzero: {printable(redact(message))}", file=sys.stderr, flush=True)
    return code


def _show_traceback() -> None:
    """Print the current traceback, redacted and escaped: it may quote keys or model output."""
    import traceback

    text = redact(traceback.format_exc())
    print(printable(text, lines=True), end="", file=sys.stderr)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Raise instead of exiting, so that journals are closed and children ended.

    A second SIGTERM, as `timeout` sends, is ignored; a second Ctrl-C ends the process at once.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _open_closed_streams() -> None:
    """Point closed standard streams at /dev/null.

    Otherwise the next opened file would get their number, and prints would end up in its records.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            os.set_inheritable(descriptor, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 # open until exit


def main() -> None:
    """Run the command line of this process."""
    _open_closed_streams()
    # TRL reports every training to the hub; the hub's library reads this when imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    status = run(sys.argv[1:])
    # All output is complete: ignore signals while the interpreter shuts down.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if "vllm" in sys.modules:
        gc.unfreeze()  # its libraries print a report of every object left uncollected at exit
    else:  # saves the second that collecting all imported objects takes at exit
        gc.freeze()
    sys.exit(status)
