"""The page and the Markdown of a run: what stands in them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from helpers.run_folders import evaluation, grow_iteration, grow_run, labelled, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from helpers.report_pages import chart, check_page, points, reported, section
from rzero_cli.commands.report import report
from rzero_cli.report.content import Report
from rzero_cli.report.drawing import LIGHT, draw
from rzero_cli.report.page import page, patterns
from rzero_cli.report.parts import Chart, Questions, Series, Table, Tree
from rzero_cli.report.run_folder import read_run
from rzero_cli.report.summary import CHAINS, summarize_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = grow_run(tmp_path_factory.mktemp("whole") / "run", [30, 40, 35], baseline=[25, 28])
    (run / "iterations").write_text("5\n")
    return run


@pytest.fixture(scope="module")
def of_whole(whole: Path) -> Report:
    return reported(whole)


# ---------------------------------------------------------------- a whole run


def test_the_headline_names_the_best_solver_and_its_difference(of_whole: Report) -> None:
    # 40 of 50 right, the base 20 of 50; the same 20 questions changed.
    assert of_whole.verdict.startswith("The best Solver is that of iter-2: 80.0 % right (95 % ")
    assert "40.0 points above the base model (40.0 %)" in of_whole.verdict
    low, high = re.search(
        r"difference \+(\d+\.\d) to \+(\d+\.\d)\. It was chosen among 3", of_whole.verdict
    ).groups()  # type: ignore[union-attr]
    assert 20 < float(low) < 40 < float(high) < 60
    facts = dict(of_whole.facts)
    assert facts["Base model"] == "base-model"
    assert (facts["Preset"], facts["Seed"], facts["Seeds of the iterations"]) == (
        *("tiny", "7"),
        "1, 1, 1",
    )
    assert facts["Iterations"] == "3 done of 5 planned"


def test_warnings_say_what_went_wrong_in_plain_words(of_whole: Report, tmp_path: Path) -> None:
    assert "Accuracy fell by 10.0 points from iter-2 to iter-3" in of_whole.warnings[0]
    assert "iter-2/solver" in of_whole.warnings[0]
    run = grow_run(tmp_path / "worse", [19], baseline=[25])
    said = " ".join(reported(run).warnings)
    assert "nothing was gained" in said
    assert "does better by iter-1, the last iteration of which both are scored (-12.0" in said
    # A fall by one question is noise, and a gain by one is none.
    fine = " ".join(reported(grow_run(tmp_path / "fine", [30, 40, 39])).warnings)
    assert "fell" not in fine
    assert "gained" not in fine
    assert "no more than the noise" in " ".join(reported(grow_run(tmp_path / "s", [21])).warnings)


def test_warnings_tell_of_a_collapse(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40])
    write(run / "iter-1" / "labeled.jsonl", *map(labelled, range(60)))
    write(run / "iter-2" / "labeled.jsonl", *[labelled(0) | {"id": f"id{i}"} for i in range(60)])
    said = " ".join(reported(run).warnings)
    assert "Diversity falls: from iter-1 to iter-2 distinct questions fell from" in said
    assert (
        "near-duplicates of earlier ones, from the first iteration on: 90.0 % in iter-1, 98.3"
        in said
    )


def test_near_duplicates_are_told_with_both_values_and_only_where_many_or_more(
    tmp_path: Path,
) -> None:
    def said(*apart: int) -> str:
        """Of as many iterations, with so many of 60 questions that are like no other."""
        run = grow_run(tmp_path / f"run-{apart}", [30] * len(apart), updates=1)
        for i, n in enumerate(apart, 1):
            texts = [" ".join(f"{w}{k}" for w in "abcdefgh") for k in range(n)] + ["a b c d"] * 60
            rows = [labelled(k) | {"question": text} for k, text in enumerate(texts[:60])]
            write(run / f"iter-{i}" / "labeled.jsonl", *rows)
        return " ".join(reported(run).warnings)

    assert "rose from 15.0 % in iter-1 to 31.7 % in iter-2" in said(50, 40)
    assert "first iteration on: 81.7 % in iter-1, 65.0 % in iter-2." in said(10, 20)
    for fine in (said(10, 50), said(40, 44)):
        assert "ear-duplicates of" not in fine


def test_a_chain_that_is_longer_is_compared_where_both_are_scored(tmp_path: Path) -> None:
    # At iter-1 the baseline is ahead; the longer chain's later iterations are nobody's equal.
    for name, rights, baseline in (("a", [22, 40], [30]), ("b", [22], [30, 10])):
        run = grow_run(tmp_path / name, rights, baseline=baseline, updates=1)
        said = " ".join(reported(run).warnings)
        assert "does better by iter-1, the last iteration of which both are scored (-16.0" in said


def test_what_to_ship_is_said_once(tmp_path: Path) -> None:
    worse = grow_run(tmp_path / "run", [18, 10], updates=1)
    found = reported(worse)
    assert found.verdict.startswith("The base model is the best of the loop. The best iteration is")
    assert "iter-1: 36.0 % right (95 % " in found.verdict
    assert "4.0 points below the base model (40.0 %)" in found.verdict
    assert "checkpoint to use" not in " ".join(found.warnings)
    guard = {"tripped": False, "verdict": "all is well; ship X", "ship": "runs/b/iter-2/solver"}
    write(worse / "iter-2" / "guard.json", guard)
    assert "The base model is the best" not in reported(worse).verdict
    better = grow_run(tmp_path / "better", [40, 30], updates=1)
    assert "the checkpoint to use is iter-1/solver" in " ".join(reported(better).warnings)
    write(better / "iter-2" / "guard.json", guard)
    found = reported(better)
    assert dict(found.facts)["What to ship"] == "runs/b/iter-2/solver, says the guard"
    assert found.verdict.startswith(
        "The Solver of iter-1 has the highest score of the iterations: 80"
    )
    assert "Accuracy fell by 20.0 points" in found.warnings[0]
    assert "checkpoint to use" not in " ".join(found.warnings)


def test_a_guard_that_stopped_the_loop_is_told_first(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40], updates=2)
    write(run / "iter-1" / "guard.json", {"tripped": False, "verdict": "fine", "ship": "x"})
    guard = {"tripped": True, "verdict": "ship <iter-1/solver>", "ship": "<iter-1/solver>"}
    write(run / "iter-2" / "guard.json", guard)
    assert reported(run).warnings[0] == "The loop was stopped at iter-2: ship <iter-1/solver>"
    (run / "iter-2" / "guard.json").write_text("{")
    found = reported(run)
    assert not [one for one in found.warnings if "stopped" in one]
    assert section(found, "settings").remarks[0].startswith("iter-2/guard.json: cannot be read")


def test_few_true_labels_and_few_kept_questions_are_warned_of(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40])
    write(run / "iter-2/graded.jsonl.meta.json", {"metrics": {"graded": 10, "correct": 1}})
    write(run / "iter-2/train.jsonl.meta.json", {"metrics": {"kept": 2}, "settings": {}})
    said = " ".join(reported(run).warnings)
    assert "(iter-2 10.0 %): what the Solver gains from there on is sureness" in said
    assert "iter-2: only 2 of 24 questions were kept" in said


def test_charts_hold_the_figures_of_the_files(of_whole: Report) -> None:
    accuracy = chart(of_whole, "accuracy")
    assert points(accuracy, "trained Challenger") == [(0, 40), (1, 60), (2, 80), (3, 70)]
    assert points(accuracy, "base Challenger") == [(0, 40), (1, 50), (2, pytest.approx(56))]
    assert all(low < y < high for y, (low, high) in zip(*_last(accuracy), strict=True))
    difficulty = chart(of_whole, "difficulty")
    # Kept are the p_hats from 0.3 to 0.7, five in each ten: 12 of 24, every other label true.
    assert [y for _, y in points(difficulty, "true labels among the kept")] == [50, 50, 50]
    mean = 100 * sum(row["p_hat"] for row in map(labelled, range(24))) / 24
    assert points(difficulty, "mean p_hat")[0] == (1, pytest.approx(mean))
    # p_hat goes from 0.1 to 1.0 in turn: 24 questions are three of the first four, two of the rest.
    (bars,) = chart(of_whole, "p-hat-iter-1").series
    assert bars.y == [0, 3, 3, 3, 3, 2, 2, 2, 2, 4]
    assert points(chart(of_whole, "distinct"), "distinct questions")[0] == (1, 100)


def _last(chart: Chart) -> tuple[Any, Any]:
    return chart.series[0].y, chart.series[0].spans


def test_trainings_run_on_from_iteration_to_iteration(of_whole: Report) -> None:
    kl = chart(of_whole, "challenger-kl")
    assert [x for x, _ in points(kl, "KL")] == [*range(1, 19)]
    assert [round(1000 * y) for _, y in points(kl, "KL")] == [*range(1, 7)] * 3
    assert list(kl.marks) == [6, 12]
    assert kl.ticks == {3: "1", 9: "2", 15: "3"}
    reward = chart(of_whole, "solver-reward")
    assert [x for x, _ in points(reward, "reward")] == [1, 3, 5, 7, 9, 11, 13, 15, 17]
    assert {one.name for one in reward.series} == {
        *("reward", "agrees with the label", "readable answers"),
    }


def test_a_long_training_is_drawn_as_means(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30], updates=1000)
    kl = chart(reported(run), "solver-kl")
    drawn = points(kl, "KL")
    # 1,000 updates of at most 240 points: five each, the first of 1 to 5.
    assert len(drawn) == 200
    assert drawn[0] == (3, pytest.approx(0.003))
    assert "mean of 5 updates" in kl.note
    assert len(kl.table().rows) == 60
    assert "(60 of 200 points)" in kl.table().caption


def test_examples_are_chosen_by_p_hat_with_votes_and_verdict(of_whole: Report) -> None:
    found = _examples(of_whole)
    # p_hat is 0.1 (number % 10 + 1): line 7 is the first of 0.7, line 5 of 0.5, line 3 of 0.3.
    assert [one["line"] for one in found.values()] == [7, 5, 3, 1]
    assert [*found][-1] == "outside of the interval"
    sure = found["kept, the Solver is most sure"]
    assert (sure["label"], sure["p_hat"], sure["m"]) == ("106", 0.7, 10)
    assert [(v["answer"], v["n"], v["share"]) for v in sure["votes"]] == [
        ("106", 7, 70),
        ("906", 2, 20),
        ("no answer read", 1, 10),
    ]
    # The kept are lines 3 to 7, 13 to 17 and so on; every other one is true, the second first.
    assert [one["correct"] for one in found.values()] == [False, False, False, None]
    assert sure["reference"] == "0"


def _examples(report: Report) -> dict[str, dict[str, Any]]:
    (first, *_) = section(report, "questions").blocks
    assert isinstance(first, Questions)
    return {one["what"]: dict(one) for one in first.examples}


def test_an_example_is_called_kept_where_it_was_trained_on(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30], updates=1)
    train = run / "iter-1" / "train.jsonl"
    lines = train.read_text().splitlines(keepends=True)
    train.write_text("".join(line for line in lines if '"id6"' not in line))  # as --dedup may do
    assert [*_examples(reported(run))] == [
        "within the interval, dropped by another guard, the Solver is most sure",
        "kept, p_hat nearest to one half",
        "kept, the Solver is least sure",
        "outside of the interval",
    ]
    train.unlink()
    assert "within the interval, the Solver is most sure" in _examples(reported(run))


def test_questions_are_alike_by_the_measure_of_the_penalty(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30], updates=1)
    record = json.loads((run / "iter-1" / "challenger" / "rzero.json").read_text())
    near = {}
    for tau_bleu in (0.01, 0.9):
        settings = record["settings"] | {"bleu": "char", "tau_bleu": tau_bleu}
        write(run / "iter-1" / "challenger" / "rzero.json", record | {"settings": settings})
        near[tau_bleu] = points(chart(reported(run), "alike"), "near-duplicates")[0][1]
    assert near[0.01] == 0
    assert near[0.9] > 90
    settings = record["settings"] | {"bleu": "no such"}
    write(run / "iter-1" / "challenger" / "rzero.json", record | {"settings": settings})
    found = reported(run)
    assert points(chart(found, "alike"), "near-duplicates") == [(1, 75)]
    said = section(found, "p-hat").remarks[0]
    assert said.startswith('iter-1/challenger/rzero.json: "bleu" no such: unknown; known: 13a')


def test_clusters_are_the_largest_with_a_question_each(of_whole: Report) -> None:
    (first, *_) = section(of_whole, "questions").blocks
    sizes = [one["n"] for one in first.clusters]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) <= 24
    assert first.clusters[0]["question"].startswith("template")  # type: ignore[union-attr]


def test_the_figures_of_a_collapse_stand_side_by_side(of_whole: Report) -> None:
    table = next(b for b in section(of_whole, "collapse").blocks if isinstance(b, Table))
    assert list(table.head) == ["indicator", "iter-1", "iter-2", "iter-3"]
    found = {name: cells for name, *cells in table.rows}
    assert found["questions"] == ["24"] * 3
    assert found["distinct answers"] == ["24"] * 3
    assert found["top 10 answers %"] == ["41.7"] * 3  # ten of 24
    assert found["valid %"] == ["96.0"] * 3  # 24 of 25 drawn
    (first, *_) = section(of_whole, "questions").blocks
    assert found["clusters"][0] == str(first.clusters[0]["of"])  # type: ignore[union-attr]


def test_pictures_of_p_hat_have_one_scale(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40], updates=1)
    write(run / "iter-2" / "labeled.jsonl", *[labelled(4)] * 40)
    found = reported(run)
    assert {chart(found, f"p-hat-iter-{i}").limits for i in (1, 2)} == {(0, 42)}


def test_openings_are_shown_with_their_share(of_whole: Report) -> None:
    (first, *_) = section(of_whole, "questions").blocks
    assert isinstance(first, Questions)
    told = replace(first, openings=[("what <is> the", "40%"), ("find", "7%")])
    part = replace(section(of_whole, "questions"), blocks=[told])
    text = page(replace(of_whole, sections=[part]))
    assert '<q dir="auto">what &lt;is&gt; the</q> 40%, <q dir="auto">find</q> 7%' in text


def test_time_and_tokens_of_every_stage(of_whole: Report) -> None:
    seconds = {one.name: one.y for one in chart(of_whole, "seconds").series}
    assert chart(of_whole, "seconds").ticks == {0: "base", 1: "1", 2: "2", 3: "3"}
    assert seconds["challenge"] == [0, 30, 30, 30]
    assert seconds["label"] == [0, 2.5, 2.5, 2.5]
    tokens = {one.name: one.y for one in chart(of_whole, "tokens").series}
    assert tokens["eval"] == [2500] * 4
    # Three of six updates have new rollouts, 40 each, of 12.5 tokens on average.
    assert tokens["challenge"] == [0] + [1500] * 3
    assert tokens["label"] == [0] + [1234] * 3


def test_every_section_names_files_of_the_run_and_nothing_is_amiss(
    of_whole: Report, whole: Path
) -> None:
    assert {"made-with", "iterations", "base/eval.json"} <= set(of_whole.sources)
    named = of_whole.sources + [name for one in of_whole.sections for name in one.sources]
    assert [name for name in named if not (whole / name).is_file()] == []
    parts = {one.id: set(one.sources) for one in of_whole.sections}
    assert {"base/eval.json", "iter-1/labeled.jsonl"} <= parts["loop"]
    assert "base-challenger/iter-1/graded.jsonl.meta.json" in parts["difficulty"]
    for one in of_whole.sections:
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


def test_every_file_that_is_read_is_named(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40], baseline=[25], updates=1)
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


def test_difficulty_of_later_questions_for_the_base_is_drawn(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40])
    rows = [
        {"questions": f"iter-{k}", "scores": {"base": {"score": s}}, "label_accuracy": s / 2}
        for k, s in ((1, 0.5), (2, 0.25))
    ]
    write(run / "difficulty.json", {"solvers": ["base"], "rows": rows})
    found = chart(reported(run), "difficulty")
    assert points(found, "base model, greedy, on them") == [(1, 50), (2, 25)]
    assert points(found, "true labels in a sample") == [(1, 25), (2, 12.5)]


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize("iterations", [1, 10])
def test_a_page_of_any_number_of_iterations_is_well_formed(tmp_path: Path, iterations: int) -> None:
    run = grow_run(tmp_path / "run", [20 + 2 * i for i in range(iterations)])
    text = page(reported(run))
    check_page(text)
    assert text.count('class="chart"') >= 12 + iterations
    assert len(text) < 2_000_000
    # Of ten iterations the first and the last are unfolded.
    assert text.count('<details class="asked long" open>') == (1 if iterations == 1 else 2)


def test_the_numbers_of_a_picture_stand_below_it(of_whole: Report) -> None:
    text = page(of_whole)
    check_page(text)
    below = text[text.index("Accuracy on held-out questions</figcaption>") :]
    table = below[below.index("<table>") : below.index("</table>")]
    assert '<th scope="row">base</th><td>40.0 (27.6 to 53.8)</td>' in table
    assert "<caption>Accuracy on held-out questions</caption>" in table
    assert "trained Challenger: base: 40.0, 1: 60.0, 2: 80.0, 3: 70.0." in text  # in words


def test_every_colour_of_the_pictures_is_there_for_light_and_for_dark() -> None:
    from importlib.resources import files

    css = (files("rzero_cli.report") / "page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    for name, colour in LIGHT.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: #" in dark


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_are_told_from_the_background(theme: int) -> None:
    from importlib.resources import files

    css = (files("rzero_cli.report") / "page.css").read_text("utf-8")
    root = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root))
    for name in ("ink", "muted", "c1", "c2", "c3", "c4", "c5", "c6"):
        for ground in ("paper", "ground"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for ground in ("bar", "warn"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground


def test_the_same_chart_gives_the_same_picture() -> None:
    made = Chart("one", "$x$ & <b>", [Series("a $\\frac$", [1, 2], [3, 4])], "x", "y")
    assert draw(made) == draw(made)
    assert "$x$ &amp; &lt;b&gt;" in draw(made)


def test_the_lines_of_all_chains_are_told_apart() -> None:
    lines = [Series(f"{i}", [0, 1], [i, i + 1]) for i in range(1 + len(CHAINS))]
    svg = draw(Chart("one", "t", lines, "x", "y"))
    looks = set(re.findall(r'style="(fill: none;[^"]*stroke: var\(--c\d\)[^"]*)"', svg))
    assert len(looks) == len(lines) > 6


def test_a_line_is_parted_where_an_iteration_ends() -> None:
    lines = [Series("", [1, 2, 3, 4], [1, 2, 3, 4])]
    (whole,) = _strokes(draw(Chart("one", "t", lines, "x", "y")))
    (parted,) = _strokes(draw(Chart("one", "t", lines, "x", "y", marks=[2])))
    # M begins a stroke, L goes on with it.
    assert (whole.count("M"), whole.count("L")) == (1, 3)
    assert (parted.count("M"), parted.count("L")) == (2, 2)


def _strokes(svg: str) -> list[str]:
    found = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; stroke: var\(--c1\)', svg)
    return [path for path in found if path.count("L") > 1]


# ---------------------------------------------------------------- Markdown


def test_markdown_shows_pictures_that_are_written_beside_it(whole: Path, tmp_path: Path) -> None:
    report([whole], output=[tmp_path / "a report.md"])
    text = (tmp_path / "a report.md").read_text()
    shown = {name.replace("%20", " ") for name in re.findall(r"\]\(<([^>]*)>\)", text)}
    assert shown == {path.name for path in tmp_path.glob("*.svg")}
    assert {"a report-accuracy.svg", "a report-loop-iter-1.svg"} <= shown
    assert "| iter-2 | 80.0 |" in text
    assert "The best Solver is that of iter-2" in text
    for path in tmp_path.glob("*.svg"):
        assert "var(--" not in path.read_text()
        ElementTree.fromstring(path.read_text())


def test_json_of_the_summary_is_as_it_was(rzero: Rzero, whole: Path) -> None:
    found = json.loads(rzero("report", whole, "--json").stdout)
    assert [row["model"] for row in found["rows"]] == [
        *("base", "base-challenger", "iter-1", "iter-2", "iter-3"),
    ]


def test_an_iteration_that_has_begun_has_a_row_in_the_page_alone(
    rzero: Rzero, tmp_path: Path
) -> None:
    run = grow_run(tmp_path / "run", [30])
    grow_iteration(run / "iter-2", 40)
    (run / "iter-2" / "eval.json").unlink()
    found = read_run(run)
    assert [row["model"] for row in summarize_run(run)["rows"]] == ["base", "iter-1"]
    assert [row["model"] for row in found.summary["rows"]] == ["base", "iter-1", "iter-2"]
    assert found.remarks["accuracy"] == ["iter-2/eval.json: not there yet"]


def test_files_of_many_iterations_are_named_by_one_pattern() -> None:
    names = ["base/eval.json", *(f"iter-{i}/eval.json" for i in range(1, 11)), "made-with"]
    assert patterns(names) == ["base/eval.json", "iter-*/eval.json", "made-with"]
    assert patterns(names[:2]) == names[:2]
    names += ["iter-1/a", "iter-3/a", "iter-1/solver/b", "iter-2/guard.json"]
    assert patterns(names)[1:4] == ["iter-*/{eval.json, a}", "iter-1/solver/b", "iter-2/guard.json"]


def test_a_question_of_many_lines_is_cut(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30])
    question = "\n".join(map(str, range(100)))
    write(run / "iter-1" / "labeled.jsonl", labelled(4) | {"question": question})
    (one,) = section(reported(run), "questions").blocks[0].examples  # type: ignore[union-attr]
    assert one["question"].split("\n") == [*map(str, range(14)), "…"]


def test_format_writes_into_the_folder_of_the_run(rzero: Rzero, tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [])
    write(run / "iter-1" / "eval.json", evaluation(30))
    ended = rzero("report", "run", "--format", "md")
    assert ended.status == 0, ended.stderr
    assert "report: run/report.md" in ended.stderr
    assert (run / "report-accuracy.svg").is_file()
    assert "(<report-accuracy.svg>)" in (run / "report.md").read_text()


def test_what_is_there_is_replaced_only_if_that_is_asked_for(
    rzero: Rzero, refused: Refused, tmp_path: Path
) -> None:
    grow_run(tmp_path / "run", [])
    (tmp_path / "page-accuracy.svg").write_text("mine")
    # A name that --format would have chosen otherwise; and a picture beside it is there.
    said = refused("report", "run", "--format", "md", "-o", "page.md")
    assert said.startswith("page-accuracy.svg exists: choose another name, or replace it with")
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
        (["run", "run", "--format", "md"], "several runs can be written as .json and .txt"),
        (["nowhere", "--format", "html"], "nowhere: not the folder of a run"),
    ],
)
def test_what_cannot_be_formatted_is_refused(
    refused: Refused, tmp_path: Path, arguments: list[str], message: str
) -> None:
    run = grow_run(tmp_path / "run", [])
    before = sorted(run.rglob("*"))
    assert message in refused("report", *arguments)
    assert sorted(run.rglob("*")) == before


def test_the_lineage_is_told_from_the_run_and_names_what_has_changed(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [])
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
