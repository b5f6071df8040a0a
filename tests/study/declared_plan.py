"""The declared plan of the study: its runs and the comparisons between them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MEASURES", "Comparison", "Part", "Plan", "read_plan"]

MEASURES = ("mean_at_k", "greedy", "maj_at_k", "label_accuracy")


@dataclass(frozen=True)
class Part:
    """Chains of iterations to run on each of several bases."""

    name: str
    chains: list[str]
    iterations: int
    bases: list[int]
    difficulty: bool = False
    """Run `make difficulty` as well."""
    guard: bool = False
    """Evaluate each Solver of the loop on the probe, and record the verdicts of the guards."""
    solver_flags: str = ""
    """Further options of `train-solver`. The loop then has a separate run, and its arm has the
    part's name."""

    @property
    def arms(self) -> list[str]:
        """The names of its models, without the iteration."""
        return [self.name] if self.solver_flags else self.chains


@dataclass(frozen=True)
class Comparison:
    """Model `a` minus model `b`, paired by base. A model is "base" or "ARM/K"."""

    name: str
    a: str
    b: str
    measure: str
    primary: bool = False
    """Part of the family that is tested together."""


@dataclass(frozen=True)
class Plan:
    size: str
    """The size of the base models, as in `rzero tiny-base --size`."""
    development: list[int]
    """The bases on which settings and the plan were chosen; no part uses them."""
    parts: list[Part]
    """The first is the main one; `ten`, `collapse` and `controls` have their own tables."""
    comparisons: list[Comparison]


def read_plan(path: Path) -> Plan:
    """Read a plan file; every table except `development` is a part, in order.

    Raises:
        TypeError, ValueError: a key is missing or unknown; a part has a development base.
    """
    found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    comparisons = [Comparison(**one) for one in found.pop("comparison", [])]
    size, development = found.pop("size"), found.pop("development")
    parts = [Part(name=name, **of) for name, of in found.items()]
    for part in parts:
        if part.solver_flags and part.chains != ["trained"]:
            raise ValueError(f'{path}: {part.name}: solver_flags requires chains = ["trained"]')
        if chosen_on := {*part.bases} & {*development["bases"]}:
            raise ValueError(
                f"{path}: {part.name}: bases {sorted(chosen_on)} are development bases"
            )
    for comparison in comparisons:
        if comparison.measure not in MEASURES:
            raise ValueError(f"{path}: unknown measure {comparison.measure!r}; known: {MEASURES}")
    return Plan(
        size=size,
        development=development["bases"],
        parts=parts,
        comparisons=comparisons,
    )
