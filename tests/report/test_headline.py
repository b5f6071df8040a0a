"""The verdict and the warnings at the top of a report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.run_folders import labelled, make_run, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import reported, section
from rzero_cli.report.content import Report


def test_verdict_names_the_best_solver_and_its_gain(whole_report: Report) -> None:
    # 40 of 50 right, the base model 20 of 50, so 20 questions changed.
    start = "The best Solver is that of iter-2: 80.0 % accuracy (95 % "
    assert whole_report.verdict.startswith(start)
    assert "40.0 points above the base model (40.0 %)" in whole_report.verdict
    low, high = re.search(
        r"difference \+(\d+\.\d) to \+(\d+\.\d)\. It was selected among 3", whole_report.verdict
    ).groups()  # type: ignore[union-attr]
    assert 20 < float(low) < 40 < float(high) < 60
    facts = dict(whole_report.facts)
    assert facts["Base model"] == "base-model"
    assert (facts["Preset"], facts["Seed"], facts["Seeds of the iterations"]) == (
        *("tiny", "7"),
        "1, 1, 1",
    )
    assert facts["Iterations"] == "3 done of 5 planned"


def test_warnings_of_falling_accuracy_and_of_no_gain(whole_report: Report, tmp_path: Path) -> None:
    assert "Accuracy fell by 10.0 points from iter-2 to iter-3" in whole_report.warnings[0]
    assert "iter-2/solver" in whole_report.warnings[0]
    run = make_run(tmp_path / "worse", [19], baseline=[25])
    text = " ".join(reported(run).warnings)
    assert "No iteration is better than the base model" in text
    assert "does better at iter-1, the last iteration with both scores (-12.0" in text
    # A fall or a gain by one question is noise.
    fine = " ".join(reported(make_run(tmp_path / "fine", [30, 40, 39])).warnings)
    assert "fell" not in fine
    assert "better than the base model" not in fine
    assert "within the noise" in " ".join(reported(make_run(tmp_path / "s", [21])).warnings)


def test_warnings_of_a_collapse(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40])
    write(run / "iter-1" / "labeled.jsonl", *map(labelled, range(60)))
    write(run / "iter-2" / "labeled.jsonl", *[labelled(0) | {"id": f"id{i}"} for i in range(60)])
    text = " ".join(reported(run).warnings)
    assert "Diversity falls: from iter-1 to iter-2 distinct questions fell from" in text
    assert (
        "near-duplicates of earlier ones, from the first iteration on: 90.0 % in iter-1, 98.3"
        in text
    )


def test_warning_of_near_duplicates_only_if_many_or_rising(
    tmp_path: Path,
) -> None:
    def warned(*apart: int) -> str:
        """Return the warnings of a run whose iterations have `apart` dissimilar questions of 60."""
        run = make_run(tmp_path / f"run-{apart}", [30] * len(apart), updates=1)
        for i, n in enumerate(apart, 1):
            texts = [" ".join(f"{w}{k}" for w in "abcdefgh") for k in range(n)] + ["a b c d"] * 60
            rows = [labelled(k) | {"question": text} for k, text in enumerate(texts[:60])]
            write(run / f"iter-{i}" / "labeled.jsonl", *rows)
        return " ".join(reported(run).warnings)

    assert "rose from 15.0 % in iter-1 to 31.7 % in iter-2" in warned(50, 40)
    assert "first iteration on: 81.7 % in iter-1, 65.0 % in iter-2." in warned(10, 20)
    for fine in (warned(10, 50), warned(40, 44)):
        assert "ear-duplicates of" not in fine


def test_chains_are_compared_at_their_last_common_iteration(tmp_path: Path) -> None:
    # At iter-1 the baseline is ahead; the longer chain's later iterations have no counterpart.
    for name, rights, baseline in (("a", [22, 40], [30]), ("b", [22], [30, 10])):
        run = make_run(tmp_path / name, rights, baseline=baseline, updates=1)
        text = " ".join(reported(run).warnings)
        assert "does better at iter-1, the last iteration with both scores (-16.0" in text


def test_solver_to_ship_is_named_once(tmp_path: Path) -> None:
    worse = make_run(tmp_path / "run", [18, 10], updates=1)
    found = reported(worse)
    assert found.verdict.startswith("No Solver is better than the base model. The best iteration")
    assert "iter-1: 36.0 % accuracy (95 % " in found.verdict
    assert "4.0 points below the base model (40.0 %)" in found.verdict
    assert "use the checkpoint" not in " ".join(found.warnings)
    guard = {"tripped": False, "verdict": "all is well; ship X", "ship": "runs/b/iter-2/solver"}
    write(worse / "iter-2" / "guard.json", guard)
    assert "No Solver is better" not in reported(worse).verdict
    better = make_run(tmp_path / "better", [40, 30], updates=1)
    assert "use the checkpoint iter-1/solver" in " ".join(reported(better).warnings)
    write(better / "iter-2" / "guard.json", guard)
    found = reported(better)
    assert dict(found.facts)["Ship"] == "runs/b/iter-2/solver (chosen by the guard)"
    assert found.verdict.startswith(
        "The Solver of iter-1 has the highest score of the iterations: 80"
    )
    assert "Accuracy fell by 20.0 points" in found.warnings[0]
    assert "use the checkpoint" not in " ".join(found.warnings)


def test_guard_that_stopped_the_loop_is_the_first_warning(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40], updates=2)
    write(run / "iter-1" / "guard.json", {"tripped": False, "verdict": "fine", "ship": "x"})
    guard = {"tripped": True, "verdict": "ship <iter-1/solver>", "ship": "<iter-1/solver>"}
    write(run / "iter-2" / "guard.json", guard)
    assert reported(run).warnings[0] == "The loop was stopped at iter-2: ship <iter-1/solver>"
    (run / "iter-2" / "guard.json").write_text("{")
    found = reported(run)
    assert not [one for one in found.warnings if "stopped" in one]
    assert section(found, "settings").remarks[0].startswith("iter-2/guard.json: cannot be read")


def test_warnings_of_few_true_labels_and_few_kept_questions(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [30, 40])
    write(run / "iter-2/graded.jsonl.meta.json", {"metrics": {"graded": 10, "correct": 1}})
    write(run / "iter-2/train.jsonl.meta.json", {"metrics": {"kept": 2}, "settings": {}})
    text = " ".join(reported(run).warnings)
    assert "(iter-2 10.0 %): from there on the Solver gains confidence" in text
    assert "iter-2: only 2 of 24 questions were kept" in text
