"""The sections of a report: charts, examples, tables, the files that each one names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.run_folders import evaluation, labelled, make_run, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import chart, points, reported, section
from rzero_cli.report.content import Report
from rzero_cli.report.page import page, patterns
from rzero_cli.report.parts import Chart, Questions, Table


def test_charts_have_the_metrics_of_the_files(whole_report: Report) -> None:
    accuracy = chart(whole_report, "accuracy")
    assert points(accuracy, "trained Challenger") == [(0, 40), (1, 60), (2, 80), (3, 70)]
    assert points(accuracy, "base Challenger") == [(0, 40), (1, 50), (2, pytest.approx(56))]
    assert all(low < y < high for y, (low, high) in zip(*_last(accuracy), strict=True))
    difficulty = chart(whole_report, "difficulty")
    # Questions with p_hat from 0.3 to 0.7 are kept, 12 of 24; every other label is true.
    assert [y for _, y in points(difficulty, "true labels, kept questions")] == [50, 50, 50]
    mean = 100 * sum(row["p_hat"] for row in map(labelled, range(24))) / 24
    assert points(difficulty, "mean p_hat")[0] == (1, pytest.approx(mean))
    # p_hat cycles from 0.1 to 1.0: of 24 questions, three each have the first four values.
    (bars,) = chart(whole_report, "p-hat-iter-1").series
    assert bars.y == [0, 3, 3, 3, 3, 2, 2, 2, 2, 4]
    assert points(chart(whole_report, "distinct"), "distinct questions")[0] == (1, 100)


def _last(chart: Chart) -> tuple[Any, Any]:
    return chart.series[0].y, chart.series[0].spans


def test_training_curves_continue_across_iterations(whole_report: Report) -> None:
    kl = chart(whole_report, "challenger-kl")
    assert [x for x, _ in points(kl, "KL")] == [*range(1, 19)]
    assert [round(1000 * y) for _, y in points(kl, "KL")] == [*range(1, 7)] * 3
    assert list(kl.marks) == [6, 12]
    assert kl.ticks == {3: "1", 9: "2", 15: "3"}
    reward = chart(whole_report, "solver-reward")
    assert [x for x, _ in points(reward, "reward")] == [1, 3, 5, 7, 9, 11, 13, 15, 17]
    assert {one.name for one in reward.series} == {
        *("reward", "agrees with the label", "readable answers"),
    }


def test_long_training_is_plotted_as_means(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30], updates=1000)
    kl = chart(reported(run), "solver-kl")
    plotted = points(kl, "KL")
    # 1,000 updates in at most 240 points: five updates each, the first 1 to 5.
    assert len(plotted) == 200
    assert plotted[0] == (3, pytest.approx(0.003))
    assert "mean of 5 updates" in kl.note
    assert len(kl.table().rows) == 60
    assert "(60 of 200 points)" in kl.table().caption


def test_examples_are_chosen_by_p_hat_with_votes_and_verdict(whole_report: Report) -> None:
    found = _examples(whole_report)
    # p_hat is 0.1 (number % 10 + 1): line 7 is the first of 0.7, line 5 of 0.5, line 3 of 0.3.
    assert [one["line"] for one in found.values()] == [7, 5, 3, 1]
    assert [*found][-1] == "outside the interval"
    highest = found["kept, highest p_hat"]
    assert (highest["label"], highest["p_hat"], highest["m"]) == ("106", 0.7, 10)
    assert [(v["answer"], v["n"], v["share"]) for v in highest["votes"]] == [
        ("106", 7, 70),
        ("906", 2, 20),
        ("no answer read", 1, 10),
    ]
    # Lines 3 to 7, 13 to 17 and so on are kept; every other label is true, the second one first.
    assert [one["correct"] for one in found.values()] == [False, False, False, None]
    assert highest["reference"] == "0"


def _examples(report: Report) -> dict[str, dict[str, Any]]:
    (first, *_) = section(report, "questions").blocks
    assert isinstance(first, Questions)
    return {one["what"]: dict(one) for one in first.examples}


def test_example_is_called_kept_only_if_trained_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30], updates=1)
    train = run / "iter-1" / "train.jsonl"
    lines = train.read_text().splitlines(keepends=True)
    train.write_text("".join(line for line in lines if '"id6"' not in line))  # as --dedup may do
    assert [*_examples(reported(run))] == [
        "within the interval, dropped by another guard, highest p_hat",
        "kept, p_hat closest to one half",
        "kept, lowest p_hat",
        "outside the interval",
    ]
    train.unlink()
    assert "within the interval, highest p_hat" in _examples(reported(run))


def test_near_duplicates_use_the_settings_of_the_penalty(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30], updates=1)
    record = json.loads((run / "iter-1" / "challenger" / "rzero.json").read_text())
    near = {}
    for tau_bleu in (0.01, 0.9):
        settings = record["settings"] | {"bleu": "char", "tau_bleu": tau_bleu}
        write(run / "iter-1" / "challenger" / "rzero.json", record | {"settings": settings})
        near[tau_bleu] = points(chart(reported(run), "repetition"), "near-duplicates")[0][1]
    assert near[0.01] == 0
    assert near[0.9] > 90
    settings = record["settings"] | {"bleu": "no such"}
    write(run / "iter-1" / "challenger" / "rzero.json", record | {"settings": settings})
    found = reported(run)
    assert points(chart(found, "repetition"), "near-duplicates") == [(1, 75)]
    remark = section(found, "p-hat").remarks[0]
    assert remark.startswith('iter-1/challenger/rzero.json: "bleu" no such: unknown; known: 13a')


def test_largest_clusters_are_shown_with_a_question_each(whole_report: Report) -> None:
    (first, *_) = section(whole_report, "questions").blocks
    sizes = [one["n"] for one in first.clusters]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) <= 24
    assert first.clusters[0]["question"].startswith("template")  # type: ignore[union-attr]


def test_collapse_table_has_a_column_per_iteration(whole_report: Report) -> None:
    table = next(b for b in section(whole_report, "collapse").blocks if isinstance(b, Table))
    assert list(table.head) == ["indicator", "iter-1", "iter-2", "iter-3"]
    found = {name: cells for name, *cells in table.rows}
    assert found["questions"] == ["24"] * 3
    assert found["distinct answers"] == ["24"] * 3
    assert found["top 10 answers %"] == ["41.7"] * 3  # ten of 24
    assert found["valid %"] == ["96.0"] * 3  # 24 of 25 sampled
    (first, *_) = section(whole_report, "questions").blocks
    assert found["clusters"][0] == str(first.clusters[0]["of"])  # type: ignore[union-attr]


def test_p_hat_histograms_share_one_scale(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40], updates=1)
    write(run / "iter-2" / "labeled.jsonl", *[labelled(4)] * 40)
    found = reported(run)
    assert {chart(found, f"p-hat-iter-{i}").limits for i in (1, 2)} == {(0, 42)}


def test_openings_are_shown_with_their_percentage(whole_report: Report) -> None:
    (first, *_) = section(whole_report, "questions").blocks
    assert isinstance(first, Questions)
    opened = replace(first, openings=[("what <is> the", "40%"), ("find", "7%")])
    part = replace(section(whole_report, "questions"), blocks=[opened])
    text = page(replace(whole_report, sections=[part]))
    assert '<q dir="auto">what &lt;is&gt; the</q> 40%, <q dir="auto">find</q> 7%' in text


def test_time_and_tokens_of_every_stage(whole_report: Report) -> None:
    seconds = {one.name: one.y for one in chart(whole_report, "seconds").series}
    assert chart(whole_report, "seconds").ticks == {0: "base", 1: "1", 2: "2", 3: "3"}
    assert seconds["challenge"] == [0, 30, 30, 30]
    assert seconds["label"] == [0, 2.5, 2.5, 2.5]
    tokens = {one.name: one.y for one in chart(whole_report, "tokens").series}
    assert tokens["eval"] == [2500] * 4
    # Three of six updates have new rollouts, 40 each, of 12.5 tokens on average.
    assert tokens["challenge"] == [0] + [1500] * 3
    assert tokens["label"] == [0] + [1234] * 3


def test_time_of_every_stage_by_activity(whole_report: Report) -> None:
    blocks = section(whole_report, "time").blocks
    (table,) = (b for b in blocks if isinstance(b, Table) and "by activity" in b.caption)
    assert table.head == ("stage", "loading %", "rollouts %", "updates %", "generating %")
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert rows["challenge"] == ["20.0", "50.0", "30.0", "-"]
    assert rows["label"] == ["20.0", "-", "-", "80.0"]
    assert "filter" not in rows  # its record has no activities


def test_every_section_names_existing_files_without_remarks(
    whole_report: Report, whole: Path
) -> None:
    assert {"made-with", "iterations", "base/eval.json"} <= set(whole_report.sources)
    named = whole_report.sources + [name for one in whole_report.sections for name in one.sources]
    assert [name for name in named if not (whole / name).is_file()] == []
    parts = {one.id: set(one.sources) for one in whole_report.sections}
    assert {"base/eval.json", "iter-1/labeled.jsonl"} <= parts["loop"]
    assert "base-challenger/iter-1/graded.jsonl.meta.json" in parts["difficulty"]
    for one in whole_report.sections:
        assert one.lead
        assert one.sources, one.id
        for pattern in patterns(one.sources):
            inside = re.search(r"\{(.*)\}", pattern)
            for name in inside[1].split(", ") if inside else [""]:
                assert list(whole.glob(re.sub(r"\{.*\}", name, pattern))), pattern
        if one.id != "settings":  # these records name no parents
            assert one.remarks == [], one.id


_WATCHED = """
import sys
opened, folder = set(), sys.argv[1] + "/"
def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(folder):
        opened.add(str(arguments[0])[len(folder):])
