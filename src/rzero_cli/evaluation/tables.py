"""Results of `eval` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["results_table"]

Result = Mapping[str, Any]


def results_table(
    tasks: Mapping[str, Result],
    averages: Mapping[str, Result] | None = None,
    *,
    width: int | None = None,
) -> Table:
    """One row per task and one, indented, per group, then the averages: scores in % with 95 %
    intervals.

    Args:
        tasks: results by name, `tasks` of what `eval` writes.
        averages: `averages` of it.
        width: of the terminal: one too narrow for the shares of answers cut off and unreadable
            goes without.
    """
    if width is not None:
        whole = results_table(tasks, averages)
        if Console(width=1000).measure(whole).maximum <= width:
            return whole
    shares = _SHARES if width is None else {}
    drawn = sorted({result["k"] for result in tasks.values() if result["k"]})
    named = str(drawn[0]) if len(drawn) == 1 else "k"
    table = Table("", "n", box=None, header_style="bold", pad_edge=False)
    keys = [key for key in _KEYS if any(result.get(key) for result in tasks.values())]
    for key in keys or ["score"]:
        table.add_column(_KEYS.get(key, key).format(k=named))
    if len(drawn) > 1:
        table.add_column("k")
    for share in shares.values():
        table.add_column(share)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, result in tasks.items():
        table.add_row(*_cells(name, result, keys, shares, several=len(drawn) > 1))
        for group, scores in (result.get("groups") or {}).items():
            table.add_row(*_cells(f"  {group}", scores, keys, shares, several=len(drawn) > 1))
    for name, average in (averages or {}).items():
        table.add_row(f"[bold]{name}[/]", "", _percent(average))
    return table


_KEYS = {"greedy": "greedy", "mean_at_k": "mean@{k}", "maj_at_k": "maj@{k}"}
_SHARES = {"truncated": "cut off", "unreadable": "unreadable"}


def _cells(
    name: str, result: Result, keys: list[str], shares: Mapping[str, str], *, several: bool
) -> list[str]:
    scores = [_percent(result.get(key)) for key in keys] or [_number(result.get("score"))]
    k = [str(result.get("k") or "")] if several else []
    counted = [f"{100 * result[key]:.1f} %" if key in result else "" for key in shares]
    return [escape(name), str(result["n"]), *scores, *k, *counted]


def _percent(score: Result | None) -> str:
    if score is None:
        return "-"
    text = f"{100 * score['score']:.1f}"
    if score["ci95"] is None:
        return text
    low, high = score["ci95"]
    return f"{text} ({100 * low:.1f}-{100 * high:.1f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
