"""The loop's Makefile with guards: early stopping, and the Solver to ship."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from helpers.loop import commands, make

STUB = f"RZERO={sys.executable} {Path(__file__).parents[1] / 'helpers' / 'stub_rzero.py'}"
PROBE = ("GUARD=probe", "PROBE=probe.jsonl")


@pytest.fixture
def stubbed(folder: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile, a probe, and a stub for rzero that follows a plan."""
    shutil.copy(folder / "Makefile", tmp_path)
    (tmp_path / "probe.jsonl").write_text("{}\n")
    (tmp_path / "heldout.jsonl").write_text("{}\n")
    return tmp_path


def guarded(folder: Path, *arguments: str, **plan: list[int]) -> tuple[str, list[str]]:
    """Return the output of `make run` with three iterations, and the commands it ran."""
    if plan:
        (folder / "plan.json").write_text(json.dumps({"different": [100] * 3} | plan))
    (folder / "commands.log").write_text("")
    given = ("MODEL=org/base", "HELDOUT=heldout.jsonl", "RUN=x", STUB)
    done = make(folder, "run", "--no-print-directory", *given, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, (folder / "commands.log").read_text().splitlines()


def iterations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs" / "x").glob("iter-*"))


def test_loop_stops_when_the_probe_falls_and_names_the_solver_to_ship(stubbed: Path) -> None:
    said, ran = guarded(stubbed, *PROBE, probe=[80, 120, 96, 150])
    line = said.splitlines()[-1]
    assert line.startswith(
        "stopped after iteration 2: probe fell from 60.0 % to 48.0 % "
        "(95 % interval of the difference -16."
    )
    assert line.endswith("); ship runs/x/iter-1/solver")
    assert iterations(stubbed) == ["iter-1", "iter-2"]
    assert [line.split()[0] for line in ran][-3:] == ["report", "stats", "guard"]
    found = json.loads((stubbed / "runs/x/iter-2/guard.json").read_text())
    assert (found["tripped"], found["best"], found["verdict"]) == (True, 1, line)
    read = [f"runs/x/{name}/probe.json" for name in ("base", "iter-1", "iter-2")]
    assert [parent["path"] for parent in found["origin"]["parents"]] == read
    assert not json.loads((stubbed / "runs/x/iter-1/guard.json").read_text())["tripped"]


def test_only_the_loop_itself_is_guarded(stubbed: Path) -> None:
    """A parallel chain continues, and the two makes do not run a stage twice."""
    (stubbed / "plan.json").write_text(json.dumps({"different": [100, 10, 100]}))
    given = ("MODEL=org/base", "HELDOUT=heldout.jsonl", "RUN=x", STUB)
    done = make(stubbed, "-j2", "loop", "no-filter", "GUARD=diversity", *given)
    assert done.returncode == 0, done.stderr
    ran = (stubbed / "commands.log").read_text().splitlines()
    asked = sorted(line.split()[-1] for line in ran if line.startswith("challenge"))
    at = [f"runs/x/iter-{k}" for k in (1, 2)] + [f"runs/x/no-filter/iter-{k}" for k in (1, 2, 3)]
    assert asked == [f"{folder}/challenger" for folder in at]
    assert len([line for line in ran if line.endswith("runs/x/base/eval.json")]) == 1


def test_loop_stops_on_collapse_and_continues_without_the_guard(stubbed: Path) -> None:
    said, _ = guarded(stubbed, "GUARD=diversity", different=[90, 40, 100])
    line = said.splitlines()[-1]
    assert line.startswith(
        "stopped after iteration 2: distinct questions fell from 90 of 100 (90%) to 40 of 100 (40%)"
    )
    assert line.endswith("; ship runs/x/iter-1/solver")
    assert iterations(stubbed) == ["iter-1", "iter-2"]
    assert not list(stubbed.rglob("probe.json")), "no probe was requested"

    again, ran = guarded(stubbed, "GUARD=diversity")
    assert again.splitlines()[-1] == line
    done = [command.split()[0] for command in ran]
    assert done == ["guard", "guard", "report", "stats", "guard"], "no stage is repeated"
    shown = make(stubbed, "-n", "run", "MODEL=org/base", "RUN=x", STUB, "GUARD=diversity")
    assert "challenge" not in shown.stdout

    # With a wider margin it continues from there; existing checkpoints are kept.
    said, ran = guarded(stubbed, "GUARD=diversity", "GUARD_FLAGS=--least-share 0.3")
    assert said.splitlines()[-1] == (
        "no guard tripped after iteration 3; ship runs/x/iter-3/solver"
    )
    made = [command.split()[-1] for command in ran if command.startswith(("challenge", "train"))]
    assert made == ["runs/x/iter-3/challenger", "runs/x/iter-3/solver"]


def test_loop_stops_when_no_labelled_question_is_left(stubbed: Path) -> None:
    said, _ = guarded(stubbed, "GUARD=diversity", different=[0, 100, 100])
    assert said.splitlines()[-1] == (
        "stopped after iteration 1: no labelled question is left; ship the base model"
    )
    assert iterations(stubbed) == ["iter-1"]


def test_report_orders_stats_by_iteration(stubbed: Path) -> None:
    def stats(*arguments: str) -> list[str]:
        shown = make(stubbed, "-n", "report", "RUN=x", *arguments).stdout
        return [line.split("stats ")[1] for line in shown.splitlines() if "stats " in line]

    assert stats() == []
    for k in (1, 2, 10):
        (stubbed / f"runs/x/iter-{k}").mkdir(parents=True)
        (stubbed / f"runs/x/iter-{k}/labeled.jsonl").write_text("")
    files = " ".join(f"runs/x/iter-{k}/labeled.jsonl" for k in (1, 2, 10))
    told = " > runs/x/stats.txt && cat runs/x/stats.txt"
    assert stats() == [f"{files} {told}"]
    assert stats("PRESET=official") == [f"{files} --preset official{told}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["GUARD=probe"], "PROBE=: must be a file of questions with true answers"),
        (["GUARD=probe", "PROBE=heldout.jsonl"], "PROBE=heldout.jsonl: must be a file"),
        (["GUARD=answers"], "GUARD=answers: must be probe, diversity or probe,diversity"),
        (["GUARD=probediversity"], "GUARD=probediversity: must be"),
        (["GUARD=probe diversity"], "GUARD=probe diversity: must be"),
        (["GUARD=probe;diversity"], "GUARD=probe;diversity: must be"),
    ],
)
def test_guard_option_errors_come_before_any_stage(
    stubbed: Path, options: list[str], message: str
) -> None:
    done = make(stubbed, "run", "MODEL=org/base", "HELDOUT=heldout.jsonl", STUB, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (stubbed / "commands.log").exists()


def test_demo_can_be_guarded_and_shown_before_its_base_is_there(folder: Path) -> None:
    plan = make(folder, "-n", "demo", "SIZE=small", "ITERATIONS=1", "GUARD=probe,diversity")
    assert plan.returncode == 0, plan.stderr
    found = commands(plan.stdout)
    assert found[0] == "tiny-base"
    assert found.count("train-solver") >= 2
    verdict = [line for line in plan.stdout.splitlines() if "rzero_cli guard" in line][-1]
    assert verdict.split("rzero_cli ")[1].split()[:4] == [
        *("guard", "runs/demo-small", "--guard", "probe,diversity")
    ]
    assert "--preset tiny" in verdict


def test_guarded_dry_run_reads_like_the_algorithm(folder: Path) -> None:
    (folder / "probe.jsonl").write_text("{}\n")
    plan = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", "RUN=dry", *PROBE)
    assert plan.returncode == 0, plan.stderr
    found = commands(plan.stdout)
    stages = [name for name in found if name not in ("eval", "guard", "report")]
    assert stages == ["challenge", "sample", "label", "filter", "train-solver"] * 2
    assert found.count("eval") == 6
    assert found[-2:] == ["report", "guard"]
    dedup = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", "DEDUP=near").stdout
    filters = [line for line in dedup.splitlines() if "rzero_cli filter" in line]
    against = "--dedup near --dedup-against runs/r-zero/iter-1/train.jsonl"
    assert ["--dedup near" in line for line in filters] == [True, True]
    assert [against in line for line in filters] == [False, True]
