"""A report as one HTML file: no script, no network, readable on a phone, printed, and aloud.

The template escapes whatever it is given; only our own drawings come in as they are. The policy in
the page's head lets nothing run or load, whatever a question or a name says.
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
    """The page of a report."""
    css = Markup((files(__package__) / "page.css").read_text("utf-8").strip())
    return environment().get_template("page.html.jinja").render(report=report, css=css) + "\n"


@cache
def environment(autoescape: bool = True) -> Environment:
    """The templates of a report, with their filters."""
    made = Environment(
        loader=PackageLoader("rzero_cli.report", ""),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"drawn": drawing_of, "few": few, "runs": _runs, "text": shown}
    made.filters["patterns"] = patterns
    return made


def drawing_of(block: Chart | Iteration) -> Markup:
    """The `<svg>` element of what is a picture."""
    if isinstance(block, Chart):
        return Markup(draw(block))
    values = {"id": block.id, "title": block.title, "words": block.words()}
    template = environment().get_template("loop.svg.jinja")
    return Markup(template.render(values, stations=block.stations))


def _runs(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks of the same kind that follow each other: pictures stand in one grid."""
    for _, run in groupby(blocks, key=lambda block: (block.block, getattr(block, "small", False))):
        yield list(run)


def few(texts: Sequence[str]) -> list[str]:
    """The first of very many remarks or files, and how many more there are."""
    told = [shown(text, 300) for text in dict.fromkeys(texts)]
    return told if len(told) <= _FEW else [*told[:_FEW], f"and {len(told) - _FEW} more"]


def patterns(names: Sequence[str]) -> list[str]:
    """Files by name: those of one folder together, and one pattern for several iterations."""
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
