"""The parts of a report by name, and checks that an HTML page is well formed."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from rzero_cli.report.content import Report, report_of
from rzero_cli.report.parts import Chart, Section
from rzero_cli.report.run_folder import read_run

__all__ = ["Outline", "chart", "check_page", "points", "reported", "section", "write_report"]


def write_report(run: Path, *outputs: Path) -> str:
    """Run `rzero report` and return its standard error."""
    command = [sys.executable, "-m", "rzero_cli", "report", run]
    for output in outputs:
        command += ["-o", output]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def reported(folder: Path) -> Report:
    return report_of(read_run(folder), {"model": ["base"]})


def section(report: Report, name: str) -> Section:
    return next(one for one in report.sections if one.id == name)


def chart(report: Report, name: str) -> Chart:
    charts = [b for s in report.sections for b in s.blocks if isinstance(b, Chart)]
    return next(one for one in charts if one.id == name)


def points(chart: Chart, name: str = "") -> list[tuple[float, float]]:
    (line,) = [one for one in chart.series if one.name == name]
    return list(zip(line.x, line.y, strict=True))


class Outline(HTMLParser):
    """The structure of a page, with a check that all elements are closed."""

    EMPTY = frozenset({"meta", "rect", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.referred: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in self.EMPTY:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("aria-labelledby", "aria-describedby"):
                self.referred += (value or "").split()
            elif name in ("href", "xlink:href"):
                assert value and value.startswith("#"), value
                self.referred.append(value[1:])
            assert not name.startswith("on") and name not in ("src", "srcset", "action"), name

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check_page(text: str) -> Outline:
    outline = Outline(text)
    assert outline.open == ["html"][:0]
    assert not {"script", "img", "iframe", "link", "object", "embed", "form"} & set(outline.tags)
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.referred) <= set(outline.ids)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    for before, after in zip(outline.headings, outline.headings[1:], strict=False):
        assert after <= before + 1
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}style"))) == 0
        title, words = (
            root.find(f"{{http://www.w3.org/2000/svg}}{tag}") for tag in ("title", "desc")
        )
        assert title is not None and title.text
        assert words is not None and words.text
        assert root.get("aria-labelledby") == f"{title.get('id')} {words.get('id')}"
        assert not re.search("#[0-9a-f]{6}", svg)  # colours are the page's
    assert "default-src 'none'" in text
    assert text.index("Content-Security-Policy") < text.index("<style")
    assert not re.search(r"url\((?!#)|@import", text)
    return outline
