"""The runs of the study as calls to make."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rzero_cli.report.summary import CHAINS
from tests.helpers.run_folders import write

from .collect import AS_THE_LOOP, values_by_question
from .declared_plan import Part, Plan
from .runner import Failed, _environment, _share_first_iteration, commands, run, steps

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


def test_steps_are_makes_that_the_recipe_knows(tmp_path: Path) -> None:
    made = []
    for part in PLAN.parts:
        for name, listed in steps(PLAN, part, 7, tmp_path):
            lines = [line.split("rzero_cli ")[1] for line in listed if "rzero_" in line]
            made.append((part.name, name, [line.split()[0] for line in lines], listed))
    first = ["sample", "label", "filter", "train-solver", "eval", "grade"]
    stages = {(part, name): of for part, name, of, _ in made}
    assert stages["main", "base"] == ["tiny-base"]
    assert sorted(stages["main", "trained"]) == sorted([*first, "challenge"] * 2 + ["eval"])
    assert sorted(stages["main", "base-challenger"]) == sorted(first * 2 + ["eval"])
    assert stages["main", "difficulty"].count("oracle") == 2
    assert stages["ten", "trained"].count("challenge") == 3
    assert "guard" not in stages["ten", "trained"], "no guard stops the chain"
    assert stages["ten", "guard"].count("guard") == 3
    assert all("--seed 7" in text[-1] for part, name, _, text in made if name == "base")
    fast = [line for *_, text in made for line in text if "6e-4" in line]
    assert len(fast) == 1
    assert " train-solver " in fast[0]
    assert "/evidence-7-collapse/iter-1/solver" in fast[0]


@pytest.mark.parametrize("chain", CHAINS)
def test_chains_that_share_the_first_labels_run_the_loops_commands_until_then(chain: str) -> None:
    def until_labels(goal: str, folder: str) -> list[str]:
        given = ["RUN=x", "MODEL=base", "TRUTH=1", "ITERATIONS=1", f"RUNS={folder}"]
        listed = [
            line.replace(f"{folder}/x/{chain}", f"{folder}/x") for line in commands([*given, goal])
        ]
        stages = [
            line
            for line in listed
            if line.startswith(("rzero challenge", "rzero sample", "rzero label"))
        ]
        assert stages[-1].startswith("rzero label")
        return stages

    same = until_labels(chain, "runs") == until_labels("loop", "runs")
    assert same == (chain in AS_THE_LOOP)


def test_chain_shares_the_loops_first_questions_and_labels(tmp_path: Path) -> None:
    first = tmp_path / "iter-1"
    for name in ("challenger/rzero.json", "questions.jsonl", "labeled.jsonl"):
        write(first / name, {"from": name})
        write(first / f"{name}.meta.json", {})
    for chain in ("no-filter", "no-penalty"):
        for _ in range(2):  # the second time everything is linked already
            _share_first_iteration(tmp_path, chain)
    shared = {str(path.relative_to(first)) for path in first.rglob("*")}
    own = tmp_path / "no-filter" / "iter-1"
    assert {str(path.relative_to(own)) for path in own.rglob("*")} == shared
    assert (own / "labeled.jsonl").samefile(first / "labeled.jsonl")
    assert not (tmp_path / "no-penalty").exists()


def test_the_callers_settings_change_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("RZERO_PRESET", "SOLVER_FLAGS", "GUARD", "DEDUP", "MAKEFLAGS")
    for name in (*changes, "RZERO_CACHE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "x")
    found = _environment()
    assert not {*changes} & found.keys()
    assert found["RZERO_CACHE"] == "x"
    assert found["OMP_NUM_THREADS"] == "1"


def test_run_stops_when_a_make_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for base in (7, 8):
        write(tmp_path / f"tiny-base-small-{base}" / "rzero.json", {})  # without a model
    plan = Plan("small", [0], [Part("main", ["trained"], 1, [7, 8])], [])
    with pytest.raises(Failed) as failed:
        run(plan, jobs=1, runs=tmp_path, into=tmp_path, only=[], parts=[])
    log = tmp_path / "evidence-7" / "study.log"
    assert str(failed.value) == f"base 7, main, trained: eval exited with status 2: see {log}"
    assert "rzero: " in log.read_text()
    assert re.fullmatch(r"base 7, main, base: \d+\.\d min\n", capfd.readouterr().out)
    assert not (tmp_path / "evidence-8" / "iter-1").exists()


@pytest.mark.slow
def test_run_makes_and_collects_a_run_of_the_small_base(
    tmp_path: Path, small_base: Path, small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_CACHE", str(small_cache))
    plan = Plan("small", [1], [Part("main", ["trained"], 1, [0], guard=True)], [])
    into = tmp_path / "collected"
    run(plan, jobs=2, runs=tmp_path, into=into, only=[], parts=[])
    found = json.loads((into / "0.json").read_text())
    first = tmp_path / "evidence-0" / "iter-1"
    graded = json.loads((first / "graded.jsonl.meta.json").read_text())["metrics"]
    model = found["models"]["trained/1"]
    assert sum(model["kept"]["true"]) == graded["correct"]
    assert sum(model["kept"]["labelled"]) == graded["graded"]
    task = json.loads((first / "eval.json").read_text())["tasks"]["heldout"]
    for measure in ("mean_at_k", "greedy", "maj_at_k"):
        values = values_by_question(model["exam"], measure, 720, 8)
        assert sum(values) / 720 == pytest.approx(task[measure]["score"])
    guards = found["guards"]["trained"]
    assert len(guards["scores"]) == 2
    probe = guards["probe"]
    assert (
        probe["shipped"]
        == found["models"][["base", "trained/1"][probe["ship"]]]["exam"]["mean_at_k"]
    )
