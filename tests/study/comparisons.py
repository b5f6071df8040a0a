"""The declared comparisons: tests of differences between models, paired by base."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from docs.generate import table

from .cells import bases_cell, interval, missing, p_value, points
from .collect import values_by_question
from .declared_plan import Comparison
from .metrics import Json, Study, measured
from .significance import holm, mean_sd, sign_flip, t_interval, two_level

__all__ = ["ComparisonResult", "compare", "comparisons"]

_MEASURE = {
    "mean_at_k": "mean@8",
    "greedy": "greedy",
    "maj_at_k": "maj@8",
    "label_accuracy": "true labels of the kept questions",
}


@dataclass(frozen=True)
class ComparisonResult:
    """The result of a declared comparison; without differences if no base has both models."""

    comparison: Comparison
    planned: list[int]
    differences: dict[int, float]
    """a minus b, by base."""
    interval: tuple[float, float] | None = None
    p: float = 1.0
    adjusted: float | None = None
    """The Holm-adjusted p value of a primary comparison."""
    two_level: tuple[float, float] | None = None


def _paired_values(study: Study, comparison: Comparison) -> tuple[list[int], dict[int, list[Any]]]:
    """Return the planned bases and, for bases with both models, the values by question in the form
    that `significance.two_level` takes."""
    a, b, measure = comparison.a, comparison.b, comparison.measure
    planned = [base for base in study.planned(a) if base in study.planned(b)]
    metric = measured(measure)
    both = study.values(a, metric, planned).keys() & study.values(b, metric, planned).keys()
    found: dict[int, list[Any]] = {}
    for base in (base for base in planned if base in both):
        run = study.runs[base]
        first, second = (run["models"][name] for name in (a, b))
        if measure == "label_accuracy":
            found[base] = [_true(first["kept"]), -_true(second["kept"])]
        else:
            how = (measure, run["questions"], run["k"])
            pair = [np.array(values_by_question(one["exam"], *how)) for one in (first, second)]
            found[base] = [pair[0] - pair[1]]
    return planned, found


def _true(labels: Json) -> Any:
    """Return 1 for each true label and 0 for each other one."""
    true, labelled = sum(labels["true"]), sum(labels["labelled"])
    return np.repeat([1.0, 0.0], [true, labelled - true])


def compare(study: Study) -> list[ComparisonResult]:
    """Test the declared comparisons; p is adjusted over the primary ones.

    A primary comparison without any base counts as p = 1.
    """
    results = []
    for comparison in study.plan.comparisons:
        planned, found = _paired_values(study, comparison)
        values = {base: sum(float(one.mean()) for one in of) for base, of in found.items()}
        if not values:
            results.append(ComparisonResult(comparison, planned, {}))
            continue
        differences = [*values.values()]
        results.append(
            ComparisonResult(
                comparison,
                planned,
                values,
                t_interval(differences),
                sign_flip(differences),
                two_level=two_level([*found.values()]),
            )
        )
    primary = [one for one in results if one.comparison.primary]
    adjusted = holm([one.p for one in primary])
    by_name = {one.comparison.name: p for one, p in zip(primary, adjusted, strict=True)}
    return [replace(one, adjusted=by_name.get(one.comparison.name)) for one in results]


def comparisons(study: Study) -> str:
    """Return the table of the declared comparisons, in the order of the plan."""
    rows, notes = [], []
    for one in compare(study):
        c, n = one.comparison, len(one.differences)
        name = f"{c.name} ({_MEASURE[c.measure]})"
        name = f"**{name}**" if c.primary else name
        if line := missing(one.planned, one.differences):
            notes.append(f"**Not complete** ({c.name}): {line}.")
        if not n:
            rows.append((name, bases_cell(n, one.planned), *["-"] * 6))
            continue
        mean = mean_sd([*one.differences.values()])[0]
        agree = sum(d * mean > 0 for d in one.differences.values())
        cells = (points(mean), interval(one.interval), f"{agree} of {n}", p_value(one.p))
        adjusted = "-" if one.adjusted is None else p_value(one.adjusted)
        rows.append((name, bases_cell(n, one.planned), *cells, adjusted, interval(one.two_level)))
    head = ("Comparison", "bases", "difference", "95 % CI (bases)", "same sign", "p", "Holm p")
    return table((*head, "95 % CI (bases and questions)"), rows) + "".join(
        f"\n{note}\n" for note in notes
    )
