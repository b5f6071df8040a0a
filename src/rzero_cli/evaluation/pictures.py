"""A run as a picture and as a page."""

from __future__ import annotations

import html
import io
import json
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure

from rzero_cli.core.summary import curves, headline
from rzero_cli.core.terminal import printable

__all__ = ["page", "picture"]

_NAMES = {"trained": "trained Challenger", "base-challenger": "base Challenger"}


def picture(summary: dict[str, Any], kind: str) -> bytes:
    """The picture of a run; `kind` is png or svg."""
    figure, stream = _figure(summary), io.BytesIO()
    figure.savefig(stream, format=kind, dpi=150)
    pyplot.close(figure)
    return stream.getvalue()


def _figure(summary: dict[str, Any]) -> Figure:
    """Accuracy over iterations, and beside it how many labels of the kept questions are true."""
    figure: Figure = pyplot.figure(figsize=(10, 4), layout="constrained")
    scores, labels = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(curves(summary).items()):
        _score_curve(scores, _shown(_NAMES.get(name, name)), f"C{number}", rows)
        _label_curve(labels, f"C{number}", rows[1:])
    k = summary["rows"][0]["k"]
    last = max((len(rows) for rows in curves(summary).values()), default=1) - 1
    scores.set(title=_shown(f"Solver on held-out questions (mean@{k}, 95 %)"), ylabel="%")
    labels.set(title="Kept questions: labels that are true", ylabel="%")
    for axes in (scores, labels):
        axes.set(xlabel="iteration", ylim=(0, 102))
        axes.set_xlim(-0.2, last + 0.2)
        axes.set_xticks(range(last + 1))
        axes.grid(alpha=0.3)
    if scores.get_legend_handles_labels()[0]:
        scores.legend(loc="lower right")  # the colours hold for both
    return figure


def _shown(text: str) -> str:
    """Text for a figure: `$` would begin mathematics, and some characters no SVG can hold."""
    return printable(text).replace("$", r"\$")


def _score_curve(axes: Any, name: str, color: str, rows: list[dict[str, Any]]) -> None:
    scored = [(i, headline(row), row["ci95"]) for i, row in enumerate(rows)]
    points = [(i, 100 * v, ci or (v, v)) for i, v, ci in scored if v is not None]
    if not points:
        return
    places, values, spans = zip(*points, strict=True)
    below = [v - 100 * low for v, (low, _) in zip(values, spans, strict=True)]
    above = [100 * high - v for v, (_, high) in zip(values, spans, strict=True)]
    axes.errorbar(
        places, values, yerr=[below, above], marker="o", capsize=3, color=color, label=name
    )


def _label_curve(axes: Any, color: str, rows: list[dict[str, Any]]) -> None:
    known = [
        (i, 100 * r["label_accuracy"])
        for i, r in enumerate(rows, 1)
        if r["label_accuracy"] is not None
    ]
    if known:
        axes.plot(*zip(*known, strict=True), marker="s", color=color)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto }}
table {{ border-collapse: collapse; margin: 1.5rem 0 }}
th, td {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left }}
svg {{ max-width: 100%; height: auto }}
pre {{ background: #f6f6f6; padding: 1rem; overflow: auto }}
</style></head><body>
<h1>{title}</h1>
{table}
{picture}
<h2>Settings</h2>
<p>Of each stage in the first iteration. Every artefact has its own record beside it.</p>
<pre>{settings}</pre>
</body></html>
"""


_NO_LINKS = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # to what made the picture
# Nothing runs and nothing is loaded, whatever the page says: a name can hold HTML.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, summary: dict[str, Any], columns: dict[str, list[str]]) -> str:
    """A page of its own, with the table, the picture and the settings of a run."""
    stream = io.StringIO()
    figure = _figure(summary)
    figure.savefig(stream, format="svg", metadata=_NO_LINKS)
    pyplot.close(figure)
    picture = stream.getvalue()
    return _PAGE.format(
        policy=_POLICY,
        title=html.escape(printable(title)),
        table=_table(columns),
        picture=picture[picture.index("<svg") :],
        settings=html.escape(json.dumps(summary["settings"], indent=2)),
    )


def _table(columns: dict[str, list[str]]) -> str:
    head = "".join(f"<th>{html.escape(printable(name))}</th>" for name in columns)
    rows = [
        "<tr>" + "".join(f"<td>{html.escape(printable(cell))}</td>" for cell in cells) + "</tr>"
        for cells in zip(*columns.values(), strict=True)
    ]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
