"""Groups of options with a preset's values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from rzero_cli.fields import mark_of
from rzero_cli.options.presets import preset_value

G = TypeVar("G")


def group(kind: type[G], command: str = "train-solver", preset: str = "paper", **given: Any) -> G:
    """Return a group of `command` with its preset's values, except for those `given`."""
    values = {
        field.name: preset_value(command, field.name, preset)
        for field in fields(kind)  # type: ignore[arg-type]
        if mark_of(field).preset
    }
    return kind(**(values | given))
