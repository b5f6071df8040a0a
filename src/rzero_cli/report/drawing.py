"""Charts as SVG, plotted by matplotlib and coloured by the page.

matplotlib uses one stand-in colour for each role. They are replaced by CSS variables, so one
picture serves the light and the dark theme. Series differ by marker, dash or hatch as well as by
colour. Text stays text (`svg.fonttype` none), in the size of the page's text.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from math import nan
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rzero_cli.report.parts import Chart, shown

# The hues of Okabe and Ito, which differ for any kind of colour vision, darkened to a contrast of
# at least 4.5:1 with the background. `page.css` has the dark theme's.
LIGHT = {
    "ink": "#1b2430",
    "muted": "#596473",
    "rule": "#d9dee5",
    "paper": "#ffffff",
    "c1": "#0a62a8",
    "c2": "#b8430a",
    "c3": "#00714f",
    "c4": "#94397c",
    "c5": "#7a5c00",
    "c6": "#4d5866",
}
# Each is replaced by the page's colour of that name.
STAND_IN = {name: f"#0a0b{i:02x}" for i, name in enumerate(LIGHT, 1)}
SERIES = [STAND_IN[f"c{i}"] for i in range(1, 7)]
_MARKERS = "osD^vX"
DASHES: list[Any] = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), "-"]
HATCHES = ["", "///", "---", "\\\\\\", "xx", "++"]
_SIZES = {False: (4.9, 3.3), True: (2.7, 2.0)}  # inches; 72 units of the picture each
_MOST_MARKED = 24
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 12,
    "legend.fontsize": 11,
    "text.color": STAND_IN["ink"],
    "axes.labelcolor": STAND_IN["muted"],
    "axes.edgecolor": STAND_IN["muted"],
    "xtick.color": STAND_IN["muted"],
    "ytick.color": STAND_IN["muted"],
    "grid.color": STAND_IN["rule"],
    "hatch.color": STAND_IN["paper"],
    "hatch.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "axes.formatter.useoffset": False,
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_LONG_NUMBER = re.compile(r"(\d\.\d{2})\d+")
_FONT = re.compile(r"font-family: [^;]*;? ?")
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


def draw(chart: Chart) -> str:
    """Return the chart as an `<svg>` element, with title and numbers for a screen reader.

    All colours are `var(--NAME)` with the names of `LIGHT`. The result is deterministic.
    """
    with style(chart.id):
        figure = Figure(figsize=_SIZES[chart.small], layout="constrained", frameon=False)
        axes = figure.add_subplot(frame_on=True)
        axes.patch.set_visible(False)  # the background is the page's
        _KINDS[chart.kind](axes, chart)
        _furnish(figure, axes, chart)
        named = "small chart" if chart.small else "chart"
        return as_svg(figure, chart.id, chart.title, chart.words(), named=named)


def style(id: str) -> AbstractContextManager[None]:
    """Return the context in which to make a figure for `as_svg`, with the same `id`."""
    context: AbstractContextManager[None] = matplotlib.rc_context(_STYLE | {"svg.hashsalt": id})
    return context


def as_svg(figure: Figure, id: str, title: str, words: str, *, named: str = "chart") -> str:
    """Return a figure made within `style` as an `<svg>` element with the colours of `LIGHT`.

    Args:
        figure: a matplotlib figure.
        id: prefix of the ids within it; unique on a page.
        title, words: text for a screen reader.
        named: CSS classes.
    """
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream)  # once; savefig draws twice
    return _of_the_page(stream.getvalue(), id, title, words, named)


def alone(svg: str) -> str:
    """Return an SVG of a page as a separate file in the light colours."""
    for name, colour in LIGHT.items():
        svg = svg.replace(f"var(--{name})", colour)
    start = svg.index(">")
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    return f'{svg[:start]} font-family="sans-serif">{paper}{svg[start + 1 :]}\n'


def _text(text: str) -> str:
    r"""Return text for a figure, with `$` escaped, since it would start mathematics."""
    return shown(text, 60).replace("$", r"\$").replace("\n", " ")


def _look(i: int) -> tuple[str, Any, str]:
    """Return colour, dashes and marker of line i; 36 lines all differ."""
    turned = (i + i // 6) % 6  # colours repeat from the seventh line on
    return SERIES[i % 6], DASHES[turned], _MARKERS[turned]


def _lines(axes: Any, chart: Chart) -> None:
    many = len(chart.series)
    dodge = 0.06 if any(one.spans for one in chart.series) else 0.0
    for i, one in enumerate(chart.series):
        colour, dashes, marker = _look(i)
        style: dict[str, Any] = {
            "color": colour,
            "linestyle": dashes,
            "linewidth": 1.8,
            "label": _text(one.name),
        }
        if len(one.y) <= _MOST_MARKED:
            style |= {"marker": marker, "markersize": 5.5}
        places = [x + dodge * (i - (many - 1) / 2) for x in one.x]
        if not one.spans:
            axes.plot(*_parted(places, one.y, chart.marks), **style)
            continue
        spans = [span or (y, y) for span, y in zip(one.spans, one.y, strict=True)]
        below = [max(0, y - low) for y, (low, _) in zip(one.y, spans, strict=True)]
        above = [max(0, high - y) for y, (_, high) in zip(one.y, spans, strict=True)]
        axes.errorbar(places, one.y, yerr=[below, above], capsize=3, elinewidth=1.3, **style)
    _ticks(axes, chart)


def _parted(
    xs: Sequence[float], ys: Sequence[float], marks: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return the points of a line that is interrupted at each mark."""
    parts = [
        list(part)
        for _, part in groupby(zip(xs, ys, strict=True), lambda at: bisect_left(marks, at[0]))
    ]
    points = [point for part in parts for point in [*part, (nan, nan)]]
    return [x for x, _ in points], [y for _, y in points]


