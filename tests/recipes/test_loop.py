"""The loop's Makefile in a user's folder: the plan of each target, by dry runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from helpers.loop import RZERO, commands, make
from rzero_cli.report.summary import CHAINS


def test_init_writes_the_makefile_and_refuses_to_overwrite(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {"Makefile", "rzero.toml", "slurm"}
    again = subprocess.run([*RZERO.split(), "init", str(folder)], capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


def test_make_alone_lists_the_targets(folder: Path) -> None:
    done = make(folder)
    assert done.returncode == 0
    for target in ("run", "demo", "loop", "base-challenger", "one-model", "true-labels"):
        assert f"  {target} " in done.stdout


def test_log_file_reaches_every_stage(folder: Path) -> None:
    for log in ("", "log.jsonl"):
        done = make(folder, "report", f"LOG_FILE={log}", "RZERO=echo [$$RZERO_LOG_FILE]")
        assert f"[{log}] report " in done.stdout


def test_dry_run_reads_like_the_algorithm(folder: Path) -> None:
    plan = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2")
    assert plan.returncode == 0, plan.stderr
    iteration = ["challenge", "sample", "label", "filter", "train-solver", "eval"]
    assert commands(plan.stdout) == ["eval", *iteration, *iteration, "report"]
    assert "--challenger runs/r-zero/iter-1/challenger --solver runs/r-zero/iter-1/solver" in (
        plan.stdout
    ), "the second iteration starts from both models of the first"


def test_preflight_has_the_loops_settings(folder: Path) -> None:
    given = ("MODEL=org/base", "PRESET=tiny", "HELDOUT=h.jsonl", "PREFLIGHT_FLAGS=--price 2")
    plan = make(folder, "-n", "preflight", "ITERATIONS=2", *given)
    words = " ".join(plan.stdout.replace("\\\n", "").split())
    assert (
        "preflight --challenger org/base --solver org/base --iterations 2 --data h.jsonl "
        "--preset tiny --price 2"
    ) in words
    missing = make(folder, "preflight")
    assert "rzero: --challenger is missing" in missing.stderr


def test_baseline_never_trains_a_challenger(folder: Path) -> None:
    plan = make(folder, "-n", "base-challenger", "MODEL=org/base", "ITERATIONS=2").stdout
    assert "challenge" not in commands(plan)
    samples = [line for line in plan.splitlines() if "rzero_cli sample" in line]
    assert len(samples) == 2
    assert all("--challenger org/base" in line for line in samples)
    seeds = {line.split("--seed ")[1].split()[0] for line in samples}
    assert len(seeds) == 2, "else both iterations would sample the same questions"


@pytest.mark.parametrize(
    ("target", "stage", "option"),
    [
        ("no-penalty", "challenge", "--lambda-rep 0"),
        ("no-filter", "filter", "--delta 0.5"),
        ("true-labels", "train-solver", "--answer-key reference"),
        ("shuffled-labels", "train-solver", "--shuffle-labels"),
        ("random-reward", "train-solver", "--reward random"),
        ("format-reward", "train-solver", "--reward format"),
    ],
)
def test_ablation_changes_one_option_of_one_stage(
    folder: Path, target: str, stage: str, option: str
) -> None:
    plan = make(folder, "-n", target, "MODEL=org/base", "ITERATIONS=2", "TRUTH=1").stdout
    full = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2").stdout
    lines = [line for line in plan.splitlines() if "rzero_cli" in line]
    assert [line for line in lines if option in line] == [
        line for line in lines if f"rzero_cli {stage} " in line
    ]
    assert plan.count(option) == 2, "once in each iteration"
    variable = {"challenge": "CHALLENGE", "filter": "FILTER", "train-solver": "SOLVER"}[stage]
    flags = f"{variable}_FLAGS=--quiet"
    more = make(folder, "-n", target, "MODEL=org/base", "ITERATIONS=2", "TRUTH=1", flags).stdout
    assert more.count(option) == 2, "a user's flag does not undo the ablation"
    assert more.count(f"--quiet {option}") == 2
    assert option not in full


def test_chains_share_the_base_models_evaluation(folder: Path) -> None:
    arguments = ("MODEL=org/base", "ITERATIONS=2")
    plan = make(folder, "-n", "loop", "no-filter", "no-penalty", *arguments)
    assert plan.returncode == 0, plan.stderr
    found = commands(plan.stdout)
    stages = ("challenge", "sample", "label", "filter", "train-solver")
    assert [found.count(name) for name in (*stages, "eval")] == [6, 6, 6, 6, 6, 7]
    filters = [line.split()[-1] for line in plan.stdout.splitlines() if " filter " in line]
    assert "runs/r-zero/no-filter/iter-1/train.jsonl" in filters
    assert "report" not in found


def test_file_that_was_removed_is_made_again(folder: Path) -> None:
    """All files after it are also remade, though only the evaluation is requested."""
    given = ("MODEL=org/base", "ITERATIONS=1", "RUN=torn")
    iteration = folder / "runs/torn/iter-1"
    for number, name in enumerate(("challenger/rzero.json", "questions.jsonl", "labeled.jsonl")):
        path = iteration / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (number, number))
    (iteration / "questions.jsonl").unlink()
    left = commands(make(folder, "-n", "loop", *given).stdout)
    assert left == ["eval", "sample", "label", "filter", "train-solver", "eval"]
    (folder / "runs/torn/iter-1/questions.jsonl").touch()
    assert commands(make(folder, "-n", "loop", *given).stdout)[1] == "label", "it is newer"


def test_one_model_chain_trains_the_challenger_as_solver(folder: Path) -> None:
    plan = make(folder, "-n", "one-model", "MODEL=org/base", "ITERATIONS=2").stdout
    lines = [line.split("rzero_cli ", 1)[1] for line in plan.splitlines() if RZERO in line]
    run = "runs/r-zero/one-model"
    for stage in ("label", "train-solver"):
        solvers = [line.split()[3] for line in lines if line.startswith(f"{stage} ")]
        assert solvers == [f"{run}/iter-{k}/challenger" for k in (1, 2)]
    (second,) = (line for line in lines if line.startswith("challenge ") and "iter-2" in line)
    assert f"--challenger {run}/iter-1/solver --solver {run}/iter-1/solver" in second


def test_report_knows_every_chain(folder: Path) -> None:
    found = re.search(r"^CHAINS := (.*)$", (folder / "Makefile").read_text(), re.M)
    assert found is not None
    assert {*CHAINS} == {*found[1].split()}


def test_run_may_have_the_name_of_a_chain(folder: Path) -> None:
    """A chain's settings apply only to its folder inside the run, not to a run of the same name."""
    usual = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", "RUN=mine").stdout
    for name in ("one-model", "true-labels", "no-filter"):
        plan = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", f"RUN={name}").stdout
        assert plan == usual.replace("runs/mine", f"runs/{name}")


