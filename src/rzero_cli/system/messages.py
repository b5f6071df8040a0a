"""What a person is told: lines on standard error, and JSON on standard output."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from rzero_cli.system.processes import rank
from rzero_cli.system.secrets import redact
from rzero_cli.system.terminal import printable


def say(message: str, *, quiet: bool = False) -> None:
    """Print one line on standard error; of several processes only rank 0 does."""
    if not quiet and not rank():
        with suppress(OSError):  # what cannot be said is no reason not to go on
            print(printable(redact(message)), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print a line of JSON on standard output, whatever the text in it does to a terminal."""
    # JSON escapes all control characters but DEL, and all that is not ASCII.
    print(json.dumps(value).replace("\x7f", r"\u007f"), flush=True)
