"""The loop as people run it: the package's own Makefile in a folder of theirs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rzero_cli.report.result_tables import CHAIN_NAMES
from rzero_cli.report.summary import CHAINS

RZERO = f"{sys.executable} -m rzero_cli"


def make(folder: Path, *arguments: str, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), f"RZERO={RZERO}", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recipe") / "mine"
    subprocess.run([*RZERO.split(), "init", str(made)], check=True, capture_output=True)
    return made


def commands(plan: str) -> list[str]:
    """The rzero commands of a dry run, without options."""
    lines = [line.split("rzero_cli ", 1)[1] for line in plan.splitlines() if "rzero_cli " in line]
    return [line.split()[0] for line in lines]


def test_init_writes_the_makefile_and_refuses_to_overwrite(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {"Makefile", "rzero.toml", "slurm"}
    again = subprocess.run([*RZERO.split(), "init", str(folder)], capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


def test_make_alone_says_what_there_is(folder: Path) -> None:
    done = make(folder)
    assert done.returncode == 0
    for target in ("run", "demo", "chains", "base-challenger", "one-model", "true-labels"):
        assert f"  {target} " in done.stdout


def test_one_log_is_named_to_every_stage(folder: Path) -> None:
    for log in ("", "log.jsonl"):
        done = make(folder, "lineage", f"LOG_FILE={log}", "RZERO=echo [$$RZERO_LOG_FILE]")
        assert f"[{log}] lineage " in done.stdout


def test_a_dry_run_reads_like_the_algorithm(folder: Path) -> None:
    plan = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2")
    assert plan.returncode == 0, plan.stderr
    iteration = ["challenge", "sample", "label", "filter", "train-solver", "eval"]
    assert commands(plan.stdout) == ["eval", *iteration, *iteration, "report"]
    assert "--challenger runs/r-zero/iter-1/challenger --solver runs/r-zero/iter-1/solver" in (
        plan.stdout
    ), "the second iteration starts from both models of the first"


def test_the_baseline_never_trains_a_challenger(folder: Path) -> None:
    plan = make(folder, "-n", "base-challenger", "MODEL=org/base", "ITERATIONS=2").stdout
    assert "challenge" not in commands(plan)
    samples = [line for line in plan.splitlines() if "rzero_cli sample" in line]
    assert len(samples) == 2
    assert all("--challenger org/base" in line for line in samples)
    seeds = {line.split("--seed ")[1].split()[0] for line in samples}
    assert len(seeds) == 2, "else both iterations would ask the same questions"


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
def test_an_ablation_changes_one_option_of_one_stage(
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
    assert more.count(option) == 2, "a flag of the user's does not undo the ablation"
    assert more.count(f"--quiet {option}") == 2
    assert option not in full


def test_what_a_chain_has_in_common_with_the_loop_is_made_once(folder: Path) -> None:
    """Until the first labels, a chain that differs from the loop only after them is the loop."""
    arguments = ("MODEL=org/base", "ITERATIONS=2", "CHAINS=trained no-filter no-penalty")
    plan = make(folder, "-n", "chains", *arguments)
    assert plan.returncode == 0, plan.stderr
    found = commands(plan.stdout)
    assert [found.count(name) for name in ("challenge", "sample", "label")] == [5, 5, 5]
    assert [found.count(name) for name in ("filter", "train-solver", "eval")] == [6, 6, 7]
    filters = [line.split()[-4:] for line in plan.stdout.splitlines() if " filter " in line]
    assert "runs/r-zero/no-filter/iter-1/train.jsonl" in [words[-1] for words in filters]
    assert plan.stdout.count(" filter runs/r-zero/iter-1/labeled.jsonl ") == 2
    assert "report" not in found


def test_one_model_answers_and_learns_as_the_challenger_that_has_asked(folder: Path) -> None:
    plan = make(folder, "-n", "one-model", "MODEL=org/base", "ITERATIONS=2").stdout
    lines = [line.split("rzero_cli ", 1)[1] for line in plan.splitlines() if RZERO in line]
    run = "runs/r-zero/one-model"
    for stage in ("label", "train-solver"):
        solvers = [line.split()[3] for line in lines if line.startswith(f"{stage} ")]
        assert solvers == [f"{run}/iter-{k}/challenger" for k in (1, 2)]
    (second,) = (line for line in lines if line.startswith("challenge ") and "iter-2" in line)
    assert f"--challenger {run}/iter-1/solver --solver {run}/iter-1/solver" in second


def test_a_report_knows_every_chain_of_the_recipe(folder: Path) -> None:
    found = re.search(r"^CHALLENGED := (.*)$", (folder / "Makefile").read_text(), re.M)
    assert found is not None
    chains = {"base-challenger", *found[1].split()}
    assert {"trained", *CHAINS} == chains
    assert CHAIN_NAMES.keys() == {"base", *chains}


def test_a_run_may_be_called_as_a_chain_is(folder: Path) -> None:
    """What a chain does differently is for its folder below the run's, not for the run."""
    usual = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", "RUN=mine").stdout
    for name in ("one-model", "true-labels", "no-filter"):
        plan = make(folder, "-n", "run", "MODEL=org/base", "ITERATIONS=2", f"RUN={name}").stdout
        assert plan == usual.replace("runs/mine", f"runs/{name}")


