"""`rzero compare`: output and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.evaluations import evaluation, sample, task, verdicts


def test_compare_pairs_each_file_with_the_first(rzero: Rzero, tmp_path: Path) -> None:
    averages = {"avg": {"score": 0.0, "of": ["t[x]"]}}
    for name, text in {"a": "0101" * 10, "b": "0111" * 10, "c": "0000" * 10}.items():
        rows = task(
            *(sample(f"q{i}", c == "1", [c == "1"] * 4) for i, c in enumerate(text)),
            version=2.0 if name == "c" else 1.0,
        )
        (tmp_path / f"{name}.json").write_text(json.dumps(evaluation(averages, **{"t[x]": rows})))
    ended = rzero("compare", "a.json", "b.json", "c.json", "--json")
    assert ended.status == 0, ended.stderr
    whole = json.loads(ended.stdout)
    assert list(whole) == ["baseline", "comparisons", "warnings"]
    assert whole["baseline"] == "a.json"
    assert [found["file"] for found in whole["comparisons"]] == ["b.json", "c.json"]
    assert [list(found) for found in whole["comparisons"]] == [["file", "tasks", "averages"]] * 2
    greedy = [found["tasks"]["t[x]"]["greedy"] for found in whole["comparisons"]]
    assert [figures["difference"] for figures in greedy] == [0.25, -0.5]
    assert whole["warnings"] == ["a.json -> c.json: t[x]: version 1.0 -> 2.0"]
    assert ended.stderr == "compare: a.json -> c.json: t[x]: version 1.0 -> 2.0\n"

    shown = rzero("compare", "a.json", "b.json", "c.json", "--quiet")
    assert (shown.status, shown.stderr) == (0, "")
    assert "A = a.json, B = b.json" in shown.lines
    first = next(line.split() for line in shown.lines if "t[x]" in line)
    assert first[:6] == ["t[x]", "greedy", "40", "50.0", "75.0", "+25.0"]
    assert first[-3:] == ["0", "10", "0.002"]
    assert [line.split()[0] for line in shown.lines if "@4" in line] == ["mean@4", "maj@4"] * 2
    assert [line.split()[:2] for line in shown.lines if " avg " in line] == [["avg", "average"]] * 2
    assert (
        rzero("compare", "a.json", "-", "--json", input=(tmp_path / "b.json").read_text()).status
        == 0
    )
    same = rzero("compare", "a.json", "a.json")
    assert (same.status, same.stderr) == (0, "")


def test_compare_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(evaluation(t=verdicts("0110"))))
    code = (
        "import sys\nfrom rzero_cli.cli import run\n"
        "assert run(['compare', 'a.json', 'a.json']) == 0\n"
        "print(sorted({'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


OLD = {"k": 0, "n": 1, "greedy": {"score": 1.0}, "samples": []}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (None, "b.json: cannot be read: No such file"),
        ("{", "b.json: not JSON"),
        ("[" * 100_000, "b.json: not JSON"),
        ("[]", "b.json: not an output of `rzero eval"),
        (OLD, 'b.json: not an output of `rzero eval -o` (no "tasks")'),
        ({"tasks": {}}, "b.json: not an output of `rzero eval"),
        ({"tasks": {"t": {"greedy": 1}}}, 'b.json: task t has no "samples"'),
        ({"tasks": {"t": {"samples": [{}, 3]}}}, "b.json: task t, sample 2: has no valid"),
        ({"tasks": {"t": {"samples": [{"greedy": "yes"}]}}}, "b.json: task t, sample 1"),
        ({"tasks": {"t": {"samples": [{"correct": [None]}]}}}, "b.json: task t, sample 1"),
        ({"tasks": {"t": {"samples": []}}, "origin": []}, 'b.json: "origin" must be an object'),
        (evaluation({"x": {}}, t=verdicts("01")), "a.json, b.json: the average x has no list"),
        (evaluation(u=verdicts("01")), "a.json, b.json: no task in common (t; u)"),
        (evaluation(t=task(sample("z", True))), "a.json, b.json: no question in common"),
        (evaluation(t=task()), "a.json, b.json: no question in common"),
    ],
)
def test_compare_errors_are_one_line(
    refused: Refused, tmp_path: Path, second: Any, message: str
) -> None:
    one = evaluation({"x": {"of": ["t"]}}, t=verdicts("01"))
    (tmp_path / "a.json").write_text(json.dumps(one))
    if second is not None:
        text = second if isinstance(second, str) else json.dumps(second)
        (tmp_path / "b.json").write_text(text)
    assert refused("compare", "a.json", "a.json", "b.json").startswith(message)


def test_compare_needs_two_files(refused: Refused) -> None:
    assert refused("compare", "a.json").startswith("compare requires at least two files")
