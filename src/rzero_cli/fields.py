"""How a field of a settings dataclass becomes an option: what its mark says.

A *group* is a frozen dataclass of options that belong together; its PANEL is their heading in
`--help`. It lives where its values are used (`training/settings.py`, `options/`), and each of its
fields is declared once, with `option` or `argument`. `options/command.py` turns groups into a
command line; what a record of origin holds and what `--resume` compares follow from the marks, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

PRESET: Any = object()
"""Stands for a default that the presets give (`options/presets.toml`)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What is to be known of one option."""

    help: str | Callable[[], str]
    """A function where it takes reading a file."""
    flags: tuple[str, ...]
    """As typed, such as ("-o", "--output"); of none, the field's name makes one."""
    panel: str | None
    """Heading in `--help`, instead of the group's."""
    shown: str | bool
    """Default as `--help` shows it; True is the value itself, False shows none."""
    more: dict[str, Any]
    """Further arguments of typer's Option or Argument: min, max, envvar, metavar, callback."""
    is_argument: bool = False
    preset: bool = False
    """Whether the value comes from the preset where nothing else gives one."""
    recorded: bool | Callable[[Any], bool] = True
    """Whether a result's record has it: whether the result depends on it. A function decides by the
    group's values."""
    compared: bool = True
    """Whether `--resume` refuses another value. Only memory and speed depend on those that are
    recorded and not compared."""
    resamples: bool = False
    """Whether `--resume` accepts another value where records are sampled one by one, and says so:
    which samples come depends on it, and nothing else."""
    is_file: bool = False
    """Whether it names a file whose content the result depends on."""


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
        help: one line for `--help`, or what returns it.
        flags: as typed; by default the field's name with dashes.
        default: the value where nothing else gives one; left out, it is the preset's. With
            `dataclasses.MISSING` the option must be given.
        panel: heading in `--help`, instead of the group's.
        unset: what `--help` shows as the default of an option that has none, such as "off"; True
            for the value itself.
        recorded, compared, resamples, is_file: as in `Mark`.
        more: min, max, envvar, metavar, callback, is_eager, as typer takes them.
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
    """Declare a field that is a positional argument; without a default it must be given."""
    mark = Mark(help, (), None, False, {"metavar": metavar}, is_argument=True)
    return dataclasses.field(default=default, metadata={_MARK: mark})


_MARK = "rzero_option"


def mark_of(field: dataclasses.Field[Any]) -> Mark:
    """Return the mark of a group's field."""
    mark: Mark = field.metadata[_MARK]
    return mark
