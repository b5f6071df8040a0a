"""The study: its statistics, what is collected of a run, and its page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from collected_runs import collected, iteration, solver
from grown_runs import write
from rzero_cli.world import questions as world

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "docs" / "evidence"
sys.path += [str(EVIDENCE), str(EVIDENCE.parent)]

import collect  # noqa: E402
import inference  # noqa: E402
import page  # noqa: E402
import study  # noqa: E402
import tables  # noqa: E402
from pictures import PICTURES  # noqa: E402
from plan import Comparison, Part, Plan, read_plan  # noqa: E402
from tables import BLOCKS, Study  # noqa: E402

# ---------------------------------------------------------------- statistics


def test_the_interval_over_bases_is_students() -> None:
    values = [3.0, 5.0, 4.0, 8.0]
    low, high = inference.t_interval(values) or (0.0, 0.0)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert inference.t_interval([3.0]) is None


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # as they are and all turned are the two farthest from 0
        ([-1.0, -2.0, -3.0], 2 / 8),
        ([1.0, 2.0, -3.0], 1.0),  # a sum of 0 is as near as can be
        ([0.1, 0.2, 0.3, -0.1], 6 / 16),  # 0.7; 0.5 where either 0.1 is turned; and these turned
        ([0.0, 0.0], 1.0),
        ([2.0], 1.0),
    ],
)
def test_signs_are_flipped_in_every_way(values: list[float], p: float) -> None:
    assert inference.sign_flip(values) == pytest.approx(p)


def test_the_exact_test_counts_ties_that_floats_would_tell_apart() -> None:
    rng = np.random.default_rng(3)
    values = [int(v) for v in rng.integers(-9, 20, size=9)]
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in _signs(9)]
    exact = Fraction(sum(one >= abs(sum(values)) for one in sums), len(sums))
    assert inference.sign_flip([v / 720 / 8 for v in values]) == pytest.approx(float(exact))


def _signs(n: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=n))


def test_more_signs_than_can_be_flipped_are_refused() -> None:
    with pytest.raises(ValueError, match="21 differences"):
        inference.sign_flip([1.0] * 21)


def test_holm_by_hand() -> None:
    # 3 x 0.01, 2 x 0.03, and no less for the largest than for the one before it.
    assert inference.holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert inference.holm([0.9, 0.8]) == [1.0, 1.0]
    assert inference.holm([]) == []


@pytest.mark.parametrize("apart", [0.0, 0.1, 1.0])
def test_two_levels_vary_as_bases_and_their_questions_do(apart: float) -> None:
    rng = np.random.default_rng(0)
    bases = [[rng.binomial(8, 0.5, 720) / 8 + apart * i] for i in range(6)]
    between = np.var([values.mean() for (values,) in bases]) / 6
    within = np.mean([values.var() for (values,) in bases]) / 6 / 720
    low, high = inference.two_level(bases)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(between + within), rel=0.1)
    assert inference.two_level(bases) == (low, high) != inference.two_level(bases, seed=1)


def test_two_sets_of_questions_are_drawn_apart() -> None:
    ones, halves = np.ones(100), np.repeat([0.0, 1.0], 50)
    low, high = inference.two_level([[ones, -halves]])
    assert low < 0.5 < high
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05, rel=0.1)
    assert inference.two_level([[ones, -ones], [ones, -ones]]) == (0.0, 0.0)


# ---------------------------------------------------------------- collecting


def _record(stage: str, **more: Any) -> dict[str, Any]:
    host = {"cores": 2, "name": "a-name", "memory_gib": 4.0, "gpus": []}
    own = {"stage": stage, "seconds": 9.0, "finished": "2026-01-02T03:04:05+00:00"}
    return own | {"host": host, "versions": {"torch": "2"}, "directory": "/", **more}


def _examined(path: Path, base: Path, right: int) -> None:
    """The first `right` held-out questions are answered right in each way, the others 3 of 4 times
    among the samples alone."""
    samples = [
        row | {"greedy": i < right, "maj": i < right, "correct": [i < right, True, True, True]}
        for i, row in enumerate(world.heldout_rows(5))
    ]
    scores = {"greedy": right / 720, "maj_at_k": right / 720}
    scores["mean_at_k"] = (3 * 720 + right) / 4 / 720
    task = {name: {"score": score} for name, score in scores.items()}
    task |= {"k": 4, "tokens": 77, "seconds": 2.0, "samples": samples[::-1]}
    record = _record("eval", settings={"model": str(base), "seed": 0})
    write(path, {"tasks": {"heldout": task}, "origin": record})


def _labelled(question: str, answer: str | None, p_hat: float = 0.5) -> dict[str, Any]:
    return {"question": question, "answer": answer, "p_hat": p_hat, "m": 2}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of base 5 made by hand: one iteration of the loop, and of the arm without filter."""
    base, run = tmp_path / "base-5", tmp_path / "run"
    write(base / "rzero.json", _record("tiny-base", settings={"seed": 5, "heldout_seed": None}))
    _examined(run / "base" / "eval.json", base, 10)
    (run / "made-with").write_text("model base-5, preset tiny, seed 7\n")
    kinds = world.draw_base(5).kinds
    mastered, hard = (
        next(p for p, of in kinds.items() if of == kind) for kind in ("mastered", "hard")
    )
    rows = [
        _labelled(f"{mastered} 123", world.truth(f"{mastered} 123"), 0.9),
        _labelled(f"{hard} 1234", world.truth(f"{hard} 1234")),
        _labelled(f"{hard} 12345", "77777"),
        _labelled("9999999", "1"),
        _labelled(f"{hard} 999", None),
    ]
    for folder, kept in ((run, rows[1:4]), (run / "no-filter", rows[:4])):
        first = folder / "iter-1"
        _examined(first / "eval.json", base, 20)
        write(first / "train.jsonl", *kept)
        write(first / "train.jsonl.meta.json", _record("filter"))
        logged = [{"reward": 0.25, "kl": 0.0, "step_time": 1.5, "num_tokens": 10.0}]
        logged += [{"reward": 0.75, "kl": 0.1, "step_time": 1.5, "num_tokens": 30.0}]
        write(first / "solver" / "log.jsonl", *logged)
        write(first / "solver" / "rzero.json", _record("train-solver"))
    write(run / "iter-1" / "labeled.jsonl", *rows)
    metrics = {"drawn": 8, "questions": 5, "malformed": 3}
    write(
        run / "iter-1" / "questions.jsonl.meta.json", _record("sample", metrics=metrics, tokens=5)
    )
    return run


