"""The projection of `rzero preflight`, compared with real runs of the loop at two sizes.

CPU seconds of the second run, with twice the steps and questions, beyond those of the first: what
the projection gets wrong about starting and loading does not hide in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.test_preflight_projection import SIZES, preflight, prepare, projected, run_stages
from conftest import Rzero

LARGER = {
    "CHALLENGE": f"--steps {SIZES[1]['challenge']}",
    "SAMPLE": f"-n {SIZES[1]['sample']}",
    "SOLVER": f"--steps {SIZES[1]['train-solver']}",
}


def bench_projection_of_a_larger_run(
    rzero: Rzero, tmp_path: Path, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_CLOCK", "cpu")
    prepare(rzero, tmp_path)
    small, large = (projected(preflight(tmp_path, small_base)["stages"], size) for size in SIZES)
    flags = [f"{stage}_FLAGS={words}" for stage, words in LARGER.items()]
    first = run_stages(tmp_path, small_base, "small", "loop")
    solver = "runs/large/iter-1/solver/rzero.json"
    growth = run_stages(tmp_path, small_base, "large", solver, *flags) - first
    ratio = (large["all"] - small["all"]) / growth
    print(f"\nprojected / real CPU seconds of what twice the size takes more: {ratio:.2f}")
