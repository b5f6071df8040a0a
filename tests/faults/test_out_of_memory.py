"""Memory exhausted in the middle of real commands, under a limit set in the kernel.

A prompt of thousands of tokens among short ones does not fit.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Rzero
from helpers.json_lines import recorded

pytestmark = pytest.mark.slow

LONG = "7" * 6000


def limited(folder: Path, mebibytes: int, *arguments: str) -> Ended:
    script = Path(__file__).parents[1] / "helpers" / "limit_address_space.py"
    ended = subprocess.run(
        [sys.executable, str(script), str(mebibytes), *arguments],
        capture_output=True,
        cwd=folder,
        # malloc would reserve 64 MiB of address space per thread. transformers loads weights with
        # up to four threads, fewer on fewer cores, whose stacks take 8 MiB each.
        env=os.environ | {"MALLOC_ARENA_MAX": "1", "HF_DEACTIVATE_ASYNC_LOAD": "1"},
        text=True,
        timeout=300,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_label_out_of_memory_keeps_finished_records_and_resumes(
    rzero: Rzero, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [{"question": f"reverse the digits of {1000 + n}"} for n in range(12)]
    write(tmp_path / "q.jsonl", [*rows[:10], {"question": LONG}, rows[11]])
    options = ("--m", "4", "--max-tokens", "8", "--batch-size", "8", "--quiet")
    command = ["label", "q.jsonl", "--solver", str(tiny_model), *options]
    # 8 to 24 work: with 6 the tokenizer ends the process, and with 28 the long prompt fits.
    ended = limited(tmp_path, 16, *command, "-o", "out.jsonl")
    assert ended.status == 1, ended.stderr
    assert ended.stderr == (
        "rzero: out of memory with a single completion: a prompt of 6,003 tokens and up to 8 more: "
        "lower --max-tokens or remove the prompt; finished records are kept, continue with "
        "--resume\n"
    )
    assert not (tmp_path / "out.jsonl").exists()
    kept = recorded(tmp_path / "out.jsonl.part")
    assert len(kept) == 10
    for name in ("part", "part.json"):
        shutil.copy(tmp_path / f"out.jsonl.{name}", tmp_path / f"smaller.jsonl.{name}")

    assert rzero(*command, "-o", "out.jsonl", "--resume").status == 0
    assert rzero(*command, "-o", "whole.jsonl").status == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    records = [json.loads(line) for line in whole.splitlines()]
    assert kept == {number: records[number] for number in kept}
    assert (tmp_path / "out.jsonl").read_bytes() == whole

    # With smaller batches, unfinished records may be sampled differently.
    command.remove("--quiet")
    smaller = rzero(*command, "--batch-size", "2", "-o", "smaller.jsonl", "--resume")
    assert smaller.status == 0, smaller.stderr
    assert (
        "label: --batch-size differs from the interrupted run: the remaining records"
        in smaller.stderr
    )
    lines = [json.loads(line) for line in (tmp_path / "smaller.jsonl").read_text().splitlines()]
    assert [record["m"] for record in lines] == [4] * 12
    assert kept == {number: lines[number] for number in kept}

    # If smaller batches fit, no option has to be lowered.
    ended = limited(tmp_path, 98, *command, "-o", "halved.jsonl")
    assert ended.status == 0, ended.stderr
    assert "out of memory with 8 completions at a time: continuing with 4; set it" in ended.stderr
    halved = [json.loads(line) for line in (tmp_path / "halved.jsonl").read_bytes().splitlines()]
    assert [record["m"] for record in halved] == [4] * 12
    assert kept == {number: halved[number] for number in kept}


def test_training_out_of_memory_continues_with_fewer_rollouts_per_pass(
    rzero: Rzero, small_base: Path, tmp_path: Path
) -> None:
    heldout = (small_base / "heldout.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in heldout[:300:100]]
    rows = [{"question": row["question"], "answer": row["reference"]} for row in rows]
    write(tmp_path / "t.jsonl", [*rows, {"question": LONG[:2000], "answer": "7"}])
    seed = next(s for s in range(99) if random.Random(s).sample(range(4), 4)[-1] == 3)  # step 2
    sizes = ("--steps", "2", "--prompts", "2", "--batch", "2", "--group", "4", "--max-tokens", "16")
    rest = ("--learning-rate", "1e-3", "--beta", "0.1", "--save-every", "1", "--seed", str(seed))
    command = ["train-solver", "t.jsonl", "--solver", str(small_base), *sizes, *rest, "--quiet"]
    ended = limited(tmp_path, 250, *command, "-o", "out")
    assert ended.status == 1, ended.stderr
    assert ended.stderr.startswith("rzero: out of memory: lower --per-device or use --gradient-ch")
    assert "continue from the last saved step with --resume" in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert (tmp_path / "out.part" / "checkpoints" / "checkpoint-1").is_dir()

    sparing = ("--per-device", "2", "--gradient-checkpointing")
    ended = rzero(*command, "-o", "out", "--resume", *sparing, timeout=300)
    assert ended.status == 0, ended.stderr
    ended = rzero(*command, "-o", "whole", timeout=300)
    assert ended.status == 0, ended.stderr

    from safetensors.torch import load_file

    start, out, whole = (
        load_file(folder / "model.safetensors")
        for folder in (small_base, tmp_path / "out", tmp_path / "whole")
    )
    moved = sum(float((whole[name] - start[name]).square().sum()) for name in start) ** 0.5
    apart = sum(float((whole[name] - out[name]).square().sum()) for name in start) ** 0.5
    assert moved > 0.01
    assert apart < 0.05 * moved  # the effect of another order of summation after Adam
