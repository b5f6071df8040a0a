"""The projection of `rzero preflight`, compared with a real run of the loop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands.test_preflight import PAPER, a_loop
from conftest import Rzero
from helpers.loop import make
from rzero_cli.analysis.projection import Generation, Step, Training
from rzero_cli.commands._preflight_plan import Planned
from rzero_cli.method.plan import make_plan
from rzero_cli.system.stopwatch import LOADING, clock

STAGES = ["sample", "label", "filter", "challenge", "train-solver", "eval"]
RZERO = [sys.executable, "-m", "rzero_cli"]
SIZES = (
    {"challenge": 5, "sample": 400, "train-solver": 10},
    {"challenge": 10, "sample": 800, "train-solver": 20},
)
"""Steps of the trainings, and completions of `sample`."""
BATCHES = {"challenge": 3, "train-solver": 4}
"""Prompts of an update: each step has several, as in the paper."""


@pytest.mark.slow
def test_projection_is_within_30_percent_of_a_real_run(
    rzero: Rzero, tmp_path: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop by its Makefile; `make bench` also runs a larger one.

    Compared are CPU seconds. Even they change if another process starts or ends in the meantime;
    hence three tries.
    """
    monkeypatch.setenv("RZERO_CLOCK", "cpu")
    prepare(rzero, tmp_path)
    tries = []
    for number in range(3):
        report = preflight(tmp_path, small_base)
        began = clock(children=True)
        run_stages(tmp_path, small_base, f"run-{number}", "loop")
        real = clock(children=True) - began
        assert projected(report["stages"], SIZES[0])["all"] == pytest.approx(
            report["projection"]["seconds"]
        )
        tries.append(report["projection"]["seconds"] / real)
        if 0.7 < tries[-1] < 1.3:
            return
    pytest.fail(f"projected / real: {tries}")


def prepare(rzero: Rzero, folder: Path) -> None:
    """Write the loop's Makefile and configuration into a folder."""
    assert rzero("init", ".").status == 0
    lines = [
        f"[{stage}]\n{'n' if stage == 'sample' else 'steps'} = {size}\n"
        + (f"batch = {BATCHES[stage]}\n" if stage in BATCHES else "")
        for stage, size in SIZES[0].items()
    ]
    (folder / "rzero.toml").write_text("".join(lines))


def preflight(folder: Path, base: Path) -> dict[str, Any]:
    """Run `rzero preflight` and return its report, which is checked to be complete."""
    heldout = base / "heldout.jsonl"
    models = ("--challenger", base, "--solver", base, "--data", heldout, "--preset", "tiny")
    words = [*RZERO, "preflight", *models, "--iterations", "1", "--price", "36", "--json"]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert_complete(report)
    return report


def assert_complete(report: dict[str, Any]) -> None:
    """The report names everything that was checked, measured and projected."""
    versions = {package["name"]: package for package in report["versions"]}
    assert versions["torch"]["fits"] and versions["torch"]["extra"] == "train"
    for memory in report["memory"].values():
        assert memory["fits"] and 0 < memory["gib"]["peak"] < memory["usable"]
    assert list(report["stages"]) == STAGES
    for stage, measured in report["stages"].items():
        assert measured["passed"] and measured["fixed"] > 0, stage
    assert report["stages"]["label"]["tokens_per_second"] > 0
    for stage in ("challenge", "train-solver"):
        assert report["stages"][stage]["tokens_per_second"].keys() == {"rollouts", "updates"}
        # There is no vLLM to send them to.
        assert report["stages"][stage]["weights_sent_to_vllm"] is None
    projection = report["projection"]
    assert projection["at_most"] > projection["seconds"]
    assert projection["cost"] == pytest.approx(projection["seconds"] / 100)


def run_stages(folder: Path, base: Path, name: str, target: str, *flags: str) -> float:
    """Make a target and return the seconds that its stages record as anything but loading."""
    settings = ("PRESET=tiny", "ITERATIONS=1", f"MODEL={base}", f"HELDOUT={base / 'heldout.jsonl'}")
    done = make(folder, target, f"RUN={name}", *settings, *flags, timeout=3600)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (folder / "runs" / name).rglob("*.json")]
    spent = [record["spent"] for record in records if "spent" in record]
    assert len(spent) == 5
    return sum(sum(seconds.values()) - seconds[LOADING] for seconds in spent)


def projected(stages: dict[str, Any], size: dict[str, int]) -> dict[str, float]:
    """Return the projected seconds of each stage of one iteration, and of all with the base's
    evaluation, from what was measured."""
    costs: dict[str, Any] = {"filter": stages["filter"]["fixed"]}
    for stage, measured in stages.items():
        values = {name: measured[name] for name in measured if name in ("fixed", "length", "limit")}
        if "each" in measured:
            costs[stage] = Generation(each=measured["each"], **values)
        elif "step" in measured:
            costs[stage] = Training(step=Step(**measured["step"]), size=measured["size"], **values)
    # As in the preset `tiny`, whose evaluation has 720 questions with 1 + 8 answers.
    shapes = {"challenge": (6, 32, 1), "train-solver": (16, 8, 10)}
    planned = {
        stage: Planned(
            make_plan(
                steps=size[stage],
                prompts=prompts,
                batch=BATCHES[stage],
                group=group,
                max_tokens=24,
            ),
            save_every,
            engines=0,
        )
        for stage, (prompts, group, save_every) in shapes.items()
    }
    loop = a_loop(
        Path(),
        PAPER,
        n=size["sample"],
        heldout=720 * 9,
        planned=planned,
        found=costs,
        valid={"sample": stages["sample"]["valid"]},
    )
    rows = loop.project(1)
    seconds = {one.stage: one.seconds for one in rows}
    return seconds | {"all": sum(one.times * one.seconds for one in rows)}
