"""Results of `eval` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

__all__ = ["results_table"]

Result = Mapping[str, Any]


def results_table(results: Mapping[str, Result]) -> Table:
    """One row per evaluation and one, indented, per group: scores in % with 95 % intervals.

    Args:
        results: by name, what `evaluate_data` returns, or `evaluate_tasks` under "tasks".
    """
    k = max((result["k"] for result in results.values()), default=0)
    table = Table("", "n", "greedy", box=None, header_style="bold", pad_edge=False)
    for name in (f"mean@{k}", f"maj@{k}") if k else ():
        table.add_column(name)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, result in results.items():
        table.add_row(*_cells(name, result, k))
        for group, scores in result.get("groups", {}).items():
            table.add_row(*_cells(f"  {group}", scores, k))
    return table


def _cells(name: str, result: Result, k: int) -> list[str]:
    scores = ["greedy", "mean_at_k", "maj_at_k"] if k else ["greedy"]
    return [name, str(result["n"]), *(_percent(result.get(key)) for key in scores)]


def _percent(score: Result | None) -> str:
    if score is None:
        return "-"
    low, high = score["ci95"]
    return f"{100 * score['score']:.1f} ({100 * low:.1f}-{100 * high:.1f})"
