"""`rzero guard`: when a run is to stop, and which Solver it says to ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.stub_rzero import QUESTIONS, evaluation
from rzero_cli.analysis.collapse import judge
from rzero_cli.data.provenance import content_hash

MODEL = "org/base"


def names(count: int) -> list[str]:
    return ["base", *(f"iter-{k}" for k in range(1, count))]


def probed(run: Path, *right: int, **changes: Any) -> Path:
    """A run whose models, the base first, get so many of 200 questions right."""
    for name, count in zip(names(len(right)), right, strict=True):
        (run / name).mkdir(parents=True, exist_ok=True)
        found = evaluation(MODEL, "probe.jsonl", count)
        (run / name / "probe.json").write_text(json.dumps(found))
    return run


def labelled(run: Path, *files: list[tuple[str, str | None]]) -> Path:
    """A run with these questions and labels of each iteration."""
    for name, rows in zip(names(len(files) + 1)[1:], files, strict=True):
        (run / name).mkdir(parents=True, exist_ok=True)
        text = "".join(
            json.dumps({"question": q, "answer": a, "p_hat": 0.5}) + "\n" for q, a in rows
        )
        (run / name / "labeled.jsonl").write_text(text)
    return run


def test_a_fall_beyond_its_noise_trips(tmp_path: Path) -> None:
    """All are right on the same questions, so of 200 the n that are lost are all that differ.

    The share lost is binomial: for n = 4 of 200, 2 % with a standard error of 0.99 %, and the 95 %
    interval of the resampled mean is from 0.5 % to 4 %: it ends below 0. For n = 2 it begins at 0.
    """
    found = judge(probed(tmp_path, 80, 120, 116), ["probe"])
    assert (found["tripped"], found["iteration"], found["best"]) == (True, 2, 1)
    probe = found["probe"]
    assert (probe["from"], probe["to"]) == (0.6, 0.58)
    assert probe["difference"] == pytest.approx(-0.02)
    assert probe["ci95"] == pytest.approx([-0.04, -0.005])
    assert not judge(probed(tmp_path, 80, 120, 118), ["probe"])["tripped"]


def test_it_is_the_best_before_that_counts_not_the_last(tmp_path: Path) -> None:
    # Each step down is within its noise, both together are not.
    found = judge(probed(tmp_path, 80, 120, 118, 115), ["probe"])
    assert (found["tripped"], found["iteration"], found["best"]) == (True, 3, 1)
    assert found["ship"] == str(tmp_path / "iter-1" / "solver")
    assert found["probe"]["scores"] == [0.4, 0.6, 0.59, 0.575]


def test_what_comes_after_the_first_trip_is_not_looked_at(tmp_path: Path) -> None:
    found = judge(probed(tmp_path, 80, 120, 60, 200), ["probe"])
    assert (found["iteration"], found["best"]) == (2, 1)
    assert judge(tmp_path, ["probe"], 1)["tripped"] is False


def test_a_margin_can_be_asked_for(tmp_path: Path) -> None:
    probed(tmp_path, 80, 120, 100)
    assert judge(tmp_path, ["probe"], least_fall=0.05)["tripped"]
    assert not judge(tmp_path, ["probe"], least_fall=0.1)["tripped"]


def test_a_base_that_stays_the_best_is_what_to_ship(tmp_path: Path) -> None:
    found = judge(probed(tmp_path, 100, 40), ["probe"])
    assert (found["tripped"], found["best"], found["ship"]) == (True, 0, MODEL)
    found = judge(probed(tmp_path, 100, 100), ["probe"])
    assert found["verdict"] == (
        "no guard tripped after iteration 1: best on the probe is the base model with 50.0 %; "
        f"ship {MODEL}"
    )


def apart(count: int) -> list[tuple[str, str | None]]:
    """So many questions that share nothing, each with an answer of its own."""
    return [(f"a{n} b{n} c{n} d{n}", f"x{n}") for n in range(count)]


APART = apart(64)
KINDS = ["distinct_questions", "without_near_duplicate", "distinct_answers"]


@pytest.mark.parametrize(
    ("later", "fell"),
    [
        (APART, []),
        (APART[:32] * 2, []),  # half is not below half
        ([(question, str(n % 3)) for n, (question, _) in enumerate(APART)], KINDS[2:]),
        # two spellings of one number are one answer, two white spaces two questions
        (
            [(q, a) for (q, _), a in zip(APART, ["2", "4/2", "2.0", "3"] * 16, strict=True)],
            KINDS[2:],
        ),
        ([(f"one two three four five {n}", a) for n, (_, a) in enumerate(APART)], KINDS[1:2]),
        (APART[:20] * 3, KINDS),
        (APART[:10] * 4, []),  # of fewer than 50 nothing can be told ...
        ([], ["labelled"]),  # ... but that there are none
        ([(question, None) for question, _ in APART], ["labelled"]),
        # of more there may be more alike, but not fewer that differ
        (apart(64) * 5, []),
        (apart(31) * 5, KINDS),
        # and of fewer fewer differ
        (apart(50), []),
    ],
)
def test_diversity_is_measured_by_the_first_iteration(
    tmp_path: Path, later: list[tuple[str, str | None]], fell: list[str]
) -> None:
    found = judge(labelled(tmp_path, APART, later), ["diversity"])
    assert found["diversity"]["first"] == dict.fromkeys(KINDS, (64, 64))
    assert list(found["diversity"]["fell"]) == fell
    assert found["tripped"] == bool(fell)
    shipped = 1 if fell else 2
    assert found["ship"] == str(tmp_path / f"iter-{shipped}" / "solver")
    assert found["best"] is None


def test_the_guard_and_the_warnings_of_stats_are_one_rule(rzero: Rzero, tmp_path: Path) -> None:
    """Of one kind of question, with 90 answers and few phrasings, there are five times as many."""
    rows = [(f"{'abcdefgh'[n % 8]} {n % 500} of it", str(n % 90)) for n in range(589)]
    labelled(tmp_path / "run", rows[:120], rows, rows[:40] * 3)
    ended = rzero("guard", "run", "--guard", "diversity")
    warned = rzero("stats", *(f"run/iter-{k}/labeled.jsonl" for k in (1, 2, 3))).stderr
    to_second, to_third = (f"stats: run/iter-1/labeled.jsonl -> run/iter-{k}" for k in (2, 3))
    assert to_second not in warned
    said = ended.stdout.removeprefix("stopped after iteration 3: ").split("; ")
    assert said[-1] == "ship run/iter-2/solver\n"
    assert said[0] == "distinct questions fell from 120 of 120 (100%) to 40 of 120 (33%)"
    for line in said[:-1]:
        assert f"{to_third}/labeled.jsonl: {line}" in warned.splitlines()


def test_where_nothing_is_left_to_learn_from_the_one_before_is_shipped(tmp_path: Path) -> None:
    found = judge(labelled(tmp_path, APART, []), ["diversity"])
    assert found["verdict"] == (
        f"stopped after iteration 2: no labelled question is left; ship {tmp_path}/iter-1/solver"
    )
    found = judge(labelled(tmp_path, [], APART), ["diversity"])
    assert found["verdict"] == (
        "stopped after iteration 1: no labelled question is left; ship the base model"
    )
    probed(tmp_path, 80, 120, 120)
    assert judge(tmp_path, ["probe", "diversity"])["ship"] == str(tmp_path / "iter-1/solver")


def test_with_both_guards_the_probe_says_which_is_best(tmp_path: Path) -> None:
    probed(tmp_path, 80, 120, 119)
    labelled(tmp_path, APART, APART[:24] * 3)
    found = judge(tmp_path, ["probe", "diversity"])
    assert not found["probe"]["tripped"] and found["diversity"]["tripped"]
    assert found["verdict"].startswith(
        "stopped after iteration 2: distinct questions fell from 64 of 64 (100%) to 24 of 72 "
    )
    assert found["ship"] == str(tmp_path / "iter-1" / "solver")
    fewer = judge(tmp_path, ["probe", "diversity"], least_share=0.3)
    assert not fewer["tripped"]


def test_the_command_prints_one_line_and_writes_it_all(rzero: Rzero, tmp_path: Path) -> None:
    probed(tmp_path / "run", 80, 120, 100)
    ended = rzero("guard", "run", "-o", "guard.json")
    assert (ended.status, ended.stderr) == (0, "")
    written = json.loads((tmp_path / "guard.json").read_text())
    assert ended.stdout == written["verdict"] + "\n"
    origin = written.pop("origin")
    assert written == judge(tmp_path / "run", ["probe"]) | {
        name: written[name] for name in ("ship", "verdict")
    }
    assert '\n  "tripped": true' in (tmp_path / "guard.json").read_text(), (
        "the Makefile looks for it"
    )
    assert (origin["stage"], origin["settings"]["guard"]) == ("guard", "probe")
    assert origin["parents"] == [
        {
            "path": f"run/{name}/probe.json",
            "sha256": content_hash(tmp_path / "run" / name / "probe.json"),
        }
        for name in names(3)
    ]
    assert "guard.json" in rzero("lineage", "guard.json").stdout


def test_the_whole_verdict_can_go_to_standard_output(rzero: Rzero, tmp_path: Path) -> None:
    probed(tmp_path / "run", 80, 120, 100)
    ended = rzero("guard", "run", "-o", "-", "--quiet")
    assert json.loads(ended.stdout) == judge(tmp_path / "run", ["probe"]) | {
        name: json.loads(ended.stdout)[name] for name in ("ship", "verdict")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --guard answers", "--guard answers: unknown; known: probe, diversity"),
        ("nowhere", "nowhere/base/probe.json: no such file: it is made by `make run GUARD=probe"),
        ("run --guard diversity", "run/iter-1/labeled.jsonl: no such file: it is made by"),
        ("other --guard diversity", "other/iter-1/labeled.jsonl: no questions"),
        ("run --iteration 3", "run/iter-3/probe.json: no such file"),
        ("run -o run/base/probe.json", "run/base/probe.json exists"),
        ("torn", "torn/iter-1/probe.json: "),
        ("empty", "empty/base/probe.json: not a result of `rzero eval`"),
        ("mixed", "mixed/base/probe.json, mixed/iter-1/probe.json: not of the same questions"),
        ("other", "other/base/probe.json, other/iter-1/probe.json: no task in common"),
        ("tuned", "tuned/base/probe.json: of the questions of tuned/base/eval.json"),
    ],
)
def test_what_cannot_be_judged_is_one_clear_line(
    refused: Refused, tmp_path: Path, arguments: str, message: str
) -> None:
    for name in ("run", "torn", "empty", "mixed", "other", "tuned"):
        probed(tmp_path / name, 80, 120, 100)
    (tmp_path / "torn/iter-1/probe.json").write_text('{"tasks": {')
    (tmp_path / "empty/base/probe.json").write_text("{}")
    mixed = evaluation(MODEL, "probe.jsonl", 1)
    task: Any = mixed["tasks"]
    del task["probe"]["samples"][QUESTIONS // 2 :]
    (tmp_path / "mixed/iter-1/probe.json").write_text(json.dumps(mixed))
    other = json.dumps(evaluation(MODEL, "other.jsonl", 1))
    (tmp_path / "other/iter-1/probe.json").write_text(other)
    (tmp_path / "tuned/base/eval.json").write_text((tmp_path / "tuned/base/probe.json").read_text())
    (tmp_path / "other/iter-1/labeled.jsonl").write_text('{"prompt": "a"}\n')
    assert refused("guard", *arguments.split()).startswith(message)


@pytest.mark.slow
def test_a_solver_that_has_forgotten_everything_is_not_shipped(
    rzero: Rzero, small_base: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """The real evaluations: of a base on its probe, and of random weights in the Solver's place."""
    for name, model in (("base", small_base), ("iter-1", tiny_model)):
        (tmp_path / "run" / name).mkdir(parents=True)
        given = ("--model", model, "--data", small_base / "probe.jsonl", "--preset", "tiny")
        output = f"run/{name}/probe.json"
        ended = rzero("eval", *given, "--limit", "120", "--k", "2", "-o", output)
        assert ended.status == 0, ended.stderr
    found = json.loads(rzero("guard", "run", "--json").stdout)
    assert (found["tripped"], found["best"], found["ship"]) == (True, 0, str(small_base))
    assert found["probe"]["scores"][1] < 0.1 < found["probe"]["scores"][0]
