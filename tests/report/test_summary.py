"""What a run came to: the summary of its folder, and `rzero report` that shows it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from math import sqrt
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from rzero_cli.errors import DataError, UsageError
from rzero_cli.report.summary import over_runs, summarize_run

ROW = ["model", "mean_at_k", "k", "ci95", "greedy", "maj_at_k", "score"]
ROW += ["label_accuracy", "p_hat_mean", "questions", "kept", "seconds"]
STAGES = {
    "questions.jsonl": "sample",
    "labeled.jsonl": "label",
    "train.jsonl": "filter",
    "graded.jsonl": "grade",
    "challenger": "challenge",
    "solver": "train-solver",
}


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def scored(value: float) -> dict[str, Any]:
    """A score with an interval of its own, so that none can be taken for another."""
    interval = [round(value - 0.03, 6), round(value + 0.04, 6)]
    return {"score": value, "stderr": 0.02, "ci95": interval}


def evaluated(mean: float, *, seconds: float = 1.0, k: int = 8) -> dict[str, Any]:
    """An eval.json; greedy is 0.1 below mean@k, maj@k 0.1 above."""
    greedy = scored(round(mean - 0.1, 6))
    only = {
        "metric": "mean_at_k" if k else "greedy",
        **(scored(mean) if k else greedy),
        "k": k,
        "n": 100,
        "greedy": greedy,
        "mean_at_k": scored(mean) if k else None,
        "maj_at_k": scored(round(mean + 0.1, 6)) if k else None,
        "groups": {},
        "samples": [],
    }
    return {"tasks": {"heldout": only}, "origin": {"stage": "eval", "seconds": seconds}}


def by_tasks(**tasks: Any) -> dict[str, Any]:
    return {"tasks": tasks, "groups": {}, "origin": {"stage": "eval", "seconds": 1.0}}


def task(greedy: float | None, mean: float | None = None, k: int = 0) -> dict[str, Any]:
    no_share = {"score": 0.5, "stderr": None, "ci95": None}
    return {
        "metric": "exact_match,none",
        **(no_share if greedy is None else scored(greedy)),
        "k": k,
        "n": 100,
        "greedy": None if greedy is None else scored(greedy),
        "mean_at_k": None if mean is None else scored(mean),
        "metrics": {"exact_match,none": 0.5},
        "samples": [],
    }


def iteration(
    folder: Path,
    results: dict[str, Any],
    *,
    graded: tuple[int, int] | None = None,
    labelled: tuple[int, float] = (600, 0.75),
    kept: int = 200,
    challenger: bool = True,
) -> None:
    """The artefacts' records of one iteration; `graded` is (correct, graded)."""
    metrics: dict[str, dict[str, Any]] = {
        "questions.jsonl": {"questions": labelled[0]},
        "labeled.jsonl": {"questions": labelled[0], "p_hat_mean": labelled[1]},
        "train.jsonl": {"read": labelled[0], "kept": kept},
        "solver": {"loss": 0.5},
    }
    if challenger:
        metrics["challenger"] = {"loss": 0.5}
    if graded is not None:
        metrics["graded.jsonl"] = {"correct": graded[0], "graded": graded[1]}
    for name, found in metrics.items():
        is_file = name.endswith(".jsonl")
        record = {
            "stage": STAGES[name],
            "settings": {"seed": 1, "made": f"<{name}>"},
            "metrics": found,
            "seconds": 10.25,
        }
        write(folder / (f"{name}.meta.json" if is_file else f"{name}/rzero.json"), record)
    write(folder / "eval.json", results)


def chain(folder: Path, means: list[float], **kwargs: Any) -> None:
    for number, mean in enumerate(means, 1):
        iteration(folder / f"iter-{number}", evaluated(mean), **kwargs)


def run_of(
    folder: Path, base: float, trained: list[float], baseline: list[float] | None = None
) -> Path:
    write(folder / "base" / "eval.json", evaluated(base))
    chain(folder, trained, graded=(150, 200))
    chain(folder / "base-challenger", baseline or [], graded=(90, 100), challenger=False)
    return folder


# ---------------------------------------------------------------- one run


def test_a_row_holds_the_figures_of_its_iteration(tmp_path: Path) -> None:
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


