"""A run in one picture: `summary.png` and `summary.svg`."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

from rzero_cli.report.summary import CHAIN_NAMES, curves
from rzero_cli.system.terminal import printable


def picture(summary: dict[str, Any], kind: str) -> bytes:
    """Return the picture of a run as bytes of the format `kind`, png or svg."""
    figure, stream = _figure(summary), io.BytesIO()
    figure.savefig(stream, format=kind, dpi=150)
    return stream.getvalue()


def _figure(summary: dict[str, Any]) -> Figure:
    """Plot accuracy over iterations next to the accuracy of the kept questions' labels."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    scores, labels = figure.subplots(1, 2)
    for number, (name, rows) in enumerate(curves(summary).items()):
        _score_curve(scores, _shown(CHAIN_NAMES.get(name, name)), f"C{number}", rows)
        _label_curve(labels, f"C{number}", rows[1:])
    k = summary["rows"][0]["k"]
    last = max((len(rows) for rows in curves(summary).values()), default=1) - 1
    scores.set(title=_shown(f"Solver on held-out questions (mean@{k}, 95 %)"), ylabel="%")
    labels.set(title="True labels of the kept questions", ylabel="%")
    for axes in (scores, labels):
        axes.set(xlabel="iteration", ylim=(0, 102))
        axes.set_xlim(-0.2, last + 0.2)
        axes.set_xticks(range(last + 1))
        axes.grid(alpha=0.3)
    if scores.get_legend_handles_labels()[0]:
        scores.legend(loc="lower right")  # both panels use these colours
    return figure


def _shown(text: str) -> str:
    """Escape `$`, which would start mathematics, and characters that SVG cannot contain."""
    return printable(text).replace("$", r"\$")


def _score_curve(axes: Any, name: str, color: str, rows: list[dict[str, Any]]) -> None:
    points = [
        (i, 100 * row["score"], row["ci95"] or (row["score"], row["score"]))
        for i, row in enumerate(rows)
        if row["score"] is not None
    ]
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
