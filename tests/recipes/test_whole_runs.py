"""`make run` unattended, from the base to the report, in the ways that a GPU machine runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.loop import make

FLAGS = {
    "CHALLENGE": "--steps 2 --prompts 4 --batch 2 --group 8 --m 4 --per-device 8",
    "SAMPLE": "-n 100",
    "LABEL": "--m 4",
    "SOLVER": "--steps 2 --prompts 8 --batch 4 --group 4 --per-device 8",
    "EVAL": "--limit 40 --k 0",
}


def whole_run(folder: Path, name: str, base: Path, **more: str) -> Path:
    """Run two iterations; `more` are further flags of stages. Return the run's folder."""
    flags = [f"{stage}_FLAGS={given} {more.get(stage, '')}" for stage, given in FLAGS.items()]
    model = (f"MODEL={base}", f"HELDOUT={base / 'heldout.jsonl'}", "PRESET=tiny", "TRUTH=1")
    done = make(folder, "run", f"RUN={name}", *model, "ITERATIONS=2", *flags, timeout=1800)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / name
    assert (run / "report.html").is_file()
    rows = json.loads((run / "summary.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["base", "iter-1", "iter-2"]
    return run


def record(checkpoint: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkpoint / "rzero.json").read_text())
    return found


@pytest.mark.slow
def test_loop_of_adapters_continues_them(folder: Path, small_base: Path) -> None:
    lora = "--lora-r 4 --lora-alpha 8"
    run = whole_run(folder, "lora", small_base, CHALLENGE=lora, SOLVER=lora)
    for role in ("challenger", "solver"):
        first, second = (run / f"iter-{k}" / role for k in (1, 2))
        for checkpoint in (first, second):
            config = json.loads((checkpoint / "adapter_config.json").read_text())
            assert (config["base_model_name_or_path"], config["r"]) == (str(small_base), 4)
        weights = "adapter_model.safetensors"
        assert (first / weights).read_bytes() != (second / weights).read_bytes()
    # Without the rank, an adapter is continued in its own shape.
    parents = [parent["path"] for parent in record(run / "iter-2" / "solver")["parents"]]
    assert parents[1].endswith("iter-1/solver")
