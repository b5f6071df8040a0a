"""The types that a report consists of: sections with charts, tables, loop pictures and examples.

A chart has its numbers once; its picture, its table and its description are all made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rzero_cli.system.terminal import printable

Point = tuple[float, float]
_LARGEST = 1e15
_MOST_WORDS = 12
_MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Series:
    """A line or the bars of a chart: y over x, in the chart's unit, with optional intervals."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spans: Sequence[Point | None] = ()
    """(low, high) or None for each point, or empty."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one or more series.

    Attributes:
        id: name of its file and prefix in its SVG; unique in a report.
        kind: lines, bars (one series; edges at 0, 0.1, ... 1), or stacked bars.
        format: format of a value, such as ".1f".
        ticks: place -> label on the x axis; if empty, matplotlib chooses.
        marks: places of vertical lines.
        shade: (low, high) in x of a shaded background.
        small: half the width, for many charts side by side.
    """

    id: str
    title: str
    series: Sequence[Series]
    x: str
    y: str
    kind: Literal["lines", "bars", "stacked"] = "lines"
    format: str = ".2f"
    limits: Point | None = None
    ticks: Mapping[float, str] = field(default_factory=dict)
    marks: Sequence[float] = ()
    shade: Point | None = None
    note: str = ""
    small: bool = False
    block: str = "chart"

    def label(self, x: float) -> str:
        """Return the label of a place on the x axis."""
        return self.ticks.get(x) or f"{x:g}"

    def words(self) -> str:
        """Return the numbers as text, for readers who cannot see the picture."""
        return f"{self.y} by {self.x}. {' '.join(map(self._words, self.series))}"

    def _words(self, one: Series) -> str:
        name = f"{one.name}: " if one.name else ""
        if len(one.y) <= _MOST_WORDS:
            pairs = zip(one.x, one.y, strict=True)
            values = ", ".join(f"{self.label(x)}: {y:{self.format}}" for x, y in pairs)
            return f"{name}{values or 'nothing'}."
        first, last, low, high = (
            f"{y:{self.format}}" for y in (one.y[0], one.y[-1], min(one.y), max(one.y))
        )
        return f"{name}from {first} to {last}, lowest {low}, highest {high}, {len(one.y)} points."

    def table(self) -> Table:
        """Return the numbers as a table of at most 60 rows, evenly spaced."""
        cells = [{x: self._cell(one, i) for i, x in enumerate(one.x)} for one in self.series]
        places = sorted({x for column in cells for x in column})
        chosen = places
        if len(places) > _MOST_ROWS:
            last = len(places) - 1
            chosen = [places[round(i * last / (_MOST_ROWS - 1))] for i in range(_MOST_ROWS)]
        caption = self.title
        if len(chosen) < len(places):
            caption += f" ({len(chosen)} of {len(places)} points)"
        head = [self.x, *(one.name or self.y for one in self.series)]
        # With marks, the ticks name iterations, not places.
        label = self.label if not self.marks else "{:g}".format
        rows = [[label(x), *(column.get(x, "-") for column in cells)] for x in chosen]
        return Table(caption, head, rows)

    def _cell(self, one: Series, i: int) -> str:
        value = f"{one.y[i]:{self.format}}"
        span = one.spans[i] if one.spans else None
        if span is None:
            return value
        return f"{value} ({span[0]:{self.format}} to {span[1]:{self.format}})"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text; the first cell of a row is its head."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    block: str = "table"


@dataclass(frozen=True, slots=True)
class Iteration:
    """A picture of the loop with one iteration's numbers, some lines for each station."""

    id: str
    title: str
    stations: Mapping[str, Sequence[str]]
    block: str = "loop"

    def words(self) -> str:
        """Return the numbers as text."""
        parts = [f"{name}: {', '.join(lines)}." for name, lines in self.stations.items() if lines]
        return " ".join(parts) or "No numbers yet."


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of one iteration: clusters and examples, see `examples.py`."""

    title: str
    clusters: Sequence[Mapping[str, Any]]
    clustered: str
    examples: Sequence[Mapping[str, Any]]
    openings: Sequence[tuple[str, str]] = ()
    """The most frequent first words, each with its frequency."""
    unfolded: bool = True
    block: str = "questions"


@dataclass(frozen=True, slots=True)
class Item:
    """An artefact in a lineage, with its parents."""

    text: str
    remark: str
    is_wrong: bool
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Tree:
    """A lineage."""

    title: str
    items: Sequence[Item]
    block: str = "tree"


@dataclass(frozen=True, slots=True)
class Text:
    """Preformatted text, folded by default."""

    title: str
    text: str
    block: str = "text"


Block = Chart | Table | Iteration | Questions | Tree | Text


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        lead: a sentence or two that explain the section.
        sources: the files that it is based on, relative to the run.
        remarks: what is missing or damaged.
    """

    id: str
    title: str
    lead: str
    blocks: list[Block] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def shown(text: Any, most: int = 400) -> str:
    """Return untrusted text, truncated to `most` characters, with invisible ones spelled out."""
    text = str(text)
    if len(text) <= most:
        return printable(text, lines=True)
    return f"{printable(text[:most], lines=True)} … (truncated from {len(text):,} characters)"


def number(value: Any) -> float | None:
    """Return `value` as a float if it is a number small enough to plot, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if abs(value) < _LARGEST else None  # None for NaN, too


def numbers(values: Iterable[Any]) -> list[float]:
    """Return the values that are a `number`."""
    return [found for value in values if (found := number(value)) is not None]


def percent(share: float | None) -> str:
    """Return a fraction in %, without the sign; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f}"
