"""The pictures of docs/evidence.md: SVG files in the light and dark colours of a run's page.

Each shows the bases that have all of its models; its title gives their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rzero_cli.report.drawing import DASHES, HATCHES, LIGHT, SERIES, STAND_IN, as_svg, style
from rzero_cli.report.summary import CHAIN_NAMES

from .collect import KINDS
from .comparisons import compare
from .declared_plan import Part
from .metrics import (
    OFF_TEMPLATE,
    Metric,
    Study,
    kind_share,
    label_accuracy,
    question_metric,
    score,
)
from .significance import t_interval

__all__ = ["PICTURES", "Picture"]

Picture = tuple[str, str]
"""The SVG and its description: the title, then its numbers."""

_WIDTH = 4.9  # inches of 72 units: text is as large as the page's on a screen of 390 px
_LEGEND: dict[str, Any] = {
    "frameon": False,
    "handlelength": 2.0,
    "columnspacing": 1.0,
    "handletextpad": 0.5,
    "borderaxespad": 0.1,
}


def scores(study: Study) -> Picture | None:
    """Draw accuracy by iteration: a thin line per base, a thick one for the mean with 95 % bars."""
    part = study.plan.parts[0]
    steps = range(1, part.iterations + 1)
    models = {chain: ["base", *(f"{chain}/{k}" for k in steps)] for chain in part.chains}
    bases = _complete(study, part.bases, (m for of in models.values() for m in of))
    if not bases:
        return None
    title = f"Held-out accuracy, mean@8 %: {_of(bases, part)}, 95 % intervals"
    words = []
    with style("scores"):
        figure, axes = _figure(3.4)
        for i, (chain, of) in enumerate(models.items()):
            values = _values(study, of, score("mean_at_k"), bases)
            places = np.arange(len(of)) + 0.03 * i  # so that one bar does not hide the other
            axes.plot(places, values, color=SERIES[i], linewidth=0.6, alpha=0.4)
            _thick(axes, i, places, values.mean(axis=1), CHAIN_NAMES[chain])
            ends = np.array([t_interval(row) or (np.nan, np.nan) for row in values]).T
            axes.vlines(places, *ends, color=SERIES[i], linewidth=1.6)
            words.append(f"{CHAIN_NAMES[chain]}: {_listed(values.mean(axis=1))}")
        axes.set(xlabel="iteration (0: the base model)", xticks=range(part.iterations + 1))
        _legend(figure)
        return _picture(figure, "scores", title, words)


def questions(study: Study) -> Picture | None:
    """Draw the generated questions by kind, for the base and the trained Challenger."""
    part = study.plan.parts[0]
    steps = range(1, part.iterations + 1)
    chains = [*reversed(part.chains)]
    models = [f"{chain}/{k}" for chain in chains for k in steps]
    bases = _complete(study, part.bases, models)
    if not bases:
        return None
    title = f"Generated questions by kind, %, {_of(bases, part)}"
    words = []
    with style("questions"):
        figure, row = _figure(3.2, columns=len(chains), sharey=True)
        for axes, chain in zip(np.atleast_1d(row), chains, strict=True):
            bottom = np.zeros(len(steps))
            for kind, name in enumerate(KINDS):
                of = [f"{chain}/{k}" for k in steps]
                means = _values(study, of, kind_share(kind), bases).mean(axis=1)
                label = name if chain == chains[0] else None
                how = {"color": SERIES[kind], "hatch": HATCHES[kind], "linewidth": 0.8}
                axes.bar(
                    steps, means, bottom=bottom, label=label, edgecolor=STAND_IN["paper"], **how
                )
                bottom += means
                words.append(f"{CHAIN_NAMES[chain]}, {name}: {_listed(means)}")
            axes.set_title(CHAIN_NAMES[chain], loc="left", fontsize=11)
            axes.set(xlabel="iteration", xticks=steps)
        _legend(figure, columns=4)
        return _picture(figure, "questions", title, words)


def difficulty(study: Study) -> Picture | None:
    """Draw the base model's score on the loop's questions, and their label accuracy."""
    part = next((part for part in study.plan.parts if part.difficulty), None)
    if part is None:
        return None
    bases = [base for base in part.bases if "difficulty" in study.run(base)]
    if not bases:
        return None
    tables = [study.runs[base]["difficulty"]["rows"] for base in bases]
    count = min(len(rows) for rows in tables)
    title = f"Questions of each iteration, {_of(bases, part)}"
    lines: dict[str, Callable[[Any], float | None]] = {
        "base model correct %": lambda row: row["scores"]["base"],
        "true labels %": lambda row: row["label_accuracy"],
        "p_hat %": lambda row: row["p_hat_mean"],
    }
    words = []
    with style("apart"):
        figure, axes = _figure(3.2)
        for i, (name, metric) in enumerate(lines.items()):
            rows = [[metric(rows[k]) for rows in tables] for k in range(count)]
            means = 100 * np.array([np.mean([v for v in row if v is not None]) for row in rows])
            _thick(axes, i, range(1, count + 1), means, name)
            words.append(f"{name}: {_listed(means)}")
        axes.set(xlabel="questions of iteration", xticks=range(1, count + 1), ylim=(0, 102))
        _legend(figure, columns=3)
        return _picture(figure, "apart", title, words)


def long_run(study: Study, name: str) -> Picture | None:
    """Draw scores and labels, the signs of a collapse, and when the guards trip."""
    part = study.part(name)
    if part is None:
        return None
    (loop,) = part.arms
    models = ["base", *(f"{loop}/{k}" for k in range(1, part.iterations + 1))]
    bases = _complete(study, part.bases, models)
    if not bases:
        return None
    title = f"{part.iterations} iterations, {_of(bases, part)}"
    upper = {"mean@8 %": score("mean_at_k"), "greedy %": score("greedy")}
    upper["true labels % (kept)"] = label_accuracy()
    lower = {
        "distinct answers %": lambda model: (
            question_metric("distinct_answers")(model) / model["asked"]["n"]
        ),
        "10 most common answers %": question_metric("top_10_answers"),
        "self-BLEU x 100": question_metric("self_bleu"),
        "off-template %": kind_share(OFF_TEMPLATE),
    }
    words = []
    with style(name):
        heights = {"height_ratios": [3, 3, 1]}
        figure, (top, middle, bottom) = _figure(7.2, rows=3, sharex=True, gridspec_kw=heights)
        for axes, lines in ((top, upper), (middle, lower)):
            for i, (line, metric) in enumerate(lines.items()):
                of = models if line in ("mean@8 %", "greedy %") else models[1:]
                values = _values(study, of, metric, bases)
                means = np.nanmean(values, axis=1)
                _thick(axes, i, range(len(models) - len(of), len(models)), means, line)
                words.append(f"{line}: {_listed(means)}")
            axes.set_ylim(-2, 102)
            _legend_above(axes)
        words += _stops(bottom, study, loop, bases)
        bottom.set(xlabel="iteration (0: the base model)", xticks=range(len(models)))
        return _picture(figure, name, title, words)


def _stops(axes: Any, study: Study, loop: str, bases: Sequence[int]) -> list[str]:
    """Mark after which iterations each guard stops runs, and how many."""
    words = []
    names = ("diversity", "probe")
    for row, guard in enumerate(names):
        verdicts = [study.guards(base, loop).get(guard) for base in bases]
        trips = [one["trips"] for one in verdicts if one]
        for k in sorted({k for k in trips if k}):
            axes.plot([k], [row], marker="v", markersize=7, color=SERIES[1])
            how = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{trips.count(k)}", (k, row), color=STAND_IN["ink"], **how)
        stops = ", ".join(f"after {k}: {trips.count(k)}" for k in sorted({k for k in trips if k}))
        words.append(f"runs stopped by {guard}: {stops or 'none'}, of {len(trips)}")
    axes.set(yticks=range(len(names)), ylim=(-0.6, len(names) - 0.4))
    axes.set_yticklabels(names)
    axes.set_title("runs stopped by a guard", loc="left", fontsize=11)
    return words


def forest(study: Study) -> Picture | None:
    """Draw the declared comparisons: means, intervals over bases, and over bases and questions."""
    found = [one for one in compare(study) if one.differences]
    if not found:
        return None
    words = []
    with style("forest"):
        figure, axes = _figure(0.6 + 0.55 * len(found))
        for row, one in enumerate(reversed(found)):
            mean = 100 * float(np.mean([*one.differences.values()]))
            n = f"{len(one.differences)} of {len(one.planned)} bases"
            axes.annotate(
                f"{one.comparison.name}"
                + ("" if len(one.differences) == len(one.planned) else f" ({n})"),
                (0, row + 0.32),
                xycoords=("axes fraction", "data"),
                fontsize=9.5,
                bbox={"facecolor": STAND_IN["paper"], "edgecolor": "none", "pad": 1},
            )
            text = f"{one.comparison.name}: {mean:+.1f}"
            for bounds, width in ((one.two_level, 1.0), (one.interval, 3.0)):
                if bounds:
                    ends = [100 * bound for bound in bounds]
                    axes.plot(ends, [row, row], color=SERIES[0], linewidth=width)
            if one.interval:
                text += " ({:+.1f} to {:+.1f})".format(*(100 * bound for bound in one.interval))
            axes.plot([mean], [row], marker="o", markersize=6, color=SERIES[0])
            words.append(f"{text}, {n}")
        axes.axvline(0, color=STAND_IN["muted"], linewidth=1)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set(yticks=[], ylim=(-0.5, len(found) - 0.2), xlabel="difference in points")
        title = "The declared comparisons, with 95 % intervals"
        return _picture(figure, "forest", title, words)


# ---------------------------------------------------------------- helpers


def _figure(height: float, *, rows: int = 1, columns: int = 1, **how: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained", frameon=False)
    axes = figure.subplots(rows, columns, **how)
    for one in np.atleast_1d(axes):
        one.patch.set_visible(False)  # the background is the file's
        one.tick_params(axis="y", length=0)
        one.spines["left"].set_visible(False)
    return figure, axes


def _thick(axes: Any, i: int, places: Iterable[float], values: Any, name: str) -> None:
    axes.plot(
        [*places],
        values,
        color=SERIES[i],
        marker="os^D"[i],
        markersize=5.5,
        linewidth=2.2,
        linestyle=DASHES[i],
        label=name,
    )


def _legend(figure: Figure, columns: int = 2) -> None:
    figure.legend(loc="outside lower left", ncols=columns, **_LEGEND)


def _legend_above(axes: Any) -> None:
    axes.set_title("\n", fontsize=13)  # reserves the height without the legend's width
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(-0.12, 1), ncols=2, fontsize=10, **_LEGEND
    )
    legend.set_in_layout(False)


def _complete(study: Study, planned: Sequence[int], models: Iterable[str]) -> list[int]:
    """Return the planned bases that have all of the models."""
    wanted = [*models]
    return [b for b in planned if all(study.models(model, [b]) for model in wanted)]


def _values(study: Study, models: Sequence[str], metric: Metric, bases: Sequence[int]) -> Any:
    """Return a metric in %, by model and base; nan if a model lacks it."""
    rows = [study.values(model, metric, bases) for model in models]
    return 100 * np.array([[row.get(base, np.nan) for base in bases] for row in rows])


def _of(bases: Sequence[int], part: Part) -> str:
    n = len(part.bases)
    if len(bases) < n:
        return f"{len(bases)} of {n} bases"
    return f"{n} bases" if n > 1 else "1 base"


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _picture(figure: Figure, name: str, title: str, words: Sequence[str]) -> Picture:
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    text = f"{title}. {'; '.join(words)}."
    return _file(as_svg(figure, name, title, text)), text


def _file(svg: str) -> str:
    """Make a page's SVG a standalone file in the page's light and dark colours."""
    css = files("rzero_cli.report").joinpath("page.css").read_text("utf-8")
    light, dark = (
        "".join(f"--{n}:{found[place]};" for n in LIGHT if (found := _colours(css, n)))
        for place in (0, 1)
    )
    colours = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    paper = '<rect width="100%" height="100%" fill="var(--paper)"/>'
    start = svg.index(">")
    head = f'{svg[:start]} font-family="sans-serif"><style>{colours}</style>{paper}'
    return f"{head}{svg[start + 1 :]}\n"


def _colours(css: str, name: str) -> list[str]:
    """Return a colour of the light and of the dark page."""
    return re.findall(rf"--{name}: (#[0-9a-f]+)", css)[:2]


PICTURES: dict[str, Callable[[Study], Picture | None]] = {
    "scores": scores,
    "questions": questions,
    "apart": difficulty,
    "ten": partial(long_run, name="ten"),
    "collapse": partial(long_run, name="collapse"),
    "forest": forest,
}
"""The pictures by file name; each returns None if it has no data."""