def test_what_is_collected_of_a_run(run: Path) -> None:
    found = collect.collect(run)
    assert (found["base"], found["seed"], found["finished"]) == (5, 7, "2026-01-02")
    assert list(found["models"]) == ["base", "trained/1", "no-filter/1"]
    first = found["models"]["trained/1"]
    assert first["asked"]["drawn"] == 8
    assert first["asked"]["valid"] == 5 / 8
    # Kinds: mastered, medium, hard, out of form.
    assert first["asked"]["kinds"] == [1, 0, 3, 1]
    assert first["asked"]["labelled"] == [1, 0, 2, 1]
    assert first["asked"]["true"] == [1, 0, 1, 0]
    assert first["asked"]["digits"] == (3 + 4 + 5 + 7 + 3) / 5
    assert first["kept"]["kinds"] == [0, 0, 2, 1]
    assert first["kept"]["true"] == [0, 0, 1, 0]
    assert first["training"] == {"solver": {"updates": 2, "reward": [0.25, 0.75], "kl": 0.1}}
    trained = {"seconds": 9.0, "tokens": 30, "start_up": 6.0}
    assert first["stages"]["train-solver"] == trained
    assert first["exam"]["start_up"] == 7.0
    # Its questions and labels are the loop's; what is kept, and what was spent, its own.
    other = found["models"]["no-filter/1"]
    assert other["asked"] == first["asked"]
    assert other["kept"]["kinds"] == [1, 0, 2, 1]
    assert "sample" in first["stages"]
    assert "sample" not in other["stages"]