sys.addaudithook(watch)
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from helpers.report_pages import reported
reported(Path(sys.argv[1]))
print(*sorted(opened), sep="\\n")
"""


def test_report_names_every_file_it_reads(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40], baseline=[25], updates=1)
    write(run / "difficulty.json", {"solvers": [], "rows": []})
    (run / "iterations").write_text("2")
    guard = {"tripped": False, "verdict": "", "ship": ""}
    write(run / "iter-2" / "guard.json", guard)
    origin = {"finished": "", "settings": {}, "metrics": {}, "seconds": 1.0, "directory": str(run)}
    known = [("train.jsonl", "filter", ["labeled.jsonl"]), ("labeled.jsonl", "label", ["seeds"])]
    for name, stage, parents in known:
        record = {"stage": stage, "sha256": "", "output": f"iter-1/{name}"}
        record["parents"] = [{"path": f"iter-1/{parent}", "sha256": ""} for parent in parents]
        write(run / "iter-1" / f"{name}.meta.json", origin | record)
    write(run / "iter-1" / "seeds", "not named by a stage")
    evaluated = evaluation(40)
    evaluated["origin"] |= origin | {"output": "iter-2/eval.json"}
    evaluated["origin"]["parents"] = [{"path": "iter-1/train.jsonl", "sha256": ""}]
    write(run / "iter-2" / "eval.json", evaluated)
    ended = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(run), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    opened = set(ended.stdout.split())
    assert {"iter-1/seeds", "iter-2/guard.json", "base-challenger/iter-1/eval.json"} <= opened
    found = reported(run)
    named = {name for one in found.sections for name in one.sources} | set(found.sources)
    assert opened - named == set()
    assert {name for name in named if not (run / name).is_file()} == set()


def test_difficulty_for_the_base_model_is_plotted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40])
    rows = [
        {"questions": f"iter-{k}", "scores": {"base": {"score": s}}, "label_accuracy": s / 2}
        for k, s in ((1, 0.5), (2, 0.25))
    ]
    write(run / "difficulty.json", {"solvers": ["base"], "rows": rows})
    found = chart(reported(run), "difficulty")
    assert points(found, "base model, greedy, sample") == [(1, 50), (2, 25)]
    assert points(found, "true labels, sample") == [(1, 25), (2, 12.5)]
