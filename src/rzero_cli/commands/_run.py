"""What every command does around its work: input from a terminal, settings, messages."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from rzero_cli.data.shards import WHOLE, Shard
from rzero_cli.engines import derived_seed
from rzero_cli.system.processes import rank
from rzero_cli.system.secrets import redact
from rzero_cli.system.terminal import printable

__all__ = [
    "Clock",
    "check_served",
    "parents_of",
    "part_seed",
    "print_json",
    "say",
    "settings_of",
    "stdin_or_help",
]

_PROMPT_FILES = ("prompt_file", "solver_prompt_file")
# What a result does not depend on.
_NOT_SETTINGS = {
    "ctx",
    "output",
    "resume",
    "force",
    "quiet",
    "rejects",
    "strict",
    "config",
    "dry_run",
    "as_json",
    "price",
    "log_samples",
    "log_file",
    "report_to",
    "endpoint",
    "solver_endpoint",
    "judge_endpoint",
    "oracle_endpoint",
    "tensor_parallel_size",
    "data_parallel_size",
    "gpu_memory_utilization",
    "rollout_endpoint",
    "rollout_memory",
    "rollout_tensor_parallel_size",
    "accelerate",
}


def settings_of(ctx: typer.Context) -> dict[str, Any]:
    """Every option that the result of this command depends on."""
    options = ctx.params
    # Which lines are skipped depends on it.
    strict = {"strict": options["strict"]} if options.get("on_error") == "skip" else {}
    named = [name for name in _PROMPT_FILES if options.get(name)]
    prompts = {f"{name}_sha256": _text_hash(options[name]) for name in named}
    return {n: options[n] for n in options if n not in _NOT_SETTINGS} | strict | prompts


def _text_hash(name: str) -> str:
    import hashlib  # `filter` starts without

    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def check_served(option: str, model: str | None, how: Mapping[str, Any]) -> str | None:
    """Check a MODEL that `engines.open_engine` is to open with `how`.

    A server calls its models as it likes, and need not be asked for one where it has only one.

    Raises:
        UsageError, RzeroError: as `engines.models.check_model`.
    """
    from rzero_cli.engines.models import check_model  # `filter` starts without

    return model if how["endpoints"] else check_model(option, model, engine=how["name"])


def parents_of(model: str | None, how: Mapping[str, Any]) -> list[str]:
    """What a record of origin calls the model that `how` opens."""
    if how["endpoints"]:
        return [f"{model or 'the only model'} at {how['endpoints'][0]}"]
    return [str(model)]


def part_seed(seed: int, part: Shard) -> int:
    """The seed of one part of the work: no two parts draw alike."""
    return seed if part == WHOLE else derived_seed(seed, part.index, part.count)


def stdin_or_help(ctx: typer.Context, files: list[str] | None) -> list[str]:
    """The input files; where it would be a terminal's keyboard, print the help and stop."""
    if not files and sys.stdin is not None and sys.stdin.isatty():
        typer.echo(ctx.get_help())
        raise typer.Exit(2)
    return files or ["-"]


def say(message: str, *, quiet: bool = False) -> None:
    """One line for the person, on standard error, from the first of several processes."""
    if not quiet and not rank():
        with suppress(OSError):  # what cannot be said is no reason not to go on
            print(printable(redact(message)), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """A line of JSON on standard output, whatever the text in it does to a terminal."""
    typer.echo(json.dumps(value).replace("\x7f", r"\u007f"))  # the rest of it is ASCII as it is


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
