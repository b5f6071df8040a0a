"""The Slurm scripts of the recipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.loop import RZERO

STUB_RZERO = Path(__file__).parents[1] / "helpers" / "stub_rzero.py"


def slurm(folder: Path, script: str, *arguments: object, **variables: str) -> None:
    """Run a script as Slurm would, with its variables and rzero in PATH."""
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    subprocess.run(
        ["bash", str(folder / "slurm" / script), *map(str, arguments)],
        env=os.environ | {"PATH": path} | variables,
        cwd=folder,
        check=True,
        timeout=300,
    )


def stub(folder: Path, name: str, text: str) -> None:
    """Write a stand-in for a program of the cluster."""
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("script", ["array.sbatch", "run.sbatch"])
def test_slurm_scripts_are_valid_bash(folder: Path, script: str) -> None:
    subprocess.run(["bash", "-n", str(folder / "slurm" / script)], check=True)


@pytest.mark.slow
def test_job_array_shards_add_up_to_the_whole(folder: Path, tiny_model: Path) -> None:
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
    # submitted again alone, as after a failure
    alone = {"SLURM_ARRAY_TASK_COUNT": "1", "PARTS": "2"}
    slurm(folder, "array.sbatch", *label, SLURM_ARRAY_TASK_ID="1", **alone)
    parts = sorted(folder.glob("labeled.*.jsonl"))
    assert [path.name for path in parts] == ["labeled.00000.jsonl", "labeled.00001.jsonl"]
    lines = [line for path in parts for line in path.read_text().splitlines()]
    asked = [json.loads(line)["question"] for line in lines]
    assert sorted(asked) == sorted(row["question"] for row in rows)


NODES = {"SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "4", "SLURM_GPUS_ON_NODE": "8"}
LOOP = ["MODEL=org/base", "PRESET=tiny", "ITERATIONS=2", "HELDOUT=held.jsonl"]


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder from `rzero init`, and stand-ins for the cluster's programs and for `rzero`.

    `srun` fails if a file `down` exists, as on the loss of a node.
    """
    subprocess.run([*RZERO.split(), "init", str(tmp_path)], check=True, capture_output=True)
    stub(tmp_path, "scontrol", "printf 'first\\nsecond\\n'")
    stub(
        tmp_path,
        "srun",
        'echo "$MASTER_ADDR $*" >> srun.log\n[ ! -e down ] || exit 1\n'
        'while [[ $1 == --* ]]; do shift; done\n"$@"',
    )
    stub(tmp_path, "rzero", f'exec {sys.executable} {STUB_RZERO} "$@"')
    (tmp_path / "plan.json").write_text(json.dumps({"different": [100, 100]}))
    return tmp_path


def logged(folder: Path, name: str) -> list[str]:
    path = folder / name
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_one_job_runs_all_iterations_and_serves_each_ones_solver(cluster: Path) -> None:
    slurm(cluster, "run.sbatch", *LOOP, **NODES)
    commands = logged(cluster, "commands.log")
    iteration = ["challenge", "sample", "label", "filter", "train-solver", "eval"]
    assert [line.split()[0] for line in commands] == [
        *("eval", *iteration, *iteration, "report", "stats")
    ]
    srun = "first --kill-on-bad-exit --ntasks-per-node=1 --cpu-bind=none rzero"
    trained = [line for line in commands if line.split()[0] in ("challenge", "train-solver")]
    assert logged(cluster, "srun.log") == [f"{srun} {line}" for line in trained]
    run = "runs/r-zero"
    for line, solver in zip(trained[::2], ("org/base", f"{run}/iter-1/solver"), strict=True):
        assert f"--solver {solver} " in line
        assert "--accelerate fsdp2-nodes --processes 16 --solver-gpus 4-7 " in line
    assert f"--challenger {run}/iter-1/challenger " in trained[2]
    for line in trained[1::2]:
        assert "--accelerate fsdp2-nodes --processes 32 " in line
    generating = [line for line in commands if line.split()[0] in ("sample", "label", "eval")]
    assert all("--data-parallel-size 8" in line for line in generating)


def test_requeued_job_continues_where_it_was(cluster: Path) -> None:
    """A target on the command line replaces `run`."""
    (cluster / "down").touch()
    with pytest.raises(subprocess.CalledProcessError):
        slurm(cluster, "run.sbatch", *LOOP, **NODES)
    assert not (cluster / "runs/r-zero/iter-1/questions.jsonl").exists()
    (cluster / "down").unlink()
    slurm(cluster, "run.sbatch", "runs/r-zero/iter-2/challenger/rzero.json", *LOOP, **NODES)
    logged(cluster, "commands.log")
    slurm(cluster, "run.sbatch", *LOOP, **NODES)
    left = ["eval", "sample", "label", "filter", "train-solver", "eval", "report", "stats"]
    assert [line.split()[0] for line in logged(cluster, "commands.log")] == left


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ("1", "--processes 28 --solver-gpus 7-7 --steps 3 "),
        ("0", "--processes 32 --steps 3 "),
    ],
)
def test_number_of_serving_gpus_and_options_come_from_the_environment(
    cluster: Path, serving: str, expected: str
) -> None:
    more = {"SOLVER_GPUS": serving, "CHALLENGE_FLAGS": "--steps 3", "SAMPLE_FLAGS": "-n 9"}
    slurm(cluster, "run.sbatch", *LOOP, "ITERATIONS=1", **NODES, **more)
    commands = logged(cluster, "commands.log")
    assert f"--accelerate fsdp2-nodes {expected}" in commands[1]
    assert "--data-parallel-size 8 -n 9 " in commands[2]
