"""A report in brief as Markdown, with its pictures as SVG files beside it: for a README or a paper.

What a model wrote stands in code spans, where nothing in it is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rzero_cli.report.content import Report
from rzero_cli.report.drawing import alone
from rzero_cli.report.page import drawing_of, few, patterns
from rzero_cli.report.parts import (
    Block,
    Chart,
    Item,
    Iteration,
    Questions,
    Section,
    Table,
    Text,
    shown,
)

__all__ = ["markdown"]

_MARKUP = re.compile(r"([\\`*_\[\]<>|$#~@!&])")


def markdown(report: Report, stem: str) -> tuple[str, dict[str, str]]:
    """The text of `STEM.md`, and the pictures it shows: the SVG of each file by its name."""
    pictures: dict[str, str] = {}
    lines = [f"# {_plain(report.title)}", "", _plain(report.verdict), ""]
    if report.warnings:
        lines += ["**To be wary of**", "", *(f"- {_plain(text)}" for text in report.warnings)]
    lines += ["", *_table(Table("", ("", ""), report.facts)), "", *_table(report.table)]
    lines += _from(report.sources)
    for section in report.sections:
        lines += [
            "",
            f"## {section.title}",
            "",
            section.lead,
            "",
            *_section(section, stem, pictures),
        ]
        lines += [f"- {_plain(remark)}" for remark in few(section.remarks)]
        lines += _from(section.sources)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n", pictures


def _from(sources: Sequence[str]) -> list[str]:
    return ["", f"From {', '.join(map(_code, patterns(sources)))}."] if sources else []


def _section(section: Section, stem: str, pictures: dict[str, str]) -> Iterator[str]:
    for block in section.blocks:
        yield from (*_block(block, stem, pictures), "")


def _block(block: Block, stem: str, pictures: dict[str, str]) -> Iterator[str]:
    if isinstance(block, (Chart, Iteration)):
        name = f"{stem}-{block.id}.svg"
        pictures[name] = alone(drawing_of(block))
        words = " ".join(shown(block.words(), 500).split())
        yield f"![{_plain(block.title)}. {_plain(words)}](<{_file(name)}>)"
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Questions):
        yield from _questions(block)
    elif isinstance(block, Text):
        yield f"<details><summary>{_plain(block.title)}</summary>"
        yield from ("", *_fenced(block.text), "", "</details>")
    else:
        yield from (_plain(block.title) + ":", "", *_items(block.items, 0))


def _questions(block: Questions) -> Iterator[str]:
    yield from (f"### {_plain(block.title)}", "")
    if block.clusters:
        head = ("questions", "cluster, by its first")
        rows = [[f"{one['n']} ({one['share']} %)", one["question"]] for one in block.clusters]
        yield from (*_table(Table("", head, rows), code=1), "")
    examples = [
        [
            f"{one['what']} (line {one['line']})",
            one["question"],
            ", ".join(f"{vote['answer']} ×{vote['n']}" for vote in one["votes"]),
            "none" if one["label"] is None else one["label"],
            f"{one['p_hat']:.2f}",
            {True: "yes", False: "no", None: "not known"}[one["correct"]],
        ]
        for one in block.examples
    ]
    if examples:
        names = ("example", "question", "votes", "label", "p_hat", "true")
        yield from _table(Table("", names, examples), code=3)


def _table(table: Table, code: int = 0) -> Iterator[str]:
    """A table, of whose columns those from the second on, `code` of them, are a model's text."""
    yield "| " + " | ".join(_plain(name) for name in table.head) + " |"
    yield "|" + "---|" * len(table.head)
    for row in table.rows:
        cells = [_code(cell) if 0 < i <= code else _plain(cell) for i, cell in enumerate(row)]
        yield "| " + " | ".join(cells) + " |"


def _items(items: Sequence[Item], depth: int) -> Iterator[str]:
    for one in items:
        remark = f" ({_plain(one.remark)})" if one.remark else ""
        yield "  " * depth + f"- {_code(one.text)}{remark}"
        yield from _items(one.items, depth + 1)


def _plain(text: Any) -> str:
    """Text in which nothing is markup, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(shown(text, 2000).split()))


def _code(text: Any) -> str:
    """A code span, on one line; a bar would end a cell of a table even there."""
    text = " ".join(shown(text, 300).split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _fenced(text: str) -> Iterator[str]:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    yield from (fence, text, fence)


def _file(name: str) -> str:
    """A file's name as a link has it."""
    from urllib.parse import quote

    return quote(name)