@pytest.mark.parametrize("target", [["true-labels"], ["chains", "CHAINS=trained true-labels"]])
def test_who_knows_true_labels_is_asked_before_anything_is_made(
    folder: Path, target: list[str]
) -> None:
    done = make(folder, *target, "MODEL=org/base", "RUN=asked", "RZERO=echo")
    assert done.returncode == 2
    assert "ORACLE_FLAGS is not set" in done.stderr
    assert "challenge" not in done.stdout


def test_the_difficulty_of_each_iteration_is_that_for_every_solver(folder: Path) -> None:
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


def test_without_an_oracle_nothing_is_begun(folder: Path) -> None:
    done = make(folder, "difficulty", "MODEL=org/base", "RUN=unknown")
    assert done.returncode == 2
    assert "ORACLE_FLAGS is not set" in done.stderr
    assert "challenge" not in done.stdout


def test_a_run_is_of_one_model(folder: Path) -> None:
    """Under one name, the artefacts of two models would be taken for those of one."""
    first = make(folder, "needs-model", "RUN=mixed", "MODEL=org/one")
    assert first.returncode == 0, first.stderr
    assert make(folder, "needs-model", "RUN=mixed", "MODEL=org/one").returncode == 0
    other = make(folder, "needs-model", "RUN=mixed", "MODEL=org/other")
    assert other.returncode == 2
    assert "choose another RUN" in other.stderr


def test_the_settings_beside_the_makefile_hold(folder: Path) -> None:
    """The Makefile names no preset unless asked to, so that rzero.toml is not overruled."""
    assert "--preset" not in make(folder, "-n", "run", "MODEL=org/base").stdout
    asked = make(folder, "-n", "run", "MODEL=org/base", "PRESET=official").stdout
    assert asked.count("--preset official") == len(commands(asked)) - 1  # all but report


def test_a_model_of_the_paper_and_the_authors_settings_can_be_asked_for_together(
    folder: Path,
) -> None:
    plan = make(folder, "-n", "run", "MODEL=Qwen/Qwen3-4B-Base", "PRESET=official,qwen3-4b").stdout
    assert plan.count("--preset official,qwen3-4b") == len(commands(plan)) - 1


# ---------------------------------------------------------------- guards


STUB = f"RZERO={sys.executable} {Path(__file__).parents[1] / 'helpers' / 'stub_rzero.py'}"
PROBE = ("GUARD=probe", "PROBE=probe.jsonl")


