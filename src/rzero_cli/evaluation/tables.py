"""Tables of `rzero eval`'s results for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from rzero_cli.system.terminal import plain

Result = Mapping[str, Any]


def results_table(
    tasks: Mapping[str, Result],
    averages: Mapping[str, Result] | None = None,
    *,
    width: int | None = None,
) -> Table:
    """Return a table of scores in % with 95 % intervals.

    It has a row per task, an indented one per group, and then the averages.

    Args:
        tasks: results by task name, `tasks` in `eval`'s output.
        averages: `averages` in `eval`'s output.
        width: the terminal's width in characters; in a narrow one, the fractions of truncated and
            unreadable answers are left out.
    """
    if width is not None:
        whole = results_table(tasks, averages)
        if Console(width=1000).measure(whole).maximum <= width:
            return whole
    rows: list[tuple[str, Result]] = []
    for name, result in tasks.items():
        groups: Mapping[str, Result] = result.get("groups") or {}
        rows += [(name, result), *((f"  {group}", scores) for group, scores in groups.items())]
    columns = list(_columns(list(tasks.values()), [row for _, row in rows], width is None))
    table = Table("", *(title for title, _ in columns), box=None, header_style="bold")
    table.pad_edge = False
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for (name, _), *cells in zip(rows, *(cells for _, cells in columns), strict=True):
        table.add_row(plain(name), *cells)
    for name, average in (averages or {}).items():
        table.add_row(plain(name, "bold"), "", _percent(average))
    return table


_SCORES = {"greedy": "greedy", "mean_at_k": "mean@{k}", "maj_at_k": "maj@{k}"}
_FRACTIONS = {"truncated": "truncated", "unreadable": "unreadable"}


def _columns(
    results: list[Result], rows: list[Result], fractions: bool
) -> Iterator[tuple[str, list[str]]]:
    """Yield the title and cells of each column after the names, without empty columns."""
    ks = sorted({result["k"] for result in results if result["k"]})
    scores = [key for key in _SCORES if any(result.get(key) for result in results)]
    yield "n", [str(row["n"]) for row in rows]
    for key in scores:
        title = _SCORES[key].format(k=ks[0] if len(ks) == 1 else "k")
        yield title, [_percent(row.get(key)) for row in rows]
        if any("judged" in result for result in results):
            yield "judged", [_percent((row.get("judged") or {}).get(key)) for row in rows]
    if not scores:  # no score is a fraction of right answers
        yield "score", [f"{row['score']:.4g}" for row in rows]
    if len(ks) > 1:
        yield "k", [str(row.get("k") or "") for row in rows]
    for key, title in _FRACTIONS.items() if fractions else ():
        yield title, [f"{row[key]:.1%}" if key in row else "" for row in rows]


def _percent(score: Result | None) -> str:
    if score is None:
        return "-"
    text = f"{100 * score['score']:.1f}"
    if score["ci95"] is None:
        return text
    low, high = score["ci95"]
    return f"{text} ({100 * low:.1f}-{100 * high:.1f})"
