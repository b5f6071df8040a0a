"""Cells of the study's tables: names, numbers and intervals, and notes about missing bases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rzero_cli.report.summary import CHAIN_NAMES

from .metrics import Study
from .significance import mean_sd, t_interval

__all__ = [
    *("ARM_NAMES", "bases_cell", "difference", "interval", "missing", "model_name", "number"),
    *("p_value", "percent", "points", "with_note"),
]

ARM_NAMES = CHAIN_NAMES | {"collapse": "learning rate times four"}


def model_name(model: str) -> str:
    """Return the name of a model on the page."""
    arm, _, k = model.partition("/")
    name = ARM_NAMES.get(arm, arm)
    return f"{name} after {k}" if k else name


def percent(values: Iterable[float], *, sd: bool = True) -> str:
    """Format mean and standard deviation of fractions, in %; a dash if there are none."""
    return number([100 * value for value in values], 1, sd=sd)


def number(values: Sequence[float], places: int = 0, *, sd: bool = False) -> str:
    """Format the mean, with `sd` also the standard deviation; a dash if there are no values."""
    if not values:
        return "-"
    mean, deviation = mean_sd(values)
    spread = f" ± {deviation:.{places}f}" if sd and deviation is not None else ""
    return f"{mean:.{places}f}{spread}"


def points(value: float) -> str:
    """Format a difference in percentage points."""
    return f"{100 * value:+.1f}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Format an interval of a difference, in points."""
    return f"{points(bounds[0])} to {points(bounds[1])}" if bounds else "-"


def difference(values: Sequence[float]) -> str:
    """Format mean and 95 % interval of differences, in points."""
    if not values:
        return "-"
    bounds = t_interval(values)
    return points(mean_sd(values)[0]) + (f" ({interval(bounds)})" if bounds else "")


def p_value(value: float) -> str:
    return f"{value:.4f}"


def bases_cell(n: int, planned: Sequence[int]) -> str:
    """Format the number of bases, as "n of planned" if some are missing."""
    return f"{n}" if n == len(planned) else f"**{n} of {len(planned)}**"


def missing(planned: Sequence[int], there: Collection[int]) -> str:
    """Return how many bases there are and which are missing; empty if none is."""
    absent = [f"{base}" for base in planned if base not in there]
    of = f"{len(planned) - len(absent)} of {len(planned)} bases"
    return f"{of}; missing: {', '.join(absent)}" if absent else ""


def with_note(study: Study, planned: Mapping[str, Sequence[int]], made: Callable[[], str]) -> str:
    """Return the table with a note about missing bases; only the note if all are missing.

    Args:
        planned: the bases of each model that is in the table.
        made: makes the table.
    """
    arms: dict[str, dict[str, list[str]]] = {}  # what is missing -> arm -> iterations
    any_there = False
    for model, bases in planned.items():
        there = study.models(model, bases)
        any_there |= bool(there)
        if line := missing(bases, there):
            arm, _, k = model.partition("/")
            arms.setdefault(line, {}).setdefault(arm, []).append(k)
    notes = []
    for line, iterations in arms.items():
        names = [
            model_name(f"{arm}/{', '.join(ks)}" if ks[0] else arm) for arm, ks in iterations.items()
        ]
        notes.append(f"**Not complete** ({'; '.join(names)}): {line}.\n")
    return "\n".join([*([made()] if any_there else []), *notes])