@pytest.fixture
def stubbed(folder: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile, a probe, and a plan of what a stub for rzero leaves."""
    shutil.copy(folder / "Makefile", tmp_path)
    (tmp_path / "probe.jsonl").write_text("{}\n")
    (tmp_path / "heldout.jsonl").write_text("{}\n")
    return tmp_path


def guarded(folder: Path, *arguments: str, **plan: list[int]) -> tuple[str, list[str]]:
    """What `make run` of three iterations says, and the commands that it ran."""
    if plan:
        (folder / "plan.json").write_text(json.dumps({"different": [100] * 3} | plan))
    (folder / "commands.log").write_text("")
    given = ("MODEL=org/base", "HELDOUT=heldout.jsonl", "RUN=x", STUB)
    done = make(folder, "run", "--no-print-directory", *given, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, (folder / "commands.log").read_text().splitlines()


def iterations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs" / "x").glob("iter-*"))


def test_the_loop_stops_when_the_probe_falls_and_says_what_to_ship(stubbed: Path) -> None:
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


def test_a_chain_that_begins_as_the_guarded_loop_waits_for_it(stubbed: Path) -> None:
    """Two makes would make the same Challenger at once."""
    (stubbed / "plan.json").write_text(json.dumps({"different": [100, 100]}))
    given = ("MODEL=org/base", "HELDOUT=heldout.jsonl", "ITERATIONS=2", "RUN=x", STUB)
    chains = "CHAINS=trained no-filter"
    done = make(stubbed, "-j2", "chains", chains, "GUARD=diversity", *given)
    assert done.returncode == 0, done.stderr
    ran = (stubbed / "commands.log").read_text().splitlines()
    asked = [line.split()[-1] for line in ran if line.startswith("challenge")]
    at = ("runs/x/iter-1", "runs/x/iter-2", "runs/x/no-filter/iter-2")
    assert asked == [f"{folder}/challenger" for folder in at]
    others = ["no-filter" in line for line in ran]
    assert others == sorted(others)


def test_the_loop_stops_when_answers_become_the_same_and_goes_on_if_it_may(stubbed: Path) -> None:
    said, _ = guarded(stubbed, "GUARD=diversity", different=[90, 40, 100])
    line = said.splitlines()[-1]
    assert line.startswith(
        "stopped after iteration 2: distinct questions fell from 90 of 100 (90%) to 40 of 100 (40%)"
    )
    assert line.endswith("; ship runs/x/iter-1/solver")
    assert iterations(stubbed) == ["iter-1", "iter-2"]
    assert not list(stubbed.rglob("probe.json")), "nobody asked for a probe"

    again, ran = guarded(stubbed, "GUARD=diversity")
    assert again.splitlines()[-1] == line
    assert [command.split()[0] for command in ran] == ["guard"], "nothing else is done again"
    shown = make(stubbed, "-n", "run", "MODEL=org/base", "RUN=x", STUB, "GUARD=diversity")
    assert "challenge" not in shown.stdout

    # With a wider margin it goes on from there; what was trained stays.
    said, ran = guarded(stubbed, "GUARD=diversity", "GUARD_FLAGS=--least-share 0.3")
    assert said.splitlines()[-1] == (
        "no guard tripped after iteration 3; ship runs/x/iter-3/solver"
    )
    made = [command.split()[-1] for command in ran if command.startswith(("challenge", "train"))]
    assert made == ["runs/x/iter-3/challenger", "runs/x/iter-3/solver"]


def test_the_loop_stops_where_nothing_is_asked_any_more(stubbed: Path) -> None:
    said, _ = guarded(stubbed, "GUARD=diversity", different=[0, 100, 100])
    assert said.splitlines()[-1] == (
        "stopped after iteration 1: no labelled question is left; ship the base model"
    )
    assert iterations(stubbed) == ["iter-1"]


def test_the_figures_of_a_report_are_in_the_order_of_the_iterations(stubbed: Path) -> None:
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
        (["GUARD=probe"], "PROBE=: no such file"),
        (["GUARD=probe", "PROBE=heldout.jsonl"], "PROBE is HELDOUT"),
        (["GUARD=answers"], "GUARD=answers: must be probe, diversity or probe,diversity"),
    ],
)
def test_a_guard_that_cannot_be_is_said_before_anything_begins(
    stubbed: Path, options: list[str], message: str
) -> None:
    done = make(stubbed, "run", "MODEL=org/base", "HELDOUT=heldout.jsonl", STUB, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (stubbed / "commands.log").exists()


def test_with_a_guard_a_dry_run_still_reads_like_the_algorithm(folder: Path) -> None:
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


# ---------------------------------------------------------------- slurm/


def slurm(folder: Path, script: str, *arguments: object, **variables: str) -> None:
    """Run a script as Slurm would: with its variables, and with `PATH` to rzero."""
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    subprocess.run(
        ["bash", str(folder / "slurm" / script), *map(str, arguments)],
        env=os.environ | {"PATH": path} | variables,
        cwd=folder,
        check=True,
        timeout=300,
    )


def stub(folder: Path, name: str, text: str) -> None:
    """A program of a cluster that is not here."""
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("script", ["array.sbatch", "serve.sbatch", "train.sbatch"])
def test_the_slurm_scripts_are_bash(folder: Path, script: str) -> None:
    subprocess.run(["bash", "-n", str(folder / "slurm" / script)], check=True)


@pytest.mark.slow
def test_the_parts_of_a_job_array_are_the_whole(folder: Path, tiny_model: Path) -> None:
    rows = [{"question": f"reverse the digits of {n}"} for n in range(100, 105)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    label = (
        "labeled.jsonl",
        "label",
        "questions.jsonl",
        "--solver",
        tiny_model,
        "--preset",
        "tiny",
    )
    slurm(folder, "array.sbatch", *label, SLURM_ARRAY_TASK_ID="0", SLURM_ARRAY_TASK_COUNT="2")
    # submitted again by itself, as after a failure
    alone = {"SLURM_ARRAY_TASK_COUNT": "1", "PARTS": "2"}
    slurm(folder, "array.sbatch", *label, SLURM_ARRAY_TASK_ID="1", **alone)
    parts = sorted(folder.glob("labeled.*.jsonl"))
    assert [path.name for path in parts] == ["labeled.00000.jsonl", "labeled.00001.jsonl"]
    lines = [line for path in parts for line in path.read_text().splitlines()]
    asked = [json.loads(line)["question"] for line in lines]
    assert sorted(asked) == sorted(row["question"] for row in rows)


def test_a_training_on_several_nodes_is_begun_once_a_node(folder: Path) -> None:
    stub(folder, "scontrol", "printf 'first\\nsecond\\n'")
    stub(folder, "srun", 'echo "$MASTER_ADDR $*" > srun.log')
    nodes = {"SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8"}
    slurm(folder, "train.sbatch", "train-solver", "a b.jsonl", "-o", "out", **nodes)
    assert (folder / "srun.log").read_text() == (
        "first --kill-on-bad-exit rzero train-solver a b.jsonl -o out --accelerate fsdp2-nodes "
        "--processes 16 --resume\n"
    )


def test_a_served_solver_is_announced_while_it_answers(folder: Path) -> None:
    """The server is a stand-in that answers at /health, and ends when it is told to."""
    stub(folder, "vllm", 'mkdir -p up && touch up/health && exec python -m http.server "$4" -d up')
    stub(folder, "hostname", "echo 127.0.0.1")
    url = folder / "solver.url"
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    running = subprocess.Popen(
        ["bash", str(folder / "slurm" / "serve.sbatch"), "org/base", "solver.url"],
        env=os.environ | {"PATH": path, "SLURM_JOB_ID": "7654", "SLURM_GPUS_ON_NODE": "8"},
        cwd=folder,
    )
    deadline = time.monotonic() + 60
    while not url.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert url.read_text() == "http://127.0.0.1:27654/v1\n"
    running.terminate()
    running.wait(timeout=30)
    assert not url.exists()


def test_no_model_is_said_in_one_line(folder: Path) -> None:
    done = make(folder, "run")
    assert done.returncode == 2
    assert "MODEL is not set" in done.stderr


@pytest.mark.slow
def test_the_demo_runs_is_interrupted_goes_on_and_reports(folder: Path) -> None:
    """One iteration of both chains on a small base, with a Ctrl-C in the middle."""
    arguments = ["SIZE=small", "ITERATIONS=1", "demo", "CHALLENGE_FLAGS=--steps 4"]
    arguments += ["SAMPLE_FLAGS=-n 200", "SOLVER_FLAGS=--steps 10", "EVAL_FLAGS=--limit 200"]
    running = subprocess.Popen(
        ["make", "-C", str(folder), f"RZERO={RZERO}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    iteration = folder / "runs" / "demo-small" / "iter-1"
    first = iteration / "questions.jsonl"
    deadline = time.monotonic() + 600
    # Its recipe has ended when the next one has begun; make deletes what it is still busy with.
    while not (iteration / "labeled.jsonl.part").exists():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    made_first = first.stat().st_mtime_ns
    os.killpg(running.pid, signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode != 0

    done = make(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == made_first, "what was there is not made again"
    run = folder / "runs" / "demo-small"
    assert {"summary.json", "summary.txt", "summary.png", "report.html", "stats.txt"} <= {
        path.name for path in run.iterdir()
    }
    assert not list(run.rglob("*.part*"))
    summary = json.loads((run / "summary.json").read_text())
    assert [row["model"] for row in summary["rows"]] == ["base", "base-challenger", "iter-1"]
    for row in summary["rows"]:
        assert 0 <= row["ci95"][0] <= row["mean_at_k"] <= row["ci95"][1] <= 1
        assert row["seconds"] > 0
    for row in summary["rows"][1:]:
        assert row["kept"] <= row["questions"]
        assert 0 <= row["label_accuracy"] <= 1
    assert (run / "summary.png").read_bytes().startswith(b"\x89PNG")
    page = (run / "report.html").read_text()
    assert "<svg" in page
    assert "1 done of 1 planned" in page
    assert 'class="remarks"' not in page, "a whole run lacks nothing"

    again = make(folder, *arguments)
    assert again.returncode == 0
    assert "train-solver" not in again.stdout, "nothing is left to do"


@pytest.mark.slow
def test_a_stage_deleted_is_made_again_with_all_that_follows(folder: Path) -> None:
    run = folder / "runs" / "demo-small"
    if not run.is_dir():
        pytest.skip("needs the run of the test before")
    copy = folder / "runs" / "copy"
    shutil.copytree(run, copy, copy_function=shutil.copy2)
    (copy / "iter-1" / "labeled.jsonl").unlink()
    base = "runs/tiny-base-small-0"
    tiny = ["PRESET=tiny", "TRUTH=1", "ITERATIONS=1", f"MODEL={base}"]
    plan = make(folder, "-n", "chains", "RUN=copy", f"HELDOUT={base}/heldout.jsonl", *tiny)
    redone = ["label", "filter", "train-solver", "eval", "grade"]
    assert sorted(commands(plan.stdout)) == sorted(redone)


@pytest.mark.slow
def test_the_table_of_difficulty_is_that_of_the_evaluations(folder: Path) -> None:
    run = folder / "runs" / "demo-small"
    if not run.is_dir():
        pytest.skip("needs the run of the first of these tests")
    tiny = ["PRESET=tiny", "TRUTH=1", "ITERATIONS=1", "MODEL=runs/tiny-base-small-0"]
    flags = "ORACLE_FLAGS=--world --limit 60"
    done = make(folder, "difficulty", "RUN=demo-small", flags, *tiny)
    assert done.returncode == 0, done.stderr
    assert "train-solver" not in done.stdout, "the run itself is as it was"
    sample = [json.loads(line) for line in (run / "difficulty/iter-1.jsonl").open()]
    assert len(sample) == 60
    true = sum(record["answer"] == record["reference"] for record in sample)
    table = json.loads((run / "difficulty.json").read_text())
    assert table["solvers"] == ["base", "iter-1"]
    (row,) = table["rows"]
    assert (row["questions"], row["n"]) == ("iter-1", 60)
    assert row["label_accuracy"] == pytest.approx(true / 60)
    assert row["p_hat_mean"] == pytest.approx(sum(r["p_hat"] for r in sample) / 60)
    for solver, score in row["scores"].items():
        evaluated = json.loads((run / f"difficulty/iter-1/{solver}.json").read_text())
        samples = evaluated["tasks"]["iter-1"]["samples"]
        assert [s["reference"] for s in samples] == [record["reference"] for record in sample]
        assert score["score"] == sum(s["greedy"] for s in samples) / 60
        assert 0 <= score["ci95"][0] <= score["score"] <= score["ci95"][1] <= 1
    cells = (run / "difficulty.txt").read_text().splitlines()[3].split()
    assert cells[:2] == ["iter-1", "60"]
    assert cells[2] == f"{100 * row['scores']['base']['score']:.1f}"
    assert cells[-1] == f"{100 * row['label_accuracy']:.1f}"
