"""Declarations of command-line options as dataclass fields.

A *group* is a frozen dataclass of related options; its PANEL is their heading in `--help`. It lives
where its values are used (`training/settings.py`, `options/`). Each field is declared once, with
`option` or `argument`, which attach a `Mark`. `options/command.py` turns groups into a command
line; the marks also decide what a record of origin holds and what `--resume` compares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

PRESET: Any = object()
"""Marks an option whose default comes from the presets (`options/presets.toml`)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """The properties of one option."""

    help: str | Callable[[], str]
    """The help text; a function if it needs to read a file."""
    flags: tuple[str, ...]
    """The flags as typed, such as ("-o", "--output"); if empty, derived from the field's name."""
    panel: str | None
    """Heading in `--help`, instead of the group's."""
    shown: str | bool
    """Default shown in `--help`: a text, True for the value itself, False for none."""
    more: dict[str, Any]
    """Further arguments of typer's Option or Argument: min, max, envvar, metavar, callback."""
    is_argument: bool = False
    preset: bool = False
    """The default comes from the preset."""
    recorded: bool | Callable[[Any], bool] = True
    """The result depends on this option, so the record of origin includes it. A function decides
    from the group's values."""
    compared: bool = True
    """`--resume` refuses a different value. An option that is recorded but not compared affects
    only memory and speed."""
    resamples: bool = False
    """`--resume` accepts a different value and reports it, in stages that sample records one by
    one: the option changes only which samples come next."""
    is_file: bool = False
    """The option names a file whose content affects the result."""


def option(
    help: str | Callable[[], str],
    *flags: str,
    default: Any = PRESET,
    panel: str | None = None,
    unset: str | bool | None = None,
    recorded: bool | Callable[[Any], bool] = True,
    compared: bool = True,
    resamples: bool = False,
    is_file: bool = False,
    **more: Any,
) -> Any:
    """Declare a field that is an option.

    Args:
        help: one line for `--help`, or a function that returns it.
        flags: the flags as typed; by default the field's name with dashes.
        default: the default value; if omitted, the preset's. `dataclasses.MISSING` makes the
            option required.
        panel: heading in `--help`, instead of the group's.
        unset: the default shown in `--help` if the option has no value, such as "off"; True shows
            the value itself.
        recorded, compared, resamples, is_file: as in `Mark`.
        more: min, max, envvar, metavar, callback, is_eager, passed to typer.
    """
    preset = default is PRESET
    shown = unset if unset is not None else ("off" if preset else False)
    mark = Mark(
        help,
        flags,
        panel,
        shown,
        more,
        preset=preset,
        recorded=recorded,
        compared=compared,
        resamples=resamples,
        is_file=is_file,
    )
    return dataclasses.field(
        default=dataclasses.MISSING if preset else default, metadata={_MARK: mark}
    )


def argument(help: str, *, metavar: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that is a positional argument, required unless it has a default."""
    mark = Mark(help, (), None, False, {"metavar": metavar}, is_argument=True)
    return dataclasses.field(default=default, metadata={_MARK: mark})


_MARK = "rzero_option"


def mark_of(field: dataclasses.Field[Any]) -> Mark:
    """Return the mark of a field."""
    mark: Mark = field.metadata[_MARK]
    return mark
