"""Conventions for units and percent signs in answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Units = Literal["drop", "keep"]
Percent = Literal["drop", "fraction"]


@dataclass(frozen=True, slots=True)
class Conventions:
    r"""The treatment of units and percent signs when answers are compared.

    Args:
        units: "drop" makes `60 \text{ mph}` equal to 60; with "keep", a unit, a currency or a
            degree sign is part of the answer.
        percent: "drop" makes `50\%` equal to 50, "fraction" to 1/2.

    Raises:
        ValueError: a value is none of these.
    """

    units: Units = "drop"
    percent: Percent = "drop"

    def __post_init__(self) -> None:
        for value, allowed in ((self.units, Units), (self.percent, Percent)):
            if value not in get_args(allowed):
                raise ValueError(f"{value!r} is none of {', '.join(get_args(allowed))}")


DEFAULT = Conventions()
