"""`rzero guard`: its line, its file, its errors, and real evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.guarded_runs import MODEL, labelled, names, probed
from helpers.stub_rzero import QUESTIONS, evaluation
from rzero_cli.analysis.collapse import judge
from rzero_cli.data.provenance import content_hash


def test_guard_and_stats_warn_by_the_same_rule(rzero: Rzero, tmp_path: Path) -> None:
    """Iteration 2 has five times as many questions, all of one kind, with 90 answers."""
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


def test_guard_prints_one_line_and_writes_the_whole_verdict(rzero: Rzero, tmp_path: Path) -> None:
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


def test_guard_writes_the_whole_verdict_to_standard_output(rzero: Rzero, tmp_path: Path) -> None:
    probed(tmp_path / "run", 80, 120, 100)
    ended = rzero("guard", "run", "-o", "-", "--quiet")
    assert json.loads(ended.stdout) == judge(tmp_path / "run", ["probe"]) | {
        name: json.loads(ended.stdout)[name] for name in ("ship", "verdict")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --guard answers", "--guard answers: unknown; known: probe, diversity"),
        ("nowhere", "nowhere/base/probe.json: no such file: create it with `make run GUARD=probe"),
        ("run --guard diversity", "run/iter-1/labeled.jsonl: no such file: create it with"),
        ("other --guard diversity", "other/iter-1/labeled.jsonl: has neither questions"),
        ("run --iteration 3", "run/iter-3/probe.json: no such file"),
        ("run -o run/base/probe.json", "run/base/probe.json exists"),
        ("torn", "torn/iter-1/probe.json: "),
        ("empty", "empty/base/probe.json: not an output of `rzero eval"),
        (
            "mixed",
            "mixed/base/probe.json, mixed/iter-1/probe.json: evaluated on different questions",
        ),
        ("other", "other/base/probe.json, other/iter-1/probe.json: no task in common"),
        ("tuned", "tuned/base/probe.json: same questions as tuned/base/eval.json"),
    ],
)
def test_guard_errors_are_one_line(
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
def test_guard_does_not_ship_a_solver_with_random_weights(
    rzero: Rzero, small_base: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Real evaluations: of a base on its probe, and of random weights as the Solver."""
    for name, model in (("base", small_base), ("iter-1", tiny_model)):
        (tmp_path / "run" / name).mkdir(parents=True)
        given = ("--model", model, "--data", small_base / "probe.jsonl", "--preset", "tiny")
        output = f"run/{name}/probe.json"
        ended = rzero("eval", *given, "--limit", "120", "--k", "2", "-o", output)
        assert ended.status == 0, ended.stderr
    found = json.loads(rzero("guard", "run", "--json").stdout)
    assert (found["tripped"], found["best"], found["ship"]) == (True, 0, str(small_base))
    assert found["probe"]["scores"][1] < 0.1 < found["probe"]["scores"][0]
