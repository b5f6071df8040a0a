"""A report as one HTML file for screen, phone, print and screen readers.

It has no script and needs no network. The template escapes all text; only our own drawings are
inserted unescaped. The policy in the page's head forbids running or loading anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rzero_cli.report.content import Report
from rzero_cli.report.drawing import draw
from rzero_cli.report.parts import Block, Chart, Iteration, shown

_FEW = 24
_ITERATION = re.compile(r"iter-\d+/")


def page(report: Report) -> str:
    """Return the HTML of a report."""
    css = Markup((files(__package__) / "page.css").read_text("utf-8").strip())
    return environment().get_template("page.html.jinja").render(report=report, css=css) + "\n"


@cache
def environment(autoescape: bool = True) -> Environment:
    """Return the environment of the report's templates, with their filters."""
    made = Environment(
        loader=PackageLoader("rzero_cli.report", ""),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"drawn": drawing_of, "few": few, "patterns": patterns}
    made.filters |= {"runs": _runs, "text": shown}
    return made


def drawing_of(block: Chart | Iteration) -> Markup:
    """Return the `<svg>` element of a chart or an iteration."""
    if isinstance(block, Chart):
        return Markup(draw(block))
    values = {"id": block.id, "title": block.title, "words": block.words()}
    template = environment().get_template("loop.svg.jinja")
    return Markup(template.render(values, stations=block.stations))


def _runs(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Yield runs of blocks of the same kind; pictures of one run share a grid."""
    for _, run in groupby(blocks, key=lambda block: (block.block, getattr(block, "small", False))):
        yield list(run)


def few(texts: Sequence[str]) -> list[str]:
    """Return the first texts, then "and N more" if there are others."""
    found = [shown(text, 300) for text in dict.fromkeys(texts)]
    return found if len(found) <= _FEW else [*found[:_FEW], f"and {len(found) - _FEW} more"]


def patterns(names: Sequence[str]) -> list[str]:
    """Return file names grouped by folder, with one pattern for several iterations."""
    iterations: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        iterations.setdefault(_ITERATION.sub("iter-*/", name), []).append(name)
    folders: dict[str, list[str]] = {}
    for pattern, same in iterations.items():
        folder, slash, name = (pattern if len(same) > 1 else same[0]).rpartition("/")
        folders.setdefault(folder + slash, []).append(name)
    return few(
        [
            folder + (f"{{{', '.join(inside)}}}" if folder and len(inside) > 1 else inside[0])
            for folder, inside in folders.items()
            if folder
        ]
        + folders.get("", [])
    )