@pytest.mark.parametrize("target", [["true-labels"], ["true-labels", "loop"]])
def test_true_labels_need_an_oracle_before_any_stage(folder: Path, target: list[str]) -> None:
    done = make(folder, *target, "MODEL=org/base", "RUN=labels", "RZERO=echo")
    assert done.returncode == 2
    assert "ORACLE_FLAGS is not set" in done.stderr
    assert "challenge" not in done.stdout


def test_difficulty_evaluates_every_solver_on_every_iteration(folder: Path) -> None:
    arguments = ("-n", "difficulty", "MODEL=org/base", "ITERATIONS=2")
    plan = make(folder, *arguments, "ORACLE_FLAGS=--oracle-data known.jsonl", "EVAL_FLAGS=--k 9")
    assert plan.returncode == 0, plan.stderr
    lines = [line.split("rzero_cli ", 1)[1] for line in plan.stdout.splitlines() if RZERO in line]
    asked = [line for line in lines if line.startswith("oracle ")]
    assert [line.split()[1] for line in asked] == [
        f"runs/r-zero/iter-{k}/labeled.jsonl" for k in (1, 2)
    ]
    assert all("--known --limit 200 --oracle-data known.jsonl" in line for line in asked)
    evaluated = [line for line in lines if line.startswith("eval ")]
    assert all("--k 0" in line and "--k 9" not in line for line in evaluated)
    models = ("org/base", "runs/r-zero/iter-1/solver", "runs/r-zero/iter-2/solver")
    assert sorted((line.split()[3], line.split()[5]) for line in evaluated) == [
        (model, f"runs/r-zero/difficulty/iter-{k}.jsonl") for model in models for k in (1, 2)
    ]
    assert lines[-1].startswith("report runs/r-zero --difficulty")
    world = make(folder, *arguments, "TRUTH=1").stdout
    assert world.count("--limit 200 --world") == 2


def test_difficulty_needs_an_oracle_before_any_stage(folder: Path) -> None:
    done = make(folder, "difficulty", "MODEL=org/base", "RUN=unknown")
    assert done.returncode == 2
    assert "ORACLE_FLAGS is not set" in done.stderr
    assert "challenge" not in done.stdout


def test_run_refuses_a_second_model(folder: Path) -> None:
    """Otherwise artefacts of two models would be mixed under one name."""
    first = make(folder, "needs-model", "RUN=mixed", "MODEL=org/one")
    assert first.returncode == 0, first.stderr
    assert make(folder, "needs-model", "RUN=mixed", "MODEL=org/one").returncode == 0
    other = make(folder, "needs-model", "RUN=mixed", "MODEL=org/other")
    assert other.returncode == 2
    assert "choose another RUN" in other.stderr


def test_makefile_does_not_override_rzero_toml(folder: Path) -> None:
    """Without PRESET the Makefile passes no --preset, so rzero.toml applies."""
    assert "--preset" not in make(folder, "-n", "run", "MODEL=org/base").stdout
    asked = make(folder, "-n", "run", "MODEL=org/base", "PRESET=official").stdout
    assert asked.count("--preset official") == len(commands(asked)) - 1  # all but report


def test_presets_can_be_combined_in_make(
    folder: Path,
) -> None:
    plan = make(folder, "-n", "run", "MODEL=Qwen/Qwen3-4B-Base", "PRESET=official,qwen3-4b").stdout
    assert plan.count("--preset official,qwen3-4b") == len(commands(plan)) - 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("MODEL=", "MODEL is not set"),
        ("DEDUP=all", "DEDUP=all: must be exact or near"),
        ("ITERATIONS=x", "ITERATIONS=x: must be a number, at least 1"),
        ("ITERATIONS=0", "ITERATIONS=0: must be a number, at least 1"),
    ],
)
def test_wrong_setting_is_one_line_before_any_stage(
    folder: Path, setting: str, message: str
) -> None:
    done = make(folder, "run", "MODEL=base", setting)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
