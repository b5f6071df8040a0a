"""`rzero warm`: pay for the imports once."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from rzero_cli.errors import UsageError
from rzero_cli.system.messages import say
from rzero_cli.warm import serve


def warm(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="Any command, with its arguments."),
    ],
) -> None:
    """Run a command below which every rzero starts at once, with the imports paid for once.

    For many short stages of a small model, each of which spends seconds on importing torch. What
    they write is the same. A stage whose environment has other variables for libraries starts as
    ever; on systems other than Linux, and with vLLM, all do.

    [bold]Examples[/]

      rzero warm make demo

      rzero warm sh my-pipeline.sh
    """
    if shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]}: no such command")
    raise typer.Exit(serve(command, say))
