"""`@command`: turns a function of option groups into a typer command.

Every parameter of a command is a group (`fields.py`), except one of type `Call`. The fields of all
groups become typer options. `precedence.py` sets their defaults, typer parses the command line, and
the function receives the groups with their values. The decorated function builds the typer command
when it is called, so presets are read only then.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, is_dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from rzero_cli.errors import UsageError
from rzero_cli.fields import Mark, mark_of
from rzero_cli.options import presets
from rzero_cli.options.file_groups import Quiet
from rzero_cli.options.precedence import chosen_options, layers_of, typed_options
from rzero_cli.system.messages import say
from rzero_cli.system.stopwatch import Stopwatch

G = TypeVar("G")


@dataclass(frozen=True)
class Call:
    """One invocation of a command: its name and its options as a whole."""

    command: str
    groups: Mapping[str, Any]
    """The option groups with their values, by parameter name."""
    quiet: bool
    """Print only errors."""
    log_file: str | None
    """The path of the metrics log, if one is written."""
    output: str | None
    """The value of -o, if the command writes a single file."""
    typed: frozenset[str]
    """The options given on the command line."""
    chosen: frozenset[str]
    """The options given on the command line, in the environment or in rzero.toml."""
    layers: list[presets.Layer]
    """The presets and rzero.toml, lowest precedence first."""
    help: Callable[[], str]
    at_end: ExitStack
    """Closed when the command ends, even by an error."""
    began: float = dataclasses.field(default_factory=time.monotonic)
    spent: Stopwatch = dataclasses.field(default_factory=Stopwatch)
    """The command's time by activity."""

    @property
    def seconds(self) -> float:
        """Seconds since the command started."""
        return time.monotonic() - self.began

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The options that the result depends on, for the record of origin."""
        return self._settings(lambda mark: True)

    @cached_property
    def compared(self) -> dict[str, Any]:
        """The settings that must be unchanged for `--resume`."""
        return self._settings(lambda mark: mark.compared)

    def refused(self, names: list[str]) -> list[str]:
        """Return which of these changed settings forbid `--resume`; report the others if none
        does."""
        accepted = self._settings(lambda mark: mark.resamples)
        wrong = [name for name in names if name not in accepted]
        for name in [] if wrong else names:
            self.say(
                f"--{name.replace('_', '-')} differs from the interrupted run: the remaining "
                "records may be sampled differently"
            )
        return wrong

    def _settings(self, wanted: Callable[[Mark], bool]) -> dict[str, Any]:
        found, contents = dict[str, Any](), dict[str, str]()
        for group in self.groups.values():
            for name, field, kind in fields_of(type(group)):
                mark, value = mark_of(field), getattr(group, name)
                if value is None and kind == list[str] | None:
                    value = []  # a repeatable option that was not given
                recorded = mark.recorded
                if not (recorded(group) if callable(recorded) else recorded) or not wanted(mark):
                    continue
                found[name] = value
                if mark.is_file and value:
                    contents[f"{name}_sha256"] = _content_hash(value)
        return found | contents

    def group(self, kind: type[G], command: str) -> G:
        """Return a group with the values that the presets and rzero.toml set for `command`."""
        given = presets.merge(self.layers, command)
        values = {}
        for name, field, kind_of in fields_of(kind):
            default = None if mark_of(field).preset else field.default
            value = given.get(name, default)
            # As text a TOML number stays exact: 0.25 becomes "0.25".
            is_text = value is not None and kind_of in (str, str | None)
            values[name] = str(value) if is_text else value
        return kind(**values)

    def value(self, name: str) -> Any:
        """Return the value of one of the command's options."""
        return next(vars(g)[name] for g in self.groups.values() if name in vars(g))

    def words(self, kind: type) -> list[str]:
        """Return those options of a group that were typed, as words of a command line."""
        found = list[str]()
        for name, field, _ in fields_of(kind):
            if name not in self.typed:
                continue
            flag, *off = (mark_of(field).flags or (_flag(name),))[-1].split("/")
            value = self.value(name)
            if isinstance(value, bool):
                found.append(flag if value else off[0])
                continue
            for one in value if isinstance(value, list) else [value]:
                found += [flag, str(one)]
        return found

    def say(self, message: str) -> None:
        """Print one line to standard error, prefixed with the command's name, unless `--quiet`."""
        say(f"{self.command}: {message}", quiet=self.quiet)

    def naming(self, path: Path, *, but: str) -> str | None:
        """Return the name of an option, other than `but`, whose value is the file `path`."""
        given = chain.from_iterable(vars(group).items() for group in self.groups.values())
        for name, value in given:
            texts = value if isinstance(value, list) else [value]
            for text in texts if name != but else ():
                with suppress(OSError, ValueError):  # options hold any text
                    text = text if isinstance(text, str) else ""
                    if text and os.path.realpath(text) == os.path.realpath(path):
                        return str(name)
        return None

    def stdin_or_help(self, files: list[str] | None) -> list[str]:
        """Return the input files; if that would be a terminal, print the help and exit."""
        if not files and sys.stdin is not None and sys.stdin.isatty():
            typer.echo(self.help())
            raise typer.Exit(2)
        return files or ["-"]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _content_hash(name: str) -> str:
    import hashlib  # slow import that `filter` avoids

    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def fields_of(kind: type) -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Yield name, field and type of each option of a group."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        yield field.name, field, hints[field.name]