def test_verdicts_are_kept_in_the_order_of_the_heldout_rows(run: Path) -> None:
    found = json.loads(collect.dump(collect.collect(run)))
    exam = found["models"]["base"]["exam"]
    how = (found["questions"], found["k"])
    assert collect.right(exam, "greedy", *how) == [1.0] * 10 + [0.0] * 710
    assert collect.right(exam, "maj_at_k", *how) == [1.0] * 10 + [0.0] * 710
    assert collect.right(exam, "mean_at_k", *how) == [1.0] * 10 + [0.75] * 710


def test_nothing_of_the_machine_is_kept(run: Path) -> None:
    text = collect.dump(collect.collect(run))
    assert str(run.parent) not in text
    assert "a-name" not in text


def test_an_arm_apart_is_collected_by_its_name(run: Path) -> None:
    apart = shutil.copytree(run, run.with_name("run-fast"))
    found = collect.collect(run, {"fast": apart})
    assert list(found["models"]) == ["base", "trained/1", "no-filter/1", "fast/1"]
    assert found["models"]["fast/1"] == found["models"]["trained/1"]


def test_a_run_that_was_interrupted_while_guards_looked_on_is_collected(run: Path) -> None:
    shutil.copy(run / "base" / "eval.json", run / "base" / "probe.json")
    assert "guards" not in collect.collect(run)


def test_a_run_on_other_questions_is_refused(run: Path) -> None:
    made = run.parent / "base-5" / "rzero.json"
    made.write_text(made.read_text().replace('"seed": 5', '"seed": 6'))
    with pytest.raises(collect.DataError, match="not of the held-out questions"):
        collect.collect(run)


def test_the_arms_that_share_the_first_iteration_are_those_of_the_recipe() -> None:
    recipe = (ROOT / "src" / "rzero_cli" / "recipes" / "loop.mk").read_text("utf-8")
    (names,) = re.findall(r"^AS_THE_LOOP := \$\(addprefix \$\(R\)/,(.*)\)$", recipe, re.M)
    assert names.split() == [*collect._AS_THE_LOOP]


# ---------------------------------------------------------------- running

PLAN = Plan(
    "small",
    [0],
    [
        Part("main", ["trained", "base-challenger"], 2, [7], difficulty=True),
        Part("ten", ["trained"], 3, [7], guard=True),
        Part("collapse", ["trained"], 1, [7], solver_flags="--learning-rate 6e-4"),
    ],
    [],
)


def test_each_step_is_a_make_that_the_recipe_knows(tmp_path: Path) -> None:
    made = []
    for part in PLAN.parts:
        for name, arguments in study.steps(PLAN, part, 7, tmp_path):
            command = ["make", "-n", "-s", "-f", "src/rzero_cli/recipes/loop.mk", *arguments]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            lines = [
                line.split("rzero_cli ")[1] for line in done.stdout.splitlines() if "rzero_" in line
            ]
            made.append((part.name, name, [line.split()[0] for line in lines], done.stdout))
    first = ["sample", "label", "filter", "train-solver", "eval", "grade"]
    steps = {(part, name): stages for part, name, stages, _ in made}
    assert steps["main", "base"] == ["tiny-base"]
    assert sorted(steps["main", "trained"]) == sorted([*first, "challenge"] * 2 + ["eval"])
    assert sorted(steps["main", "base-challenger"]) == sorted(first * 2 + ["eval"])
    assert steps["main", "difficulty"].count("oracle") == 2
    assert steps["ten", "trained"].count("challenge") == 3
    assert "guard" not in steps["ten", "trained"], "no guard stops the chain"
    assert steps["ten", "guard"].count("guard") == 3
    assert all("--seed 7" in text for part, name, _, text in made if name == "base")
    fast = [line for *_, text in made for line in text.splitlines() if "6e-4" in line]
    assert len(fast) == 1
    assert " train-solver " in fast[0]
    assert "/evidence-7-collapse/iter-1/solver" in fast[0]