def test_rows_are_the_base_then_baselines_at_their_end_then_iterations(tmp_path: Path) -> None:
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


def test_a_run_that_has_only_begun_is_summarized(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    (tmp_path / "iter-1" / "challenger").mkdir(parents=True)
    summary = summarize_run(tmp_path)
    assert [row["model"] for row in summary["rows"]] == ["base"]
    assert (summary["settings"], summary["chains"]) == ({}, {})


@pytest.mark.parametrize(
    ("graded", "accuracy"), [(None, None), ((0, 0), None), ((0, 7), 0.0), ((7, 7), 1.0)]
)
def test_no_true_label_is_zero_and_no_label_at_all_is_nothing(
    tmp_path: Path, graded: tuple[int, int] | None, accuracy: float | None
) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    iteration(tmp_path / "iter-1", evaluated(0.5), graded=graded, labelled=(600, 0.0), kept=0)
    row = summarize_run(tmp_path)["rows"][1]
    assert (row["label_accuracy"], row["p_hat_mean"], row["kept"]) == (accuracy, 0.0, 0)


def test_without_sampled_answers_the_interval_is_that_of_greedy(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", evaluated(0.4, k=0))
    (row,) = summarize_run(tmp_path)["rows"]
    assert (row["mean_at_k"], row["k"], row["maj_at_k"]) == (None, 0, None)
    assert (row["greedy"], row["ci95"]) == (0.3, [0.27, 0.34])


def test_tasks_are_averaged_and_one_alone_keeps_its_interval(tmp_path: Path) -> None:
    results = by_tasks(a=task(0.25, 0.5, 4), b=task(0.75, 0.25, 4))
    write(tmp_path / "base" / "eval.json", results)
    iteration(tmp_path / "iter-1", by_tasks(a=task(0.25, 0.5, 4)))
    two, one = summarize_run(tmp_path)["rows"]
    assert (two["greedy"], two["mean_at_k"], two["score"], two["k"]) == (0.5, 0.375, 0.375, 4)
    # Two standard errors of 0.02: 1.96 * sqrt(0.02^2 + 0.02^2) / 2 to each side.
    assert two["ci95"] == pytest.approx([0.375 - 0.02772, 0.375 + 0.02772], abs=1e-5)
    assert (one["greedy"], one["mean_at_k"], one["ci95"]) == (0.25, 0.5, [0.47, 0.54])
    assert two["maj_at_k"] is one["maj_at_k"] is None


def test_a_suite_is_summed_up_by_its_own_average_and_no_other_score(tmp_path: Path) -> None:
    """Of greedy and sampled tasks neither greedy nor mean@k alone says anything."""
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


def test_a_metric_that_is_no_share_is_left_out_of_the_scores(tmp_path: Path) -> None:
    write(tmp_path / "base" / "eval.json", by_tasks(perplexity=task(None)))
    iteration(tmp_path / "iter-1", by_tasks(perplexity=task(None), b=task(0.75)))
    alone, among = summarize_run(tmp_path)["rows"]
    assert (alone["greedy"], alone["mean_at_k"], alone["ci95"]) == (None, None, None)
    assert (among["greedy"], among["ci95"]) == (0.75, [0.72, 0.79])


@pytest.mark.parametrize("broken", ["{", "[]", '{"k": 8}'])
def test_an_evaluation_that_cannot_be_read_is_named(tmp_path: Path, broken: str) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    (run / "iter-1" / "eval.json").write_text(broken)
    with pytest.raises(DataError, match=r"iter-1/eval\.json"):
        summarize_run(run)


def test_an_evaluation_without_its_origin_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    results = evaluated(0.4)
    del results["origin"]
    write(run / "base" / "eval.json", results)
    with pytest.raises(DataError, match=r"base/eval\.json.*origin"):
        summarize_run(run)


def test_a_folder_that_is_no_iteration_is_passed_over(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0.4, [0.5])
    write(run / "iter-old" / "eval.json", evaluated(0.9))
    assert [row["model"] for row in summarize_run(run)["rows"]] == ["base", "iter-1"]


# ---------------------------------------------------------------- several runs


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    return [
        run_of(tmp_path / "a", 0.40, [0.60, 0.70], [0.45, 0.50]),
        run_of(tmp_path / "b", 0.50, [0.60, 0.65], [0.50, 0.55]),
    ]


def about(values: list[float], *, mean: float, sd: float) -> dict[str, Any]:
    spread = {"mean": mean, "sd": sd, "values": values}
    return {name: pytest.approx(value) for name, value in spread.items()}


def test_means_and_paired_differences_worked_out_by_hand(two_runs: list[Path]) -> None:
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
    # 0.50 and 0.55; less 0.40 and 0.50: 0.10 and 0.05
    assert plain(baseline) == {"model": "base-challenger", "runs": 2} | about(
        [0.50, 0.55], mean=0.525, sd=0.05 / sqrt(2)
    )
    assert baseline["minus_base"] == about([0.10, 0.05], mean=0.075, sd=0.05 / sqrt(2))
    assert "minus_base_challenger" not in baseline
    # 0.70 and 0.65; less 0.40 and 0.50: 0.30 and 0.15. Were the runs not paired, the spread would
    # be sqrt(0.05^2 + 0.10^2) / sqrt(2) = 0.079 instead of 0.106.
    assert plain(trained) == {"model": "trained", "runs": 2} | about(
        [0.70, 0.65], mean=0.675, sd=0.05 / sqrt(2)
    )
    assert trained["minus_base"] == about([0.30, 0.15], mean=0.225, sd=0.15 / sqrt(2))
    # less 0.50 and 0.55: 0.20 and 0.10
    assert trained["minus_base_challenger"] == about([0.20, 0.10], mean=0.15, sd=0.10 / sqrt(2))


def test_the_spread_of_three_runs_is_the_sample_deviation(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / str(k), v, [v]) for k, v in enumerate((0.1, 0.2, 0.6))]
    rows = over_runs([summarize_run(run) for run in runs])
    # Mean 0.3; squares 0.04 + 0.01 + 0.09 = 0.14, over 2.
    assert [row["mean"] for row in rows] == pytest.approx([0.3, 0.3])
    assert [row["sd"] for row in rows] == pytest.approx([sqrt(0.07)] * 2)
    # A difference that is the same in every run has no spread at all.
    trained = next(row for row in rows if row["model"] == "trained")
    assert trained["minus_base"] == {"mean": 0, "sd": 0, "values": [0, 0, 0]}


def test_one_run_has_no_spread(two_runs: list[Path]) -> None:
    rows = over_runs([summarize_run(two_runs[0])])
    assert [row["sd"] for row in rows] == [None] * 3
    trained = next(row for row in rows if row["model"] == "trained")
    assert trained["minus_base"] == {
        "mean": pytest.approx(0.3),
        "sd": None,
        "values": [pytest.approx(0.3)],
    }


def test_chains_that_not_all_runs_have_are_left_out(tmp_path: Path) -> None:
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


# ---------------------------------------------------------------- the command

TABLE = [
    "base 40.0 37.0-44.0 30.0 50.0 - - - - 1",
    "base-challenger 50.0 47.0-54.0 40.0 60.0 90.0 0.75 600 200 52",
    "iter-1 60.0 57.0-64.0 50.0 70.0 75.0 0.75 600 200 62",
    "iter-2 70.0 67.0-74.0 60.0 80.0 75.0 0.75 600 200 62",
]


def rows_of(text: str) -> list[str]:
    """The rows of a printed table, without its head and rules, single-spaced."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if re.search(r"\d+\.\d", line)]


def test_a_run_is_printed_as_a_table(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", two_runs[0])
    assert (ended.status, ended.stderr) == (0, "")
    assert rows_of(ended.stdout) == TABLE
    head = " ".join(ended.stdout.split("base")[0].split())
    for name in ("mean@8 %", "95 % interval", "greedy %", "maj@8 %", "true labels %", "p_hat"):
        assert name in head


def test_several_runs_are_printed_with_their_spread(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", *two_runs)
    assert ended.status == 0
    # Worked out above.
    trained = next(row for row in rows_of(ended.stdout) if row.startswith("trained"))
    assert trained == "trained 2 67.5 ± 3.5 +22.5 ± 10.6 +15.0 ± 7.1 70.0 65.0"


def test_json_on_standard_output_is_the_summary(rzero: Rzero, two_runs: list[Path]) -> None:
    ended = rzero("report", two_runs[0], "--json")
    assert json.loads(ended.stdout) == summarize_run(two_runs[0])
    several = json.loads(rzero("report", *two_runs, "--json").stdout)
    assert several["rows"] == over_runs([summarize_run(run) for run in two_runs])
    assert several["runs"] == [str(run) for run in two_runs]


def test_the_ending_says_what_is_written(
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


def test_several_runs_are_written_as_json_and_text(
    rzero: Rzero, two_runs: list[Path], tmp_path: Path
) -> None:
    ended = rzero("report", *two_runs, "-o", "s.json", "-o", "s.txt", "--quiet")
    assert (ended.status, ended.stderr) == (0, "")
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert rows == over_runs([summarize_run(run) for run in two_runs])
    assert (tmp_path / "s.txt").read_text().strip() == ended.stdout.strip()


def test_a_page_shows_the_name_of_a_run_and_does_not_obey_it(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run_of(tmp_path / "<b>", 0.4, [0.5])
    assert rzero("report", "<b>", "-o", "page.html").status == 0
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


class Parts(HTMLParser):
    """The elements of a page, with what each holds and refers to."""

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


def test_a_page_of_hostile_names_runs_nothing_and_loads_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from rzero_cli.commands.report import report

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
    report([run], output=names, quiet=True)
    page = names[0].read_text()
    for text in (page, names[1].read_text()):
        parts = Parts(text)
        assert not LOADING & set(parts.tags)
        for name, value in parts.attributes:
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href", "action"):
                assert value.startswith("#")
            elif not name.startswith(("xmlns", "rdf:")):  # which names things, and loads none
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
def test_a_run_without_a_single_score_is_shown_all_the_same(
    rzero: Rzero, tmp_path: Path, target: str
) -> None:
    pytest.importorskip("matplotlib")
    write(tmp_path / "run" / "base" / "eval.json", by_tasks(perplexity=task(None)))
    iteration(tmp_path / "run" / "iter-1", by_tasks(perplexity=task(None)))
    ended = rzero("report", "run", "-o", target)
    assert ended.status == 0, ended.stderr
    # Five records of 10.25 s, and the evaluation's second.
    assert "iter-1 - - - - - 0.75 600 200 52" in " ".join(ended.stdout.split())
    assert (tmp_path / target).is_file()


def test_a_run_that_has_only_begun_is_shown(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write(tmp_path / "run" / "base" / "eval.json", evaluated(0.4))
    ended = rzero("report", "run", "-o", "s.png", "-o", "s.html")
    assert ended.status == 0, ended.stderr
    assert rows_of(ended.stdout) == TABLE[:1]


def test_labels_that_are_all_false_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from rzero_cli.report.picture import _figure

    write(tmp_path / "base" / "eval.json", evaluated(0.4))
    for number, right in enumerate((0, 50, 100), 1):
        iteration(tmp_path / f"iter-{number}", evaluated(0.5), graded=(right, 100))
    figure = _figure(summarize_run(tmp_path))
    (line,) = figure.axes[1].get_lines()
    drawn = [list(map(float, points)) for points in (line.get_xdata(), line.get_ydata())]
    assert drawn == [[1, 2, 3], [0, 50, 100]]


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
        (["a", "b", "-o", "s.png"], "several runs can be written as .json and .txt"),
        (["a", "b", "-o", "s.json", "-o", "s.html"], "several runs can be written as .json and"),
        (["a", "c"], "iterations"),
        (["d"], "origin"),
        (["e", "e"], "score"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(
    refused: Refused, two_runs: list[Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    run_of(tmp_path / "c", 0.4, [0.5])
    write(tmp_path / "d" / "base" / "eval.json", {"k": 0, "greedy": scored(0.5)})
    write(tmp_path / "e" / "base" / "eval.json", by_tasks(perplexity=task(None)))
    before = sorted(tmp_path.rglob("*"))
    assert message in refused("report", *arguments)
    assert sorted(tmp_path.rglob("*")) == before
