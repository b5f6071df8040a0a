"""The `rzero` command: its subcommands, and every ending turned into a status and a line."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from rzero_cli.commands.challenge import challenge
from rzero_cli.commands.env import env
from rzero_cli.commands.eval import eval_
from rzero_cli.commands.filter import filter_
from rzero_cli.commands.grade import grade
from rzero_cli.commands.init import init
from rzero_cli.commands.label import label
from rzero_cli.commands.report import report
from rzero_cli.commands.sample import sample
from rzero_cli.commands.score import score
from rzero_cli.commands.tiny_base import tiny_base
from rzero_cli.commands.train_solver import train_solver
from rzero_cli.errors import RzeroError

LOOP, SINGLE, LOOKING, SETTING_UP = (
    "The loop",
    "Single stages for other pipelines",
    "Looking",
    "Setting up",
)

COMMANDS: list[tuple[str, str, Callable[..., Any]]] = [
    (LOOP, "challenge", challenge),
    (LOOP, "sample", sample),
    (LOOP, "label", label),
    (LOOP, "filter", filter_),
    (LOOP, "train-solver", train_solver),
    (LOOP, "eval", eval_),
    (SINGLE, "score", score),
    (SINGLE, "grade", grade),
    (LOOKING, "report", report),
    (SETTING_UP, "tiny-base", tiny_base),
    (SETTING_UP, "init", init),
    (SETTING_UP, "env", env),
]


def _unwrapped(function: Callable[..., Any]) -> str:
    """A docstring with the line breaks inside its paragraphs taken out, for the help page."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


app = typer.Typer(
    name="rzero",
    help="Self-evolving language models as Unix-style stages (R-Zero, arXiv 2508.05004).",
    epilog="The whole loop on one machine: rzero init DIR && make -C DIR demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for panel, name, function in COMMANDS:
    app.command(name, rich_help_panel=panel, help=_unwrapped(function))(function)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rzero {version('rzero-cli')}")
        raise typer.Exit


@app.callback()
def root(
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
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(arguments, prog_name="rzero", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except (RzeroError, typer.TyperException, OSError) as error:
        if debug:
            raise
        return _report(error)
    return status if isinstance(status, int) else 0


def _report(error: Exception) -> int:
    """Print the one line that an error is worth; returns its exit status."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message, code = f"{where}{error.strerror or error}", 1
    elif isinstance(error, RzeroError):
        message, code = str(error), error.exit_code
    else:
        formatter = getattr(error, "format_message", None)
        message, code = formatter() if formatter else str(error), 2
    if message:
        print(f"rzero: {message}", file=sys.stderr)
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # As an exception, so that journals are closed and children ended on the way out.
    raise SystemExit(128 + number)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
