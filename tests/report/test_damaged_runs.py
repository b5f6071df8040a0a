"""Reports of unfinished, damaged or hostile runs."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from helpers.run_folders import damage, evaluation, hostile_run, make_run, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import chart, check_page, points, reported, section, write_report
from rzero_cli.commands.report import _columns
from rzero_cli.report import content
from rzero_cli.report.content import Report, report_of
from rzero_cli.report.markdown import markdown
from rzero_cli.report.page import page
from rzero_cli.report.parts import Section, Table
from rzero_cli.report.run_folder import Run, read_run


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return reported(hostile_run(tmp_path_factory.mktemp("hostile") / "run"))


def test_generated_text_is_escaped_and_truncated(hostile: Report) -> None:
    text = page(hostile)
    outline = check_page(text)
    assert len(text) < 400_000
    assert "truncated from 50," in text
    shown = "".join(outline.texts)
    assert shown.count("<script>alert(1)</script>") >= 4
    for bad in ("\x1b", "\u202e"):
        assert bad not in text
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|--> 49", shown)


def test_markdown_puts_generated_text_in_code(hostile: Report) -> None:
    text, pictures = markdown(hostile, "report")
    assert len(text) < 100_000
    # Outside code spans there is no generated markup: no HTML, link or picture.
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)
    outside = outside.replace("<details><summary>", "").replace("</summary>", "")
    outside = outside.replace("</details>", "")
    assert not re.search(r"(?<!\\)<(?!report)", outside)
    assert not re.search(r"(?<!\\)\]\((?!<report-)", outside)
    for bad in ("\x1b", "\u202e"):
        assert bad not in text
    for picture in pictures.values():
        ElementTree.fromstring(picture)


def test_damaged_file_costs_only_its_own_section(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40, 35])
    expected = damage(run)
    found = reported(run)
    for name, text in expected.items():
        assert any(one.startswith(text) for one in section(found, name).remarks), name
    remarks = section(found, "p-hat").remarks
    remark = "iter-1/labeled.jsonl: skipped 4 lines that cannot be read, the first is 25"
    assert remark in remarks
    assert "iter-3/eval.json: cannot be read" in " ".join(section(found, "accuracy").remarks)
    # All other parts are complete.
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 40), (1, 60)]
    assert chart(found, "p-hat-iter-1")
    assert chart(found, "challenger-kl").marks == []
    assert len(points(chart(found, "solver-kl"), "KL")) == 18
    assert "iter-2, iter-3 not evaluated yet." in " ".join(found.warnings)
    assert str(run) not in " ".join(one for s in found.sections for one in s.remarks)
    check_page(page(found))


def test_missing_iteration_leaves_a_gap_in_charts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40, 35], updates=2)
    shutil.rmtree(run / "iter-2")
    found = reported(run)
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 40), (1, 60), (3, 70)]
    assert [x for x, _ in points(chart(found, "ways"), "greedy")] == [0, 1, 3]
    assert [x for x, _ in points(chart(found, "difficulty"), "mean p_hat")] == [1, 3]
    assert [x for x, _ in points(chart(found, "distinct"), "distinct answers")] == [1, 3]
    assert [*chart(found, "seconds").ticks.values()] == ["base", "1", "3"]
    assert [*chart(found, "solver-kl").ticks.values()] == ["1", "3"]


WRONG = (None, True, -1, 1e308, 10**400, float("nan"), "", [], [1], {"a": 1}, "\ud800\0<b>")


@pytest.mark.parametrize(
    "name",
    [
        *("base/eval.json", "iter-1/eval.json", "iter-1/labeled.jsonl", "iter-1/graded.jsonl"),
        *("iter-1/labeled.jsonl.meta.json", "iter-1/train.jsonl.meta.json"),
        *("iter-1/challenger/rzero.json", "iter-1/solver/log.jsonl"),
    ],
)
def test_any_value_in_a_file_leaves_the_other_sections(tmp_path: Path, name: str) -> None:
    path = make_run(tmp_path / "run", [30], updates=2) / name
    whole = path.read_text()
    record = json.loads(whole.splitlines()[0] if path.suffix == ".jsonl" else whole)
    inner = [record, *(v for v in record.values() if isinstance(v, dict))]
    inner += [v for one in inner[1:] for v in one.values() if isinstance(v, dict)]
    rng = random.Random(0)
    for _ in range(12):
        place = rng.choice([one for one in inner if one])
        key, wrong = rng.choice(list(place)), rng.choice(WRONG)
        before, place[key] = place[key], wrong
        path.write_text(json.dumps(record) + "\n")
        place[key] = before
        found = read_run(tmp_path / "run")
        made = report_of(found, _columns(found.summary))
        assert not [one.id for one in made.sections if "cannot be shown:" in one.lead], (key, wrong)
        assert "no verdict" not in made.verdict, (key, wrong)
    for raw in (b"", b"[" * 20_000, b"\xff", b"{}"):
        path.write_bytes(raw)
        found = read_run(tmp_path / "run")
        assert len(report_of(found, _columns(found.summary)).sections) == 9


@pytest.mark.parametrize("left", ["made-with", "iter-1", "base/eval.json"])
def test_just_started_run_has_a_page(tmp_path: Path, left: str) -> None:
    run = tmp_path / "run"
    if left == "iter-1":
        (run / left).mkdir(parents=True)
    else:
        whole = make_run(tmp_path / "whole", [])
        (run / left).parent.mkdir(parents=True)
        shutil.copy(whole / left, run / left)
    stderr = write_report(run, tmp_path / "page.html", tmp_path / "page.md")
    outline = check_page((tmp_path / "page.html").read_text())
    assert "evaluated yet" in "".join(outline.texts)
    if left != "base/eval.json":
        assert "report: base/eval.json: does not exist yet" in stderr


def test_json_of_a_damaged_run_is_refused_after_its_page(rzero: Rzero, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [])
    (run / "base" / "eval.json").write_text("{")
    ended = rzero("report", "run", "-o", "s.json", "-o", "page.html")
    assert ended.status == 2
    assert "base/eval.json: cannot be read" in ended.stderr.splitlines()[-1]
    assert (tmp_path / "page.html").is_file()
    assert not (tmp_path / "s.json").exists()


def test_folder_without_a_run_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "not the folder of a run" in refused("report", "empty", "-o", "page.html")
    assert not (tmp_path / "page.html").exists()


def test_run_without_grades_or_baselines_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30], graded=False)
    for name, score in (("base", 0.5), ("iter-1", 0.75)):
        found = evaluation(25)
        scored = {"score": score, "stderr": 0.02, "ci95": [score - 0.1, score + 0.1]}
        task = {"metric": "exact_match,none", **scored, "k": 0, "n": 50, "samples": []}
        task |= {"greedy": scored, "mean_at_k": None, "maj_at_k": None}
        found["tasks"] = {"gsm8k": task, "arc": task}
        write(run / name / "eval.json", found)
    found = reported(run)
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 50), (1, 75)]
    assert "75.0 % accuracy" in found.verdict
    assert [one.name for one in chart(found, "difficulty").series] == ["mean p_hat"]


def test_large_question_files_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rzero_cli.analysis import diversity as statistics

    monkeypatch.setattr(statistics, "MOST_SAMPLED", 10)
    run = make_run(tmp_path / "run", [30])
    found = reported(run)
    first, again = (section(one, "questions").blocks[0] for one in (found, reported(run)))
    assert first.clustered == "10 of 24 questions"  # type: ignore[union-attr]
    assert first == again
    table = next(b for b in section(found, "collapse").blocks if isinstance(b, Table))
    counted = {name: cells for name, *cells in table.rows}
    there = first.clusters[0]["of"]  # type: ignore[union-attr]
    assert counted["clusters, of a sample of 10"] == [str(there)]
    assert "near-duplicates %" in counted  # among all


def test_evaluated_base_alone_is_shown_with_score_and_time(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run / "base" / "eval.json", evaluation(20, seconds=31.0))
    found = reported(run)
    assert points(chart(found, "accuracy"), "base model") == [(0, 40)]
    assert section(found, "accuracy").remarks == []
    assert points(chart(found, "seconds"), "eval") == [(0, 31)]
    check_page(page(found))


def test_result_of_another_tool_costs_only_its_own_metrics(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40], updates=1)
    write(run / "iter-2" / "eval.json", {"tasks": {}})
    write(run / "iter-1" / "train.jsonl.meta.json", {"settings": {}})
    read = read_run(run)
    assert [row["seconds"] for row in read.summary["rows"]] == [3.0, 70.5, 70.0]
    remarks = [text for part in read.remarks.values() for text in part]
    assert 'iter-2/eval.json: no "origin": not an output of `rzero eval`' in remarks
    assert 'iter-1/train.jsonl.meta.json: no "seconds": not a record of rzero' in remarks
    assert not [text for text in remarks if "cannot be shown" in text or str(run) in text]


def test_section_that_cannot_be_shown_gives_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(run: Run) -> Section:
        raise KeyError("score")

    monkeypatch.setattr(content, "_SECTIONS", (accuracy,))
    (lost,) = reported(make_run(tmp_path / "run", [30, 40], updates=1)).sections
    assert lost.lead == "This part cannot be shown: its files are damaged."
    assert lost.remarks == [f'{tmp_path / "run"}: no "score"']
