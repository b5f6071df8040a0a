"""Messages to the user: lines on standard error, and JSON on standard output."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from rzero_cli.system.processes import rank
from rzero_cli.system.secrets import redact
from rzero_cli.system.terminal import printable


def say(message: str, *, quiet: bool = False) -> None:
    """Print one line on standard error, on rank 0 only; secrets and control characters escaped."""
    if not quiet and not rank():
        with suppress(OSError):  # a message that cannot be printed must not end the run
            print(printable(redact(message)), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print a line of JSON on standard output, safe for a terminal."""
    # JSON escapes non-ASCII and all control characters except DEL.
    print(json.dumps(value).replace("\x7f", r"\u007f"), flush=True)
