"""A short report as Markdown with separate SVG files, for a README or a paper.

Generated text is put into code spans, where it cannot act as markup.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from rzero_cli.report.content import Report
from rzero_cli.report.drawing import alone
from rzero_cli.report.page import drawing_of, environment
from rzero_cli.report.parts import Chart, Iteration, shown

_MARKUP = re.compile(r"([\\`*_\[\]<>|$#~@!&])")


def markdown(report: Report, stem: str) -> tuple[str, dict[str, str]]:
    """Return the text of `STEM.md` and its pictures, file name -> SVG."""
    pictures: dict[str, str] = {}

    def picture(block: Chart | Iteration) -> str:
        name = f"{stem}-{block.id}.svg"
        pictures[name] = alone(str(drawing_of(block)))
        words = " ".join(shown(block.words(), 500).split())
        return f"![{_plain(block.title)}. {_plain(words)}](<{quote(name)}>)"

    own = environment(autoescape=False)
    own.filters |= {"plain": _plain, "code": _code, "fenced": _fenced}
    own.filters |= {"cluster_row": _cluster_row, "example_row": _example_row}
    text = own.get_template("report.md.jinja").render(report=report, picture=picture)
    return re.sub(r"\n{3,}", "\n\n", text), pictures


def _cluster_row(cluster: dict[str, Any]) -> list[str]:
    return [f"{cluster['n']} ({cluster['share']} %)", cluster["question"]]


def _example_row(example: dict[str, Any]) -> list[str]:
    return [
        f"{example['what']} (line {example['line']})",
        example["question"],
        ", ".join(f"{vote['answer']} ×{vote['n']}" for vote in example["votes"]),
        "none" if example["label"] is None else example["label"],
        f"{example['p_hat']:.2f}",
        {True: "yes", False: "no", None: "unknown"}[example["correct"]],
    ]


def _plain(text: Any) -> str:
    """Return text on one line with all markup escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(shown(text, 2000).split()))


def _code(text: Any) -> str:
    """Return a code span on one line; a bar would end a table cell even inside it."""
    text = " ".join(shown(text, 300).split()).replace("|", "\\|")
    fence = _fence(text, 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _fenced(text: str) -> str:
    fence = _fence(text, 3)
    return f"{fence}\n{text}\n{fence}"


def _fence(text: str, least: int) -> str:
    """Return more backticks than occur in a row in a text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
