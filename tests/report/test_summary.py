"""The summary of one run and of several runs."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from helpers.run_records import (
    STAGES,
    by_tasks,
    chain,
    evaluated,
    iteration,
    run_of,
    scored,
    task,
    write,
)
from rzero_cli.errors import DataError, UsageError
from rzero_cli.report.summary import over_runs, summarize_run

ROW = ["model", "mean_at_k", "k", "ci95", "greedy", "maj_at_k", "score"]
ROW += ["label_accuracy", "p_hat_mean", "questions", "kept", "seconds"]


def test_summary_row_has_the_metrics_of_its_iteration(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4, seconds=2.5))
    iteration(
        tmp_path / "iter-1",
        evaluated(0.5, seconds=3.5),
        graded=(150, 200),
        labelled=(590, 0.8125),
        kept=200,
    )
    base, trained = summarize_run(tmp_path)["rows"]
    assert list(base) == list(trained) == ROW
    assert base == dict.fromkeys(ROW) | {
        "model": "base",
        "mean_at_k": 0.4,
        "k": 8,
        "ci95": [0.37, 0.44],
        "greedy": 0.3,
        "maj_at_k": 0.5,
        "score": 0.4,
        "seconds": 2.5,
    }
    assert trained == {
        "model": "iter-1",
        "mean_at_k": 0.5,
        "k": 8,
        "ci95": [0.47, 0.54],
        "greedy": 0.4,
        "maj_at_k": 0.6,
        "score": 0.5,
        "label_accuracy": 0.75,
        "p_hat_mean": 0.8125,
        "questions": 590,
        "kept": 200,
        # Six records of 10.25 s, and the evaluation's 3.5 s.
        "seconds": 65.0,
    }


def test_summary_rows_are_base_then_last_baselines_then_iterations(tmp_path: Path) -> None:
    # Eleven iterations: 10 comes after 9, not after 1.
    run = run_of(tmp_path, 0.4, [0.4 + k / 100 for k in range(1, 12)], [0.41, 0.42])
    chain(run / "no-filter", [0.43, 0.44, 0.45])
    summary = summarize_run(run)
    names = [row["model"] for row in summary["rows"]]
    assert names == ["base", "base-challenger", "no-filter", *(f"iter-{k}" for k in range(1, 12))]
    assert [row["mean_at_k"] for row in summary["rows"][1:3]] == [0.42, 0.45]
    assert {name: len(rows) for name, rows in summary["chains"].items()} == {
        "trained": 11,
        "base-challenger": 2,
        "no-filter": 3,
    }
    assert summary["settings"]["label"] == {"seed": 1, "made": "<labeled.jsonl>"}
    assert set(summary["settings"]) == set(STAGES.values())


def test_started_run_is_summarized(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    (tmp_path / "iter-1" / "challenger").mkdir(parents=True)
    summary = summarize_run(tmp_path)
    assert [row["model"] for row in summary["rows"]] == ["base"]
    assert (summary["settings"], summary["chains"]) == ({}, {})


@pytest.mark.parametrize(
    ("graded", "accuracy"), [(None, None), ((0, 0), None), ((0, 7), 0.0), ((7, 7), 1.0)]
)
def test_label_accuracy_is_0_without_true_labels_and_none_without_grades(
    tmp_path: Path, graded: tuple[int, int] | None, accuracy: float | None
) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    iteration(tmp_path / "iter-1", evaluated(0.5), graded=graded, labelled=(600, 0.0), kept=0)
    row = summarize_run(tmp_path)["rows"][1]
    assert (row["label_accuracy"], row["p_hat_mean"], row["kept"]) == (accuracy, 0.0, 0)


def test_interval_is_greedys_without_sampled_answers(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4, k=0))
    (row,) = summarize_run(tmp_path)["rows"]
    assert (row["mean_at_k"], row["k"], row["maj_at_k"]) == (None, 0, None)
    assert (row["greedy"], row["ci95"]) == (0.3, [0.27, 0.34])


def test_summary_averages_tasks_and_keeps_the_interval_of_one(tmp_path: Path) -> None:
    results = by_tasks(a=task(0.25, 0.5, 4), b=task(0.75, 0.25, 4))
    write(tmp_path / "base" / "eval.json", results)
    iteration(tmp_path / "iter-1", by_tasks(a=task(0.25, 0.5, 4)))
    two, one = summarize_run(tmp_path)["rows"]
    assert (two["greedy"], two["mean_at_k"], two["score"], two["k"]) == (0.5, 0.375, 0.375, 4)
    # Two standard errors of 0.02: 1.96 * sqrt(0.02^2 + 0.02^2) / 2 to each side.
    assert two["ci95"] == pytest.approx([0.375 - 0.02772, 0.375 + 0.02772], abs=1e-5)
    assert (one["greedy"], one["mean_at_k"], one["ci95"]) == (0.25, 0.5, [0.47, 0.54])
    assert two["maj_at_k"] is one["maj_at_k"] is None


def test_suite_is_summarized_by_its_own_average(tmp_path: Path) -> None:
    """Greedy and sampled tasks have neither `greedy` nor mean@k in common."""
    greedy, sampled = task(0.9), task(0.1, 0.2, 32) | {"greedy": None}
    mixed = by_tasks(gsm8k=greedy, amc23=sampled | scored(0.2))
    write(tmp_path / "base" / "eval.json", mixed)
    overall = {"rzero_overall": {**scored(0.7), "of": []}}
    iteration(tmp_path / "iter-1", mixed | {"averages": overall})
    base, both = summarize_run(tmp_path)["rows"]
    assert (base["greedy"], base["mean_at_k"], base["maj_at_k"]) == (None, None, None)
    assert base["score"] == pytest.approx(0.55)
    assert base["ci95"][0] < 0.55 < base["ci95"][1]
    assert (both["score"], both["ci95"]) == (0.7, [0.67, 0.74])


def test_metric_that_is_not_a_fraction_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", by_tasks(perplexity=task(None)))
    iteration(tmp_path / "iter-1", by_tasks(perplexity=task(None), b=task(0.75)))
    alone, among = summarize_run(tmp_path)["rows"]
    assert (alone["greedy"], alone["mean_at_k"], alone["ci95"]) == (None, None, None)
    assert (among["greedy"], among["ci95"]) == (0.75, [0.72, 0.79])


@pytest.mark.parametrize("broken", ["{", "[]", '{"k": 8}'])
def test_unreadable_evaluation_is_named(tmp_path: Path, broken: str) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    (run / "iter-1" / "eval.json").write_text(broken)
    with pytest.raises(DataError, match=r"iter-1/eval\.json"):
        summarize_run(run)


def test_evaluation_without_origin_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    results = evaluated(0.4)
    del results["origin"]
    write(run / "base" / "eval.json", results)
    with pytest.raises(DataError, match=r"base/eval\.json.*origin"):
        summarize_run(run)


def test_folder_that_is_not_an_iteration_is_ignored(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    write(run / "iter-old" / "eval.json", evaluated(0.9))
    assert [row["model"] for row in summarize_run(run)["rows"]] == ["base", "iter-1"]


def about(values: list[float], *, mean: float, sd: float) -> dict[str, Any]:
    spread = {"mean": mean, "sd": sd, "values": values}
    return {name: pytest.approx(value) for name, value in spread.items()}


def test_means_and_paired_differences_of_runs_by_hand(two_runs: list[Path]) -> None:
    # The sample standard deviation of two values is their distance over the root of two.
    base, baseline, trained = sorted(
        over_runs([summarize_run(run) for run in two_runs]),
        key=lambda row: ["base", "base-challenger", "trained"].index(row["model"]),
    )
    parts = {"minus_base", "minus_base_challenger"}

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in parts}

    # 0.40 and 0.50
    assert plain(base) == {"model": "base", "runs": 2} | about(
        [0.40, 0.50], mean=0.45, sd=0.10 / sqrt(2)
    )
    assert "minus_base" not in base
    # 0.50 and 0.55; minus 0.40 and 0.50: 0.10 and 0.05
    assert plain(baseline) == {"model": "base-challenger", "runs": 2} | about(
        [0.50, 0.55], mean=0.525, sd=0.05 / sqrt(2)
    )
    assert baseline["minus_base"] == about([0.10, 0.05], mean=0.075, sd=0.05 / sqrt(2))
    assert "minus_base_challenger" not in baseline
    # 0.70 and 0.65; minus 0.40 and 0.50: 0.30 and 0.15. Unpaired, the spread would be
    # sqrt(0.05^2 + 0.10^2) / sqrt(2) = 0.079 instead of 0.106.
    assert plain(trained) == {"model": "trained", "runs": 2} | about(
        [0.70, 0.65], mean=0.675, sd=0.05 / sqrt(2)
    )
    assert trained["minus_base"] == about([0.30, 0.15], mean=0.225, sd=0.15 / sqrt(2))
    # minus 0.50 and 0.55: 0.20 and 0.10
    assert trained["minus_base_challenger"] == about([0.20, 0.10], mean=0.15, sd=0.10 / sqrt(2))


def test_spread_of_runs_is_the_sample_standard_deviation(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / str(k), v, [v]) for k, v in enumerate((0.1, 0.2, 0.6))]
    rows = over_runs([summarize_run(run) for run in runs])
    # Mean 0.3; squares 0.04 + 0.01 + 0.09 = 0.14, over 2.
    assert [row["mean"] for row in rows] == pytest.approx([0.3, 0.3])
    assert [row["sd"] for row in rows] == pytest.approx([sqrt(0.07)] * 2)
    # A difference that is equal in every run has no spread.
    trained = next(row for row in rows if row["model"] == "trained")
    assert trained["minus_base"] == {"mean": 0, "sd": 0, "values": [0, 0, 0]}


def test_spread_of_one_run_is_none(two_runs: list[Path]) -> None:
    rows = over_runs([summarize_run(two_runs[0])])
    assert [row["sd"] for row in rows] == [None] * 3
    trained = next(row for row in rows if row["model"] == "trained")
    assert trained["minus_base"] == {
        "mean": pytest.approx(0.3),
        "sd": None,
        "values": [pytest.approx(0.3)],
    }


def test_chains_missing_in_a_run_are_left_out(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a", 0.4, [0.5], [0.45]), run_of(tmp_path / "b", 0.4, [0.6])]
    rows = over_runs([summarize_run(run) for run in runs])
    assert {row["model"] for row in rows} == {"base", "trained"}
    assert not any("minus_base_challenger" in row for row in rows)


def test_runs_without_sampled_answers_are_compared_by_greedy(tmp_path: Path) -> None:
    for name, mean in (("a", 0.5), ("b", 0.7)):
        write(tmp_path / name / "base" / "eval.json", evaluated(mean, k=0))
    (row,) = over_runs([summarize_run(tmp_path / name) for name in "ab"])
    assert row["values"] == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize("baseline", [False, True])
def test_chains_of_unequal_length_are_not_compared(tmp_path: Path, baseline: bool) -> None:
    short, long = [0.5, 0.6], [0.5, 0.6, 0.7]
    runs = [
        run_of(tmp_path / "a", 0.4, long, long),
        run_of(tmp_path / "b", 0.4, *([long, short] if baseline else [short, long])),
    ]
    with pytest.raises(UsageError, match="iterations"):
        over_runs([summarize_run(run) for run in runs])
