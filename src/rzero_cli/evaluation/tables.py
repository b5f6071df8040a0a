"""Results of `eval` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from rzero_cli.system.terminal import plain

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
    columns = _columns(list(tasks.values()), shares=width is None)
    table = Table("", *(title for title, _ in columns), box=None, header_style="bold")
    table.pad_edge = False
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, result in tasks.items():
        table.add_row(plain(name), *(cell(result) for _, cell in columns))
        for group, scores in (result.get("groups") or {}).items():
            table.add_row(plain(f"  {group}"), *(cell(scores) for _, cell in columns))
    for name, average in (averages or {}).items():
        table.add_row(plain(name, "bold"), "", _percent(average))
    return table


_SCORES = {"greedy": "greedy", "mean_at_k": "mean@{k}", "maj_at_k": "maj@{k}"}
_SHARES = {"truncated": "cut off", "unreadable": "unreadable"}

Column = tuple[str, Callable[[Result], str]]


def _columns(results: list[Result], *, shares: bool) -> list[Column]:
    """The columns that some result has something for, but for the first, the names."""
    drawn = sorted({result["k"] for result in results if result["k"]})
    k = str(drawn[0]) if len(drawn) == 1 else "k"
    columns: list[Column] = [("n", lambda result: str(result["n"]))]
    for key, title in _SCORES.items():
        if any(result.get(key) for result in results):
            columns.append((title.format(k=k), partial(_score, key)))
            if any("judged" in result for result in results):
                columns.append(("judged", partial(_judged, key)))
    if len(columns) == 1:  # none is a share of right answers
        columns.append(("score", lambda result: f"{result['score']:.4g}"))
    if len(drawn) > 1:
        columns.append(("k", lambda result: str(result.get("k") or "")))
    if shares:
        columns += [(title, partial(_share, key)) for key, title in _SHARES.items()]
    return columns


def _score(key: str, result: Result) -> str:
    return _percent(result.get(key))


def _judged(key: str, result: Result) -> str:
    return _percent((result.get("judged") or {}).get(key))


def _share(key: str, result: Result) -> str:
    return f"{result[key]:.1%}" if key in result else ""


def _percent(score: Result | None) -> str:
    if score is None:
        return "-"
    text = f"{100 * score['score']:.1f}"
    if score["ci95"] is None:
        return text
    low, high = score["ci95"]
    return f"{text} ({100 * low:.1f}-{100 * high:.1f})"