def test_what_the_caller_has_set_changes_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("RZERO_PRESET", "SOLVER_FLAGS", "GUARD", "DEDUP", "MAKEFLAGS")
    for name in (*changes, "RZERO_CACHE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "x")
    found = study._environment()
    assert not {*changes} & found.keys()
    assert found["RZERO_CACHE"] == "x"
    assert found["OMP_NUM_THREADS"] == "1"


def test_a_make_that_fails_stops_the_study(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for base in (7, 8):
        write(tmp_path / f"tiny-base-small-{base}" / "rzero.json", {})  # no model beside it
    plan = Plan("small", [0], [Part("main", ["trained"], 1, [7, 8])], [])
    with pytest.raises(study.Failed) as failed:
        study.run(plan, jobs=1, runs=tmp_path, only=[], parts=[])
    log = tmp_path / "evidence-7" / "study.log"
    assert str(failed.value) == f"base 7, main, trained: make ended with status 2: see {log}"
    assert "rzero: " in log.read_text()
    assert re.fullmatch(r"base 7, main, base: \d+\.\d min\n", capfd.readouterr().out)
    assert not (tmp_path / "evidence-8" / "iter-1").exists()


@pytest.mark.slow
def test_a_run_of_the_small_base_is_made_and_collected(
    tmp_path: Path, small_base: Path, small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_CACHE", str(small_cache))
    monkeypatch.setattr(study, "COLLECTED", tmp_path / "collected")
    plan = Plan("small", [1], [Part("main", ["trained"], 1, [0], guard=True)], [])
    study.run(plan, jobs=2, runs=tmp_path, only=[], parts=[])
    found = json.loads((tmp_path / "collected" / "0.json").read_text())
    first = tmp_path / "evidence-0" / "iter-1"
    graded = json.loads((first / "graded.jsonl.meta.json").read_text())["metrics"]
    model = found["models"]["trained/1"]
    assert sum(model["kept"]["true"]) == graded["correct"]
    assert sum(model["kept"]["labelled"]) == graded["graded"]
    task = json.loads((first / "eval.json").read_text())["tasks"]["heldout"]
    for measure in ("mean_at_k", "greedy", "maj_at_k"):
        values = collect.right(model["exam"], measure, 720, 8)
        assert sum(values) / 720 == pytest.approx(task[measure]["score"])
    guards = found["guards"]["trained"]
    assert len(guards["scores"]) == 2
    probe = guards["probe"]
    assert (
        probe["shipped"]
        == found["models"][["base", "trained/1"][probe["ship"]]]["exam"]["mean_at_k"]
    )


# ---------------------------------------------------------------- tables and pictures


def _study(**more: Any) -> Study:
    """Two of three planned bases: the Solver gains 2/8 and 3/8, labels fall from 3/4 to 1/4."""
    plan = Plan(
        "demo",
        [0],
        [
            Part("main", ["trained", "base-challenger"], 2, [1, 2, 3], difficulty=True),
            Part("controls", ["random-reward"], 2, [1]),
            Part("ten", ["trained"], 3, [1], guard=True),
            Part("collapse", ["trained"], 1, [1], guard=True, solver_flags="--learning-rate 1"),
        ],
        [
            Comparison("against the base", "trained/2", "base", "mean_at_k", primary=True),
            Comparison("greedy", "trained/2", "base", "greedy"),
            Comparison("labels", "trained/2", "trained/1", "label_accuracy", primary=True),
            Comparison("not there", "random-reward/2", "base", "mean_at_k", primary=True),
        ],
    )
    runs = {}
    for base, gain in ((1, 2), (2, 3)):
        models = {
            "base": solver(4),
            "trained/1": iteration(5),
            "trained/2": iteration(4 + gain, true=100, greedy=540),
            "base-challenger/1": iteration(4, kept=0, true=0),
            "base-challenger/2": iteration(4, kept=0, true=0),
        }
        if base == 1:
            models["trained/3"] = iteration(7, true=0)
            models["collapse/1"] = iteration(2)
            said = {"ship": 2, "shipped": 0.75, "best": 0.9, "last": 0.8}
            guards = {n: said | {"trips": 3} for n in ("probe", "both")}
            guards |= {"diversity": said | {"trips": None}}
            fell = said | {"trips": 1, "ship": 0}
            more["guards"] = {
                "trained": {"scores": [0.5, 0.6, 0.7, 0.6], **guards},
                "collapse": {"scores": [0.5, 0.2], "probe": fell},
            }
        row = {"questions": "iter-1", "n": 200, "p_hat_mean": 0.5, "label_accuracy": 0.8}
        row["scores"] = {"base": 0.4 + 0.1 * base, "iter-1": 0.9}
        difficulty = {"solvers": ["base", "iter-1"], "rows": [row]}
        runs[base] = collected(base, models, difficulty=difficulty, **more)
        more = {}
    return Study(plan, runs)


def _rows(block: str) -> dict[str, list[str]]:
    """The rows of a block's first table by their first cell."""
    lines = block.split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_scores_are_means_over_the_bases_there_are() -> None:
    block = BLOCKS["scores"](_study())
    rows = _rows(block)
    assert rows["base model"][:2] == ["**2 of 3**", "50.0 ± 0.0"]
    last = rows["trained Challenger after 2"]
    assert last[1] == "81.2 ± 8.8"  # of 75 and 87.5
    # t of one degree of freedom is 12.706; times the standard error 12.5 / 2.
    assert last[4] == "+31.2 (-48.2 to +110.7)"
    assert rows["random reward after 2"][:2] == ["**0 of 1**", "-"]
    assert "2 of 3 bases; missing: 3" in block
    assert "(random reward after 2): 0 of 1 bases; missing: 1" in block


def test_the_declared_family_by_hand() -> None:
    first, greedy, labels, absent = tables.tested(_study())
    assert first.differences == {1: 0.25, 2: 0.375}
    assert (first.p, first.adjusted) == (0.5, 1.0), "two signs, one of three primary tests"
    assert greedy.differences == {1: 0.25, 2: 0.25}
    assert (greedy.p, greedy.adjusted) == (0.5, None), "not of the family"
    assert greedy.interval == (0.25, 0.25)
    assert greedy.two_level and greedy.two_level[0] < 0.25 < greedy.two_level[1]
    assert labels.differences == {1: -0.5, 2: -0.5}
    assert (absent.differences, absent.p) == ({}, 1.0)
    rows = _rows(BLOCKS["comparisons"](_study()))
    cells = ["**2 of 3**", "+31.2", "-48.2 to +110.7", "2 of 2", "0.5000", "1.0000"]
    assert rows["**against the base (mean@8)**"][:6] == cells
    assert rows["greedy (greedy)"][4:6] == ["0.5000", "-"]
    assert rows["**not there (mean@8)**"] == ["**0 of 1**", *["-"] * 6]


def test_what_is_asked_and_what_is_true_of_it() -> None:
    lines = BLOCKS["iterations"](_study()).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    trained, base = (row for row in cells if row[1] == "2")
    assert trained[2:7] == ["**2 of 3**", "0.55", "400", "75.0", "25.0 ± 0.0"]
    assert trained[-4:] == ["0.0", "60.0", "30.0", "10.0"]
    assert base[4:7] == ["0", "75.0", "-"], "no label where nothing is kept"


def test_skills_are_by_what_the_base_knows() -> None:
    found = _study()
    verdicts = ""
    for phrasing in world.PHRASINGS:
        hard = phrasing in found.runs[1]["world"]["hard"]
        verdicts += ("0" if hard else "8") * 30
    found.runs[1]["models"]["base"]["exam"]["verdicts"]["mean_at_k"] = verdicts
    rows = _rows(BLOCKS["skills"](Study(found.plan, {1: found.runs[1]})))
    assert [rows[kind][0] for kind in ("mastered", "medium", "hard")] == ["100.0", "100.0", "0.0"]
    assert rows["3 digits"][0] == "41.7"  # 10 of 24 phrasings are not hard


def test_ten_iterations_and_their_guards() -> None:
    block = BLOCKS["ten"](_study())
    rows = _rows(block)
    assert list(rows) == ["0", "1", "2", "3"]
    assert rows["3"][:5] == ["1", "87.5", "50.0", "60.0", "0.0"]
    assert "| 1 | probe | after 3 | 2 | 75.0 | 90.0 | 80.0 |" in block
    assert "| 1 | diversity | never | 2 |" in block
    assert "Not complete" not in block
    fell = BLOCKS["collapse"](_study())
    assert _rows(fell)["1"][:4] == ["1", "25.0", "50.0", "20.0"]
    assert "| 1 | probe | after 1 | 0 |" in fell


def test_difficulty_is_a_mean_over_bases() -> None:
    block = BLOCKS["difficulty"](_study())
    assert _rows(block)["of iteration 1"][:2] == ["55.0 ± 7.1", "90.0 ± 0.0"]
    assert "2 of 3 bases; missing: 3" in block


@pytest.mark.parametrize("name", BLOCKS)
def test_without_runs_a_part_says_what_is_missing(name: str) -> None:
    plan = read_plan(EVIDENCE / "plan.toml")
    block = BLOCKS[name](Study(plan, {}))
    base = plan.parts[0].bases[0]
    assert f"missing: {base}" in block or f"| {base} |  | none of main" in block


def test_pictures_are_drawn_with_their_words_and_twice_the_same() -> None:
    for name, picture in PICTURES.items():
        drawn, again = picture(_study()), picture(_study())
        assert drawn is not None, name
        assert drawn == again
        svg, words = drawn
        root = ElementTree.fromstring(svg)
        assert root.find("{http://www.w3.org/2000/svg}desc").text == words  # type: ignore[union-attr]
        assert "prefers-color-scheme:dark" in svg
        assert not re.findall(r"#0a0b\w\w", svg), "a stand-in is no colour"
    assert "2 of 3 bases" in PICTURES["scores"](_study())[1]  # type: ignore[index]
    assert "50.0, 62.5, 81.2" in PICTURES["scores"](_study())[1]  # type: ignore[index]
    assert all(picture(Study(_study().plan, {})) is None for picture in PICTURES.values())


# ---------------------------------------------------------------- the page


def test_the_page_is_what_the_collected_runs_give() -> None:
    assert study.main(["check"]) == 0


def test_check_fails_where_the_page_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evidence").mkdir()
    for name, path in (("PAGE", page.PAGE), ("README", page.README)):
        copy = tmp_path / path.name
        copy.write_text(path.read_text("utf-8"), "utf-8")
        monkeypatch.setattr(page, name, copy)
    monkeypatch.setattr(page, "PICTURE_FOLDER", tmp_path / "evidence")
    monkeypatch.setattr(study, "COLLECTED", tmp_path / "collected")
    main = read_plan(EVIDENCE / "plan.toml").parts[0]
    base, models = main.bases[0], {"base": solver(4)}
    for k in range(1, main.iterations + 1):
        models |= {f"{chain}/{k}": iteration(5) for chain in main.chains}
    write(tmp_path / "collected" / f"{base}.json", collected(base, models))
    assert study.main(["check"]) == 1
    assert study.main(["tables"]) == 0
    assert study.main(["check"]) == 0
    assert (tmp_path / "evidence" / "scores.svg").is_file()
    assert f"1 of {len(main.bases)} bases" in copy.read_text()
    copy.write_text(copy.read_text().replace("62.5", "99.9"))
    capfd.readouterr()
    assert study.main(["check"]) == 1
    assert capfd.readouterr().out.startswith(f"{copy}: out of date")


PLANNED = """\
size = "demo"
[development]
bases = [0]
[main]
chains = ["trained"]
iterations = 3
bases = [1, 2]
difficulty = true
[[comparison]]
name = "a gain"
a = "trained/3"
b = "base"
measure = "greedy"
"""


def test_a_plan_with_a_slip_of_the_pen_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLANNED)
    plan = read_plan(path)
    assert plan.parts == [Part("main", ["trained"], 3, [1, 2], difficulty=True)]
    assert plan.comparisons == [Comparison("a gain", "trained/3", "base", "greedy")]
    path.write_text(PLANNED.replace("greedy", "greed"))
    with pytest.raises(ValueError, match="measure 'greed'"):
        read_plan(path)
    path.write_text(PLANNED.replace("[1, 2]", "[0, 1]"))
    with pytest.raises(ValueError, match=r"main: bases \[0\] are of development"):
        read_plan(path)
    path.write_text(PLANNED.replace("difficulty", "dificulty"))
    with pytest.raises(TypeError, match="dificulty"):
        read_plan(path)