def _ticks(axes: Any, chart: Chart) -> None:
    if chart.ticks:
        axes.set_xticks(list(chart.ticks), [_text(label) for label in chart.ticks.values()])
        if not chart.marks:
            pad = 0.04 * max(1, max(chart.ticks) - min(chart.ticks)) + 0.1
            axes.set_xlim(min(chart.ticks) - pad, max(chart.ticks) + pad)
    for place in chart.marks:
        axes.axvline(place, color=STAND_IN["rule"], linewidth=1.2, zorder=0)
    if chart.marks:
        axes.tick_params(axis="x", length=0)


def _bars(axes: Any, chart: Chart) -> None:
    (one,) = chart.series
    if chart.shade:
        axes.axvspan(*chart.shade, color=STAND_IN["rule"], alpha=0.55, linewidth=0)
    axes.bar(one.x, one.y, width=0.092, align="edge", color=SERIES[0])
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlim(-0.02, 1.02)
    axes.locator_params(axis="y", nbins=4, integer=True)


def _stacked(axes: Any, chart: Chart) -> None:
    bottom = dict.fromkeys(chart.ticks, 0.0)
    for i, one in enumerate(chart.series):
        axes.bar(
            one.x,
            one.y,
            bottom=[bottom[x] for x in one.x],
            width=0.62,
            label=_text(one.name),
            color=SERIES[i % 6],
            hatch=HATCHES[i % 6],
            edgecolor=STAND_IN["paper"],
            linewidth=0.8,
        )
        for x, y in zip(one.x, one.y, strict=True):
            bottom[x] += y
    _ticks(axes, chart)
    axes.set_xlim(min(chart.ticks) - 0.6, max(chart.ticks) + 0.6)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="y", nbins=6)


_KINDS = {"lines": _lines, "bars": _bars, "stacked": _stacked}


def _furnish(figure: Any, axes: Any, chart: Chart) -> None:
    axes.set(xlabel=_text(chart.x), ylabel="" if chart.small else _text(chart.y))
    if chart.limits:
        axes.set_ylim(*chart.limits)
    elif axes.get_ylim()[0] > 0 and chart.kind != "lines":
        axes.set_ylim(bottom=0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if chart.small:
        axes.set_title(_text(chart.title), loc="left")
    elif len(chart.series) > 1:
        figure.legend(
            loc="outside upper left",
            ncols=_columns(chart.series),
            frameon=False,
            handlelength=2.6,
            columnspacing=1.2,
            borderaxespad=0.1,
        )


def _columns(series: Any) -> int:
    """Return how many names fit side by side above the picture."""
    widest = max(len(one.name) for one in series)
    return int(max(1, min(len(series), 60 // (widest + 7))))


# ---------------------------------------------------------------- for the page


def _of_the_page(svg: str, id: str, title: str, words: str, named: str) -> str:
    """Return matplotlib's SVG with the page's ids and colours, without parts for separate files."""
    root = ElementTree.fromstring(svg[svg.index("<svg") :])
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata" or child.find(f"{{{_SVG}}}style") is not None:
            root.remove(child)  # that style would apply to the whole page
    _name_ids(root, id)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    for element in root.iter():
        for key in ("d", "x", "y", "transform", "width", "height"):
            if key in element.attrib:  # digits beyond hundredths are invisible
                element.set(key, _LONG_NUMBER.sub(r"\1", element.attrib[key]))
        for key in ("style", "fill", "stroke"):
            if key in element.attrib:
                element.set(key, _of_variables(element.attrib[key]))
    root.set("stroke-linejoin", "round")
    root.set("role", "img")
    root.set("aria-labelledby", f"{id}-title {id}-words")
    root.set("class", named)
    for at, (tag, text) in enumerate((("title", title), ("desc", words))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}")
        element.set("id", f"{id}-{'words' if at else tag}")
        element.text = shown(text, 4000)
        root.insert(at, element)
    return ElementTree.tostring(root, encoding="unicode")


def _of_variables(style: str) -> str:
    style = _FONT.sub("", style)  # the page's own
    for name, colour in STAND_IN.items():
        style = style.replace(colour, f"var(--{name})")
    return style


def _name_ids(root: ElementTree.Element, prefix: str) -> None:
    """Prefix the ids that are referred to with the chart's name and drop the others."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    names = {name for pair in used for name in pair if name}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in names:
            element.set("id", f"{prefix}-{own}")
        for key, value in list(element.attrib.items()):
            if key == f"{{{_XLINK}}}href" and value.startswith("#"):
                element.set(key, f"#{prefix}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{prefix}-"))
