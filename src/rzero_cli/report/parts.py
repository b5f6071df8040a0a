"""What a report is made of: sections that hold charts, tables, pictures of the loop, examples.

A chart holds its numbers, once: the drawing, the table under it and its description in words are
all made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rzero_cli.system.terminal import printable

Point = tuple[float, float]
_LARGEST = 1e15
_MOST_SAID = 12
_MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Series:
    """A line or the bars of a chart: y over x, in the chart's unit, with what is known of its
    uncertainty."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spans: Sequence[Point | None] = ()
    """(low, high) of each point, or nothing at all."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of numbers.

    Attributes:
        id: a name for the elements of its SVG and for its file; unique in a report.
        kind: lines, bars (one series; edges at 0, 0.1, ... 1), or stacked bars.
        format: of a value, such as ".1f".
        ticks: of x: place and label. Empty: matplotlib's own.
        marks: places of vertical lines.
        shade: a stretch of x whose background is darker.
        small: drawn at half the width, for many side by side.
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
        """What stands under a place of the x axis."""
        return self.ticks.get(x) or f"{x:g}"

    def words(self) -> str:
        """The numbers as a sentence, for who cannot see the picture."""
        said = [self._said(one) for one in self.series]
        return f"{self.y} by {self.x}. {' '.join(said)}"

    def _said(self, one: Series) -> str:
        name = f"{one.name}: " if one.name else ""
        if len(one.y) <= _MOST_SAID:
            pairs = zip(one.x, one.y, strict=True)
            told = ", ".join(f"{self.label(x)}: {y:{self.format}}" for x, y in pairs)
            return f"{name}{told or 'nothing'}."
        first, last, low, high = (
            f"{y:{self.format}}" for y in (one.y[0], one.y[-1], min(one.y), max(one.y))
        )
        return f"{name}from {first} to {last}, lowest {low}, highest {high}, {len(one.y)} points."

    def table(self) -> Table:
        """The numbers as a table; of very many rows, some, evenly chosen."""
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
        # Under marks the ticks name whole iterations.
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
    """Cells as text; the first of a row is its head."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    block: str = "table"


@dataclass(frozen=True, slots=True)
class Iteration:
    """An iteration as a picture of the loop: what each station has to say, some lines each."""

    id: str
    title: str
    stations: Mapping[str, Sequence[str]]
    block: str = "loop"

    def words(self) -> str:
        """The numbers as a sentence."""
        parts = [f"{name}: {', '.join(lines)}." for name, lines in self.stations.items() if lines]
        return " ".join(parts) or "Nothing is known of it yet."


@dataclass(frozen=True, slots=True)
class Questions:
    """What was asked in one iteration: clusters and examples, see `examples.py`."""

    title: str
    clusters: Sequence[Mapping[str, Any]]
    clustered: str
    examples: Sequence[Mapping[str, Any]]
    openings: Sequence[tuple[str, str]] = ()
    """The commonest first words, and how common they are."""
    unfolded: bool = True
    block: str = "questions"


@dataclass(frozen=True, slots=True)
class Item:
    """An artefact in a lineage, and what it was made from."""

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
    """Preformatted text, folded away."""

    title: str
    text: str
    block: str = "text"


Block = Chart | Table | Iteration | Questions | Tree | Text


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        lead: what one sees there, in a sentence or two.
        sources: the files that its figures are from, relative to the run.
        remarks: what of them is missing or broken.
    """

    id: str
    title: str
    lead: str
    blocks: list[Block] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def shown(text: Any, most: int = 400) -> str:
    """Text that nobody here has written: cut, and with what would not be seen spelled out."""
    text = str(text)
    if len(text) <= most:
        return printable(text, lines=True)
    return f"{printable(text[:most], lines=True)} … (cut: {len(text):,} characters in all)"


def number(value: Any) -> float | None:
    """`value` if it is a number of a size that can be drawn, else None: a file may hold anything
    in its place."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if abs(value) < _LARGEST else None  # neither is NaN


def numbers(values: Iterable[Any]) -> list[float]:
    """Those of the values that are a `number`."""
    return [found for value in values if (found := number(value)) is not None]


def percent(share: float | None) -> str:
    """A share in %, without the sign."""
    return "-" if share is None else f"{100 * share:.1f}"
