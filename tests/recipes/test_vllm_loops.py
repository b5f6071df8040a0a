"""`make run` with two training processes and the real vLLM, on the CPU.

Run with `make test-vllm`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psutil
import pytest

from helpers.loop import make
from rzero_cli.data.provenance import content_hash

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

CHALLENGE = "--processes 2 --steps 1 --prompts 2 --batch 2 --group 8 --per-device 8 --m 4"
STAGES = [
    "SAMPLE_FLAGS=-n 24",
    "LABEL_FLAGS=--m 4",
    "FILTER_FLAGS=--low 0 --high 1",
    "SOLVER_FLAGS=--lora-r 4 --processes 2 --steps 1 --prompts 4 --batch 4 --group 4 "
    "--per-device 8",
    "EVAL_FLAGS=--limit 20 --k 0",
]


def run_loop(folder: Path, base: Path, name: str, challenge: str) -> str:
    """Run two iterations to the report, check their records, and return standard error.

    The second Solver is an adapter of the base.
    """
    if not (folder / "base").is_dir():
        shutil.copytree(base, folder / "base")
    loop = ["MODEL=base", "PRESET=tiny", "ITERATIONS=2", "HELDOUT=base/heldout.jsonl"]
    flags = f"CHALLENGE_FLAGS={CHALLENGE} {challenge}"
    done = make(folder, "run", f"RUN={name}", *loop, flags, *STAGES, timeout=1800)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / name
    assert {"summary.txt", "report.html", "stats.txt"} <= {path.name for path in run.iterdir()}
    for iteration, solver in ((1, folder / "base"), (2, run / "iter-1" / "solver")):
        record = json.loads((run / f"iter-{iteration}/challenger/rzero.json").read_text())
        # the checkpoint, as without a server, so that a resumed stage accepts both
        parent = {(folder / one["path"]).resolve(): one["sha256"] for one in record["parents"]}
        assert parent[solver] == content_hash(solver)
        assert "http" not in json.dumps([record["parents"], record["settings"]])
        assert record["plan"]["processes"] == 2
        assert record["metrics"]["last"]["p_hat"] > 0.5, "the Solver's answers agree"
        assert record["spent"]["Solver's answers"] > 0
    left = [p.pid for p in psutil.process_iter() if in_folder(p, folder)]
    assert not left
    return done.stderr


def test_each_iterations_solver_is_served(folder: Path, small_base: Path) -> None:
    serve = "--solver-gpus cpu --engine-arg kv_cache_memory_bytes=500000000"
    told = run_loop(folder, small_base, "served", serve)
    assert told.count("challenge: starting the Solver's server on the CPU\n") == 2


def test_each_rank_has_an_engine_in_every_iteration(folder: Path, small_base: Path) -> None:
    run_loop(folder, small_base, "ranks", "--engine vllm")


def in_folder(process: psutil.Process, folder: Path) -> bool:
    """Return whether a living process has the folder as its working directory."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder
    except psutil.Error:  # it has ended, or is another user's
        return False