def command(
    name: str, general: type[Quiet] | None = None
) -> Callable[[Callable[..., None]], Callable[[], Callable[..., None]]]:
    """Decorate a function of option groups as the command `name`.

    Args:
        general: a group of options that the function reads through `Call` instead of a parameter.
    """

    def make(function: Callable[..., None]) -> Callable[..., None]:
        kinds = get_type_hints(function)
        takes_call = kinds.pop("call", None) is not None
        groups: dict[str, Any] = {n: kind for n, kind in kinds.items() if is_dataclass(kind)}
        groups |= {"general": general} if general else {}

        def run(ctx: typer.Context, **values: Any) -> None:
            for option, value in values.items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise UsageError(f"--{option.replace('_', '-')} {value}: must be finite")
            built = {
                parameter: kind(**{o.name: values[o.name] for o in dataclasses.fields(kind)})
                for parameter, kind in groups.items()
            }
            output = values.get("output")
            with ExitStack() as at_end:
                call = Call(
                    command=name,
                    groups=dict(built),
                    quiet=values.get("quiet", False),
                    log_file=values.get("log_file"),
                    output=output if isinstance(output, str) else None,  # `report` writes several
                    typed=typed_options(ctx),
                    chosen=chosen_options(ctx),
                    layers=layers_of(ctx),
                    help=ctx.get_help,
                    at_end=at_end,
                )
                built.pop("general", None)
                function(**({"call": call} if takes_call else {}), **built)

        options = [
            _parameter(name, kind, option, field, of)
            for kind in groups.values()
            for option, field, of in fields_of(kind)
        ]
        context = inspect.Parameter(
            "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        run.__signature__ = inspect.Signature([context, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [context, *options]}
        run.__doc__, run.__name__, run.__module__ = function.__doc__, name, function.__module__
        return run

    return lambda function: partial(make, function)


def _parameter(
    command: str, group: Any, name: str, field: dataclasses.Field[Any], kind: Any
) -> inspect.Parameter:
    """Return one option or argument as typer declares it."""
    mark = mark_of(field)
    default = None if mark.preset else field.default
    text = mark.help() if callable(mark.help) else mark.help
    if mark.is_argument:
        declared: Any = typer.Argument(help=text, **mark.more)
    else:
        shown = mark.shown
        if mark.preset:
            value = presets.preset_value(command, name)
            shown = mark.shown if value is None else str(value)
        declared = typer.Option(
            *(mark.flags or (_flag(name),)),
            help=text,
            rich_help_panel=mark.panel or group.PANEL,
            show_default=shown,
            **mark.more,
        )
    if default is dataclasses.MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, declared],
    )
