"""`rzero report --format`: Markdown, JSON, which files are written or refused."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from helpers.run_folders import evaluation, labelled, make_iteration, make_run, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import reported, section, write_report
from rzero_cli.report.page import page, patterns
from rzero_cli.report.parts import Tree
from rzero_cli.report.run_folder import read_run
from rzero_cli.report.summary import summarize_run


def test_markdown_links_the_pictures_written_next_to_it(whole: Path, tmp_path: Path) -> None:
    write_report(whole, tmp_path / "a report.md")
    text = (tmp_path / "a report.md").read_text()
    shown = {name.replace("%20", " ") for name in re.findall(r"\]\(<([^>]*)>\)", text)}
    assert shown == {path.name for path in tmp_path.glob("*.svg")}
    assert {"a report-accuracy.svg", "a report-loop-iter-1.svg"} <= shown
    assert "| iter-2 | 80.0 |" in text
    assert "The best Solver is that of iter-2" in text
    for path in tmp_path.glob("*.svg"):
        assert "var(--" not in path.read_text()
        ElementTree.fromstring(path.read_text())


def test_json_summary_lists_base_baseline_and_iterations(rzero: Rzero, whole: Path) -> None:
    found = json.loads(rzero("report", whole, "--json").stdout)
    assert [row["model"] for row in found["rows"]] == [
        *("base", "base-challenger", "iter-1", "iter-2", "iter-3"),
    ]


def test_unfinished_iteration_has_a_row_only_in_the_page(rzero: Rzero, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30])
    make_iteration(run / "iter-2", 40)
    (run / "iter-2" / "eval.json").unlink()
    found = read_run(run)
    assert [row["model"] for row in summarize_run(run)["rows"]] == ["base", "iter-1"]
    assert [row["model"] for row in found.summary["rows"]] == ["base", "iter-1", "iter-2"]
    assert found.remarks["accuracy"] == ["iter-2/eval.json: does not exist yet"]


def test_files_of_many_iterations_are_named_by_a_pattern() -> None:
    names = ["base/eval.json", *(f"iter-{i}/eval.json" for i in range(1, 11)), "made-with"]
    assert patterns(names) == ["base/eval.json", "iter-*/eval.json", "made-with"]
    assert patterns(names[:2]) == names[:2]
    names += ["iter-1/a", "iter-3/a", "iter-1/solver/b", "iter-2/guard.json"]
    assert patterns(names)[1:4] == ["iter-*/{eval.json, a}", "iter-1/solver/b", "iter-2/guard.json"]


def test_long_question_is_truncated(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30])
    question = "\n".join(map(str, range(100)))
    write(run / "iter-1" / "labeled.jsonl", labelled(4) | {"question": question})
    (one,) = section(reported(run), "questions").blocks[0].examples  # type: ignore[union-attr]
    assert one["question"].split("\n") == [*map(str, range(14)), "…"]


def test_format_writes_into_the_run_folder(rzero: Rzero, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [])
    write(run / "iter-1" / "eval.json", evaluation(30))
    ended = rzero("report", "run", "--format", "md")
    assert ended.status == 0, ended.stderr
    assert "report: run/report.md" in ended.stderr
    assert (run / "report-accuracy.svg").is_file()
    assert "(<report-accuracy.svg>)" in (run / "report.md").read_text()


def test_existing_report_files_are_replaced_only_by_force(
    rzero: Rzero, refused: Refused, tmp_path: Path
) -> None:
    make_run(tmp_path / "run", [])
    (tmp_path / "page-accuracy.svg").write_text("mine")
    # A name that --format would not choose, and one of its pictures exists.
    error = refused("report", "run", "--format", "md", "-o", "page.md")
    assert error.startswith("page-accuracy.svg exists: choose another name, or replace it with")
    assert not (tmp_path / "page.md").exists()
    (tmp_path / "s.json").write_text("mine")
    assert "s.json exists" in refused("report", "run", "-o", "page.html", "-o", "s.json")
    assert (tmp_path / "s.json").read_text() == "mine"
    assert not (tmp_path / "page.html").exists()
    ended = rzero("report", "run", "--force", "--format", "md", "-o", "page.md", "-o", "s.json")
    assert ended.status == 0, ended.stderr
    assert "<svg" in (tmp_path / "page-accuracy.svg").read_text()
    assert "rows" in json.loads((tmp_path / "s.json").read_text())
    assert [path.name for path in tmp_path.rglob("*.md")] == ["page.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--format", "pdf"], "--format pdf: unknown; known: html, md"),
        (["run", "run", "--format", "md"], "several runs can only be written as .json or .txt"),
        (["nowhere", "--format", "html"], "nowhere: not the folder of a run"),
    ],
)
def test_format_option_errors(
    refused: Refused, tmp_path: Path, arguments: list[str], message: str
) -> None:
    run = make_run(tmp_path / "run", [])
    before = sorted(run.rglob("*"))
    assert message in refused("report", *arguments)
    assert sorted(run.rglob("*")) == before


def test_report_shows_the_lineage_with_changed_files(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [])
    labels = run / "iter-1" / "labeled.jsonl"
    write(labels, labelled(0))
    known = hashlib.sha256(labels.read_bytes()).hexdigest()
    origin = {"finished": "2026-01-01T00:00:00+00:00", "settings": {"seed": 3}, "metrics": {}}
    origin |= {"sha256": known, "directory": str(run), "stage": "label", "seconds": 1.0}
    parents = [{"path": "org/model", "sha256": None}]
    write(labels.with_name("labeled.jsonl.meta.json"), origin | {"parents": parents})
    write(run / "iter-1" / "train.jsonl", labelled(0))
    made_from = [{"path": "iter-1/labeled.jsonl", "sha256": known}]
    record = origin | {"stage": "filter", "parents": made_from, "output": "iter-1/train.jsonl"}
    write(run / "iter-1" / "train.jsonl.meta.json", record)
    labels.write_text(labels.read_text() + "\n")
    tree = next(b for b in section(reported(run), "settings").blocks if isinstance(b, Tree))
    (top,) = tree.items
    assert top.text.startswith("iter-1/train.jsonl · filter · ")
    (below,) = top.items
    assert below.text.startswith("iter-1/labeled.jsonl · label · ")
    assert (below.remark, below.is_wrong) == ("changed since", True)
    assert [(one.text, one.remark) for one in below.items] == [("org/model", "hub name")]
    assert '<em class="wrong">changed since</em>' in page(reported(run))
