"""The page and the Markdown of a run: what stands in them, of whole runs and of broken ones."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conftest import Refused, Rzero
from grown_runs import evaluation, grow_iteration, grow_run, labelled, write

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from rzero_cli.commands.report import _columns, report
from rzero_cli.core.summary import summarize_run
from rzero_cli.report.content import Report, report_of
from rzero_cli.report.drawing import LIGHT, draw
from rzero_cli.report.markdown import markdown
from rzero_cli.report.page import page, patterns
from rzero_cli.report.parts import Chart, Questions, Section, Series, Table, Tree
from rzero_cli.report.reading import read_run


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
    """What a page is made of, and whether what is opened is closed."""

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
    low, high = re.search(r"difference \+(\d+\.\d) to \+(\d+\.\d)\.$", of_whole.verdict).groups()  # type: ignore[union-attr]
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
    assert "+12.0 points" in said
    fine = " ".join(reported(grow_run(tmp_path / "fine", [30, 40])).warnings)
    assert "fell" not in fine
    assert "gained" not in fine


def test_warnings_tell_of_a_collapse(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40])
    write(run / "iter-1" / "labeled.jsonl", *map(labelled, range(60)))
    write(run / "iter-2" / "labeled.jsonl", *[labelled(0) | {"id": f"id{i}"} for i in range(60)])
    said = " ".join(reported(run).warnings)
    assert "Diversity falls: from iter-1 to iter-2 distinct questions fell from" in said
    assert "iter-2: 98% of the questions are near-copies" in said


def test_a_guard_that_stopped_the_loop_is_told_first(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40], updates=2)
    write(run / "iter-1" / "guard.json", {"tripped": False, "verdict": "all is well"})
    write(run / "iter-2" / "guard.json", {"tripped": True, "verdict": "ship <iter-1/solver>"})
    assert reported(run).warnings[0] == "The loop was stopped at iter-2: ship <iter-1/solver>"
    (run / "iter-2" / "guard.json").write_text("{")
    found = reported(run)
    assert not [one for one in found.warnings if "stopped" in one]
    assert "guard.json: cannot be read" in " ".join(section(found, "settings").remarks)


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
    (first, *_) = section(of_whole, "questions").blocks
    found = {one["what"]: one for one in first.examples}  # type: ignore[union-attr]
    # p_hat is 0.1 (number % 10 + 1): line 7 is the first of 0.7, line 5 of 0.5, line 3 of 0.3.
    assert [one["line"] for one in found.values()] == [7, 5, 3, 1]
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


def test_clusters_are_the_largest_with_a_question_each(of_whole: Report) -> None:
    (first, *_) = section(of_whole, "questions").blocks
    sizes = [one["n"] for one in first.clusters]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) <= 24
    assert first.clusters[0]["question"].startswith("template")  # type: ignore[union-attr]


def test_the_figures_of_a_collapse_stand_side_by_side(of_whole: Report) -> None:
    table = next(b for b in section(of_whole, "collapse").blocks if isinstance(b, Table))
    assert list(table.head) == ["", "iter-1", "iter-2", "iter-3"]
    found = {name: cells for name, *cells in table.rows}
    assert found["questions"] == ["24"] * 3
    assert found["distinct answers"] == ["24"] * 3
    assert found["top 10 answers %"] == ["41.7"] * 3  # ten of 24


def test_openings_are_shown_with_their_share(of_whole: Report) -> None:
    (first, *_) = section(of_whole, "questions").blocks
    assert isinstance(first, Questions)
    told = replace(first, openings=[("what <is> the", "40%"), ("find", "7%")])
    part = replace(section(of_whole, "questions"), blocks=[told])
    text = page(replace(of_whole, sections=[part]))
    assert '<q dir="auto">what &lt;is&gt; the</q> 40%, <q dir="auto">find</q> 7%' in text


def test_time_and_tokens_of_every_stage(of_whole: Report) -> None:
    seconds = {one.name: one.y for one in chart(of_whole, "seconds").series}
    assert seconds["challenge"] == [30, 30, 30]
    assert seconds["label"] == [2.5, 2.5, 2.5]
    tokens = {one.name: one.y for one in chart(of_whole, "tokens").series}
    assert tokens["eval"] == [2500] * 3
    assert tokens["challenge"] == [500.0] * 3  # of the log's last step
    assert tokens["label"] == [1234] * 3


def test_every_section_names_files_of_the_run_and_nothing_is_amiss(
    of_whole: Report, whole: Path
) -> None:
    for one in of_whole.sections:
        assert one.lead
        assert one.sources, one.id
        for name in one.sources:
            pattern = re.sub(r"\{[^}]*\}", "*", name)
            assert list(whole.glob(pattern)), name
        if one.id != "settings":  # these records name no parents
            assert one.remarks == [], one.id


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


# ---------------------------------------------------------------- broken runs

HOSTILE = (
    "</style></svg><script>alert(1)</script><img src=x onerror=alert(1)> \u202etxet $\\frac$ "
    "\x1b[31m ``` `x` | [x](http://evil.example) ![x](http://evil.example/y) {{ 7*7 }} --> "
)


def hostile_run(folder: Path) -> Path:
    run = grow_run(folder, [30])
    record = labelled(4) | {
        "question": HOSTILE + "long " * 10_000,
        "answer": HOSTILE,
        "answers": [HOSTILE, None, *["x" * 50_000] * 100],
        "votes": {HOSTILE: 5, "x" * 50_000: 100},
    }
    write(run / "iter-1" / "labeled.jsonl", record)
    settings = {HOSTILE: HOSTILE, "seed": HOSTILE}
    write(run / "iter-1" / "challenger" / "rzero.json", {"stage": HOSTILE, "settings": settings})
    (run / "made-with").write_text(f"model {HOSTILE}, preset {HOSTILE}, seed 7")
    return run


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return reported(hostile_run(tmp_path_factory.mktemp("hostile") / "run"))


def test_what_a_model_wrote_is_text_and_cut(hostile: Report) -> None:
    text = page(hostile)
    outline = check_page(text)
    assert len(text) < 400_000
    assert "cut: 50," in text
    shown = "".join(outline.texts)
    assert shown.count("<script>alert(1)</script>") >= 4
    for bad in ("\x1b", "\u202e"):
        assert bad not in text
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|--> 49", shown)


def test_markdown_holds_what_a_model_wrote_in_code(hostile: Report) -> None:
    text, pictures = markdown(hostile, "report")
    assert len(text) < 100_000
    # Outside of code nothing of it is markup: neither HTML nor a link nor a picture.
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)
    outside = outside.replace("<details><summary>", "").replace("</summary>", "")
    outside = outside.replace("</details>", "")
    assert not re.search(r"(?<!\\)<(?!report)", outside)
    assert not re.search(r"(?<!\\)\]\((?!<report-)", outside)
    for bad in ("\x1b", "\u202e"):
        assert bad not in text
    for picture in pictures.values():
        ElementTree.fromstring(picture)


def damage(run: Path) -> dict[str, str]:
    """Break a run in many places; returns what is said of each, by the section that says it."""
    (run / "iter-2" / "eval.json").unlink()
    (run / "iter-3" / "eval.json").write_text("{")
    (run / "iter-2" / "labeled.jsonl").unlink()
    with (run / "iter-1" / "labeled.jsonl").open("ab") as stream:
        stream.write(b'{"question": 3}\n\xff\xfe\n{"question": "x", "p_hat": 7}\n{"torn')
    (run / "iter-3" / "labeled.jsonl").write_bytes(b"\0" * 1000)
    (run / "iter-1" / "graded.jsonl").unlink()
    (run / "iter-2" / "challenger" / "log.jsonl").unlink()
    (run / "iter-3" / "challenger" / "log.jsonl").write_text("nothing\n")
    shutil.move(run / "iter-3" / "solver", run / "iter-3" / "solver.part")
    with (run / "iter-3" / "solver.part" / "log.jsonl").open("a") as stream:
        stream.write('{"update": 7, "kl')
    (run / "iter-1" / "questions.jsonl.meta.json").write_text("[]")
    (run / "difficulty.json").write_text('{"rows": 3}')
    return {
        "accuracy": "iter-2/eval.json: not there yet",
        "difficulty": "difficulty.json: cannot be shown",
        "p-hat": "iter-2/labeled.jsonl: not there yet",
        "training": "iter-3/solver.part/log.jsonl: of an unfinished training, 6 updates so far",
        "time": "iter-1/questions.jsonl.meta.json: expected a JSON object",
    }


def test_what_is_broken_costs_its_own_part_of_the_page(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40, 35])
    said = damage(run)
    found = reported(run)
    for name, text in said.items():
        assert any(one.startswith(text) for one in section(found, name).remarks), name
    remarks = section(found, "p-hat").remarks
    assert "iter-1/labeled.jsonl: 4 lines passed over that cannot be read, the first 25" in remarks
    assert "iter-3/eval.json: cannot be read" in " ".join(section(found, "accuracy").remarks)
    # All the rest is there.
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 40), (1, 60)]
    assert chart(found, "p-hat-iter-1")
    assert chart(found, "challenger-kl").marks == []
    assert len(points(chart(found, "solver-kl"), "KL")) == 18
    assert "no evaluation yet of iter-2, iter-3." in " ".join(found.warnings)
    assert str(run) not in " ".join(one for s in found.sections for one in s.remarks)
    check_page(page(found))


def test_iterations_are_placed_by_their_number_where_one_is_missing(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30, 40, 35], updates=2)
    shutil.rmtree(run / "iter-2")
    found = reported(run)
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 40), (1, 60), (3, 70)]
    assert [x for x, _ in points(chart(found, "ways"), "greedy")] == [0, 1, 3]
    assert [x for x, _ in points(chart(found, "difficulty"), "mean p_hat")] == [1, 3]
    assert [x for x, _ in points(chart(found, "distinct"), "distinct answers")] == [1, 3]
    assert [*chart(found, "seconds").ticks.values()] == ["1", "3"]
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
def test_whatever_stands_in_a_file_the_rest_is_told(tmp_path: Path, name: str) -> None:
    path = grow_run(tmp_path / "run", [30], updates=2) / name
    whole = path.read_text()
    record = json.loads(whole.splitlines()[0] if path.suffix == ".jsonl" else whole)
    inner = [record, *(v for v in record.values() if isinstance(v, dict))]
    inner += [v for one in inner[1:] for v in one.values() if isinstance(v, dict)]
    draw_of = random.Random(0)
    for _ in range(12):
        place = draw_of.choice([one for one in inner if one])
        key, wrong = draw_of.choice(list(place)), draw_of.choice(WRONG)
        before, place[key] = place[key], wrong
        path.write_text(json.dumps(record) + "\n")
        place[key] = before
        found = read_run(tmp_path / "run")
        told = report_of(found, _columns(found.summary))
        assert not [one.id for one in told.sections if "cannot be shown:" in one.lead], (key, wrong)
        assert "cannot be said" not in told.verdict, (key, wrong)
    for raw in (b"", b"[" * 20_000, b"\xff", b"{}"):
        path.write_bytes(raw)
        found = read_run(tmp_path / "run")
        assert len(report_of(found, _columns(found.summary)).sections) == 9


@pytest.mark.parametrize("left", ["made-with", "iter-1", "base/eval.json"])
def test_a_run_that_has_only_just_begun_has_a_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, left: str
) -> None:
    run = tmp_path / "run"
    if left == "iter-1":
        (run / left).mkdir(parents=True)
    else:
        whole = grow_run(tmp_path / "whole", [])
        (run / left).parent.mkdir(parents=True)
        shutil.copy(whole / left, run / left)
    report([run], output=[tmp_path / "page.html", tmp_path / "page.md"])
    outline = check_page((tmp_path / "page.html").read_text())
    assert "evaluated yet" in "".join(outline.texts)
    if left != "base/eval.json":
        assert "report: base/eval.json: not there yet" in capsys.readouterr().err


def test_other_files_of_a_broken_run_are_refused_after_its_page(
    rzero: Rzero, tmp_path: Path
) -> None:
    run = grow_run(tmp_path / "run", [])
    (run / "base" / "eval.json").write_text("{")
    ended = rzero("report", "run", "-o", "s.json", "-o", "page.html")
    assert ended.status == 2
    assert "base/eval.json: cannot be read" in ended.stderr.splitlines()[-1]
    assert (tmp_path / "page.html").is_file()
    assert not (tmp_path / "s.json").exists()


def test_a_folder_without_anything_of_a_run_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "not the folder of a run" in refused("report", "empty", "-o", "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_run_on_tasks_without_grades_or_baselines_has_a_page(tmp_path: Path) -> None:
    run = grow_run(tmp_path / "run", [30], graded=False)
    for name, score in (("base", 0.5), ("iter-1", 0.75)):
        found = evaluation(25)
        scored = {"score": score, "stderr": 0.02, "ci95": [score - 0.1, score + 0.1]}
        task = {"metric": "exact_match,none", **scored, "k": 0, "n": 50, "samples": []}
        task |= {"greedy": scored, "mean_at_k": None, "maj_at_k": None}
        found["tasks"] = {"gsm8k": task, "arc": task}
        write(run / name / "eval.json", found)
    found = reported(run)
    assert points(chart(found, "accuracy"), "trained Challenger") == [(0, 50), (1, 75)]
    assert "75.0 % right" in found.verdict
    assert [one.name for one in chart(found, "difficulty").series] == ["mean p_hat"]


def test_many_questions_are_sampled_and_few_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rzero_cli.report import questions

    monkeypatch.setattr(questions, "CLUSTERED", 10)
    run = grow_run(tmp_path / "run", [30])
    first, again = (section(reported(run), "questions").blocks[0] for _ in range(2))
    assert first.clustered == "10 of 24 questions"  # type: ignore[union-attr]
    assert first == again


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
    assert patterns(names[:3]) == names[:3]


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
