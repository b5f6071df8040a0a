"""`rzero report`: tables, JSON, pictures and pages of small runs, hostile names, errors."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from helpers.report_pages import write_report
from helpers.run_records import by_tasks, evaluated, iteration, run_of, scored, task, write
from rzero_cli.report.summary import over_runs, summarize_run

TABLE = [
    "base 40.0 37.0-44.0 30.0 50.0 - - - - 1",
    "base-challenger 50.0 47.0-54.0 40.0 60.0 90.0 0.75 600 200 52",
    "iter-1 60.0 57.0-64.0 50.0 70.0 75.0 0.75 600 200 62",
    "iter-2 70.0 67.0-74.0 60.0 80.0 75.0 0.75 600 200 62",
]


def rows_of(text: str) -> list[str]:
    """Return the rows of a printed table, without head and rules, single-spaced."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if re.search(r"\d+\.\d", line)]


def test_report_prints_a_run_as_a_table(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", two_runs[0])
    assert (ended.status, ended.stderr) == (0, "")
    assert rows_of(ended.stdout) == TABLE
    head = " ".join(ended.stdout.split("base")[0].split())
    for name in ("mean@8 %", "95 % interval", "greedy %", "maj@8 %", "true labels %", "p_hat"):
        assert name in head


def test_report_prints_several_runs_with_their_spread(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", *two_runs)
    assert ended.status == 0
    # Worked out above.
    trained = next(row for row in rows_of(ended.stdout) if row.startswith("trained"))
    assert trained == "trained 2 67.5 ± 3.5 +22.5 ± 10.6 +15.0 ± 7.1 70.0 65.0"


def test_report_json_is_the_summary(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", two_runs[0], "--json")
    assert json.loads(ended.stdout) == summarize_run(two_runs[0])
    several = json.loads(rzero("report", *two_runs, "--json").stdout)
    assert several["rows"] == over_runs([summarize_run(run) for run in two_runs])
    assert several["runs"] == [str(run) for run in two_runs]


def test_report_format_follows_the_file_suffix(
    rzero: Rzero, two_runs: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    names = ["s.json", "s.txt", "s.png", "s.svg", "s.html"]
    ended = rzero("report", two_runs[0], *(part for name in names for part in ("-o", name)))
    assert ended.status == 0, ended.stderr
    assert sorted(ended.stderr.splitlines()) == sorted(f"report: {name}" for name in names)
    assert json.loads((tmp_path / "s.json").read_text()) == summarize_run(two_runs[0])
    assert (tmp_path / "s.txt").read_text().strip() == ended.stdout.strip()
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "<svg" in (tmp_path / "s.svg").read_text()

    page = (tmp_path / "s.html").read_text()
    first = page[page.index("<tbody>") : page.index("</tbody>")]
    cells = [
        re.findall('<t[hd](?: scope="row")?>(.*?)</t[hd]>', row)
        for row in re.findall("<tr>(.*?)</tr>", first)
    ]
    assert [" ".join(row) for row in cells] == TABLE
    assert "<svg" in page
    assert not re.search("<(script|link|img)| src=", page)  # it needs no other file
    assert "&lt;labeled.jsonl&gt;" in page  # the settings, escaped


def test_report_writes_several_runs_as_json_and_text(
    rzero: Rzero, two_runs: list[Path], tmp_path: Path
) -> None:
    ended = rzero("report", *two_runs, "-o", "s.json", "-o", "s.txt", "--quiet")
    assert (ended.status, ended.stderr) == (0, "")
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert rows == over_runs([summarize_run(run) for run in two_runs])
    assert (tmp_path / "s.txt").read_text().strip() == ended.stdout.strip()


def test_page_escapes_the_name_of_a_run(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run_of(tmp_path / "<b>", 0.4, [0.5])
    assert rzero("report", "<b>", "-o", "page.html").status == 0
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


class Parts(HTMLParser):
    """The elements, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


LOADING = {"script", "img", "iframe", "object", "embed", "link", "base", "form", "image"}
HOSTILE = (
    '"><script src="http:evil">alert(1)<' + "\u2215" + 'script>--><img src=x onerror="x()">'
    "]]>&lt;$\\frac$\x1b[31m\u202e{0}"
)


def test_page_of_hostile_names_runs_and_loads_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = run_of(tmp_path / HOSTILE, 0.4, [0.5], [0.45])
    hostile = by_tasks(**{HOSTILE: task(0.4, 0.5, k=8)})
    hostile["tasks"][HOSTILE]["k"] = HOSTILE
    write(run / "base" / "eval.json", hostile)
    meta = run / "iter-1" / "labeled.jsonl.meta.json"
    metrics = {"questions": HOSTILE, "p_hat_mean": 0.5}
    write(
        meta, {"stage": HOSTILE, "settings": {HOSTILE: HOSTILE}, "metrics": metrics, "seconds": 1}
    )
    names = [tmp_path / name for name in ("s.html", "s.svg", "s.png")]
    write_report(run, *names)
    page = names[0].read_text()
    for text in (page, names[1].read_text()):
        parts = Parts(text)
        assert not LOADING & set(parts.tags)
        for name, value in parts.attributes:
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href", "action"):
                assert value.startswith("#")
            elif not name.startswith(("xmlns", "rdf:")):  # namespaces, which load nothing
                assert "://" not in value
            assert not re.search(r"url\((?!#)", value)
        assert "@import" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert ("content", policy) in Parts(page).attributes
    assert page.index("Content-Security-Policy") < page.index("<style")
    shown = "".join(Parts(page).texts)
    assert shown.count("alert(1)") >= 4  # title, heading, a cell, the settings: as text
    ElementTree.fromstring(names[1].read_text())  # an SVG must be XML
    ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])


@pytest.mark.parametrize("target", ["s.png", "s.html"])
def test_run_without_scores_is_reported(rzero: Rzero, tmp_path: Path, target: str) -> None:
    pytest.importorskip("matplotlib")
    write(tmp_path / "run" / "base" / "eval.json", by_tasks(perplexity=task(None)))
    iteration(tmp_path / "run" / "iter-1", by_tasks(perplexity=task(None)))
    ended = rzero("report", "run", "-o", target)
    assert ended.status == 0, ended.stderr
    # Five records of 10.25 s, and the evaluation's second.
    assert "iter-1 - - - - - 0.75 600 200 52" in " ".join(ended.stdout.split())
    assert (tmp_path / target).is_file()


def test_started_run_is_reported(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write(tmp_path / "run" / "base" / "eval.json", evaluated(0.4))
    ended = rzero("report", "run", "-o", "s.png", "-o", "s.html")
    assert ended.status == 0, ended.stderr
    assert rows_of(ended.stdout) == TABLE[:1]


def test_label_accuracy_of_zero_is_plotted(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from rzero_cli.report.picture import _figure

    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    for number, right in enumerate((0, 50, 100), 1):
        iteration(tmp_path / f"iter-{number}", evaluated(0.5), graded=(right, 100))
    figure = _figure(summarize_run(tmp_path))
    (line,) = figure.axes[1].get_lines()
    plotted = [list(map(float, points)) for points in (line.get_xdata(), line.get_ydata())]
    assert plotted == [[1, 2, 3], [0, 50, 100]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RUN_DIR"),
        (["nowhere"], "nowhere"),
        (["empty"], "empty: not the folder of a run (no base/eval.json)"),
        (["a", "empty"], "empty: not the folder of a run"),
        (["a", "-o", "summary.pdf"], "-o summary.pdf: unknown ending; known: .json, .txt, .png"),
        (["a", "-o", "summary"], "-o summary: unknown ending"),
        (["a", "-o", "nowhere/summary.json"], "-o nowhere/summary.json: no such folder"),
        (["a", "b", "-o", "s.png"], "several runs can only be written as .json or .txt"),
        (["a", "b", "-o", "s.json", "-o", "s.html"], "-o s.html: several runs can only be"),
        (["a", "c"], "iterations"),
        (["d"], "origin"),
        (["e", "e"], "score"),
    ],
)
def test_report_errors_are_one_line(
    refused: Refused, two_runs: list[Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    run_of(tmp_path / "c", 0.4, [0.5])
    write(tmp_path / "d" / "base" / "eval.json", {"k": 0, "greedy": scored(0.5)})
    write(tmp_path / "e" / "base" / "eval.json", by_tasks(perplexity=task(None)))
    before = sorted(tmp_path.rglob("*"))
    assert message in refused("report", *arguments)
    assert sorted(tmp_path.rglob("*")) == before
