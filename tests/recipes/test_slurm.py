"""The Slurm scripts of the recipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


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


@pytest.mark.parametrize("script", ["array.sbatch", "serve.sbatch", "train.sbatch"])
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


def test_training_on_several_nodes_starts_once_per_node(folder: Path) -> None:
    stub(folder, "scontrol", "printf 'first\\nsecond\\n'")
    stub(folder, "srun", 'echo "$MASTER_ADDR $*" > srun.log')
    nodes = {"SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8"}
    slurm(folder, "train.sbatch", "train-solver", "a b.jsonl", "-o", "out", **nodes)
    assert (folder / "srun.log").read_text() == (
        "first --kill-on-bad-exit rzero train-solver a b.jsonl -o out --accelerate fsdp2-nodes "
        "--processes 16 --resume\n"
    )


def test_served_solver_is_announced_while_it_answers(folder: Path) -> None:
    """The server is a stand-in that answers at /health and ends on a signal."""
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
