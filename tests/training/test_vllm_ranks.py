"""A training on two ranks, each with its own real vLLM engine on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.live_processes import alive, children
from rzero_cli.system.processes import available_cores

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

SCRIPT = Path(__file__).parents[1] / "helpers" / "record_answers.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def test_each_rank_of_challenge_answers_its_half_with_its_own_vllm(
    small_base: Path, tmp_path: Path
) -> None:
    plan = "--steps 1 --prompts 4 --batch 4 --group 4 --per-device 8 --m 4 --preset tiny"
    command = f"challenge --challenger {small_base} --solver {small_base} -o c --engine vllm {plan}"
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [*TORCHRUN, "--", str(SCRIPT), *command.split()],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    theirs: set[int] = set()
    cores: dict[int, set[int]] = {}  # of each worker, which vLLM binds as it starts
    deadline = time.monotonic() + 900
    while process.poll() is None and time.monotonic() < deadline:
        theirs |= {*children(process.pid)}
        for pid in theirs:
            try:
                if "VLLM::Worker" in psutil.Process(pid).name():
                    cores[pid] = {*psutil.Process(pid).cpu_affinity()}
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.2)
    process.kill()
    stdout, _ = process.communicate()
    told = (tmp_path / "stderr").read_text()
    assert (process.returncode, stdout) == (0, b""), told
    assert "Traceback" not in told
    parts = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    (update,) = map(json.loads, (tmp_path / "c" / "log.jsonl").read_text().splitlines())
    counts = [len(part["answers"]) for part in parts]
    assert sum(counts) == round(update["valid"] * 16) > 1
    assert max(counts) - min(counts) <= 1
    assert {m for part in parts for m in part["answers"]} == {4}
    assert {part["local_world_size"] for part in parts} == {"2"}  # as torchrun set it, not vLLM
    assert len(cores) == 2
    if available_cores() > 1:
        assert not set.intersection(*cores.values()), cores
    for _ in range(100):
        if not alive([*theirs]):
            break
        time.sleep(0.1)
    assert not alive([*theirs])
