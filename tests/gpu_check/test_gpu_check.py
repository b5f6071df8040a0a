"""`make gpu-check` on the CPU: its runner, its report, and each check that needs no GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_check import runner
from gpu_check.checks import estimated, mismatch, table
from gpu_check.runner import (
    FAILED,
    NOT_APPLICABLE,
    NOT_RUN,
    PASSED,
    RUNNING,
    Check,
    Failed,
    Result,
    run,
)
from helpers.live_processes import children

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
GPU_ONLY = {
    *("vllm-train-solver", "vllm-challenge", "vllm", "vllm-sleep", "memory", "memory-lora"),
    *("fsdp2", "served", "adamw-8bit"),
}


def python(name: str, code: str, **more: Any) -> Check:
    """Return a check that runs Python code."""
    return Check(name, "a check", [[sys.executable, "-c", code]], **more)


def run_all(folder: Path, *checks: Check, seconds: float = 600.0) -> dict[str, Result]:
    results = run(checks, folder, gpus=[], seconds=seconds, report=lambda results: None)
    return {result.name: result for result in results}


def test_each_result_is_reported_with_its_reason(tmp_path: Path) -> None:
    def wrong(folder: Path, outputs: list[str]) -> dict[str, Any]:
        raise Failed(f"printed {outputs[0].strip()}")

    found = run_all(
        tmp_path,
        python("good", "print(1)", holds=lambda folder, outputs: {"printed": int(outputs[0])}),
        python("bad", "import sys; print('first', file=sys.stderr); sys.exit('the reason\\n')"),
        python("wrong", "print(2)", holds=wrong),
        python("broken", "print('x')", holds=lambda folder, outputs: {"n": int(outputs[0])}),
        python("killed", "import os; os.kill(os.getpid(), 9)"),
        python("no GPU", "", gpus=1),
        python("no package", "", packages=["json", "no_such_package"]),
        python("on good", "", after=["good"]),
        python("on bad", "", after=["bad"]),
        python("on none", "", after=["no package"]),
    )
    assert {name: (one.status, one.reason) for name, one in found.items()} == {
        "good": (PASSED, ""),
        "bad": (FAILED, "the reason"),
        "wrong": (FAILED, "printed 2"),
        "broken": (FAILED, "ValueError: invalid literal for int() with base 10: 'x\\n'"),
        "killed": (FAILED, "killed by signal 9"),
        "no GPU": (NOT_APPLICABLE, "no GPU"),
        "no package": (NOT_APPLICABLE, "no_such_package not installed"),
        "on good": (PASSED, ""),
        "on bad": (NOT_RUN, "needs bad: failed"),
        "on none": (NOT_APPLICABLE, "needs no package: not applicable"),
    }
    assert found["good"].found == {"printed": 1}


HANG = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"],
                         start_new_session=True)
pathlib.Path("child").write_text(str(child.pid))
time.sleep(1000)
"""


def test_check_over_its_limit_is_killed_with_all_its_processes(tmp_path: Path) -> None:
    found = run_all(tmp_path, python("hangs", HANG, limit=10.0), python("next", ""))
    assert (found["hangs"].status, found["hangs"].reason) == (FAILED, "not finished in 10 s")
    assert found["next"].status == PASSED
    ended((int((tmp_path / "child").read_text()),))


def test_checks_that_no_longer_fit_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LEAST", 1.0)
    found = run_all(tmp_path, python("hangs", HANG), python("next", ""), seconds=2.0)
    assert found["hangs"].status == NOT_RUN
    assert found["hangs"].reason.startswith("time: ended after")
    assert (found["next"].status, found["next"].reason) == (NOT_RUN, "time")


def ended(pids: tuple[int, ...]) -> None:
    """Wait until these processes have ended."""
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=60)
    assert not [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def command(folder: Path, *words: str, first: Path | None = None) -> subprocess.Popen[str]:
    """Start gpu-check, with modules in `first` before all others."""
    path = os.pathsep.join([*([str(first)] if first else []), PATHS])
    return subprocess.Popen(
        [sys.executable, "-m", "gpu_check", "--output", str(folder), *words],
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(folder: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((folder / "report.json").read_text())["checks"]
    return {row["name"]: row for row in rows}


def module(folder: Path, name: str, code: str) -> Path:
    """Write a module that hides another of its name."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    return folder


TORCH = """
import sys

class cuda:
    device_count = staticmethod(lambda: 0)

if sys.argv[0] != "-c":  # a check, and not the question for GPUs
"""


def test_failing_check_ends_with_status_1(tmp_path: Path) -> None:
    broken = module(tmp_path / "broken", "torch", f"{TORCH}    raise OSError('no such symbol')")
    process = command(tmp_path / "out", "machine", first=broken)
    output, errors = process.communicate()
    assert process.returncode == 1, errors
    found = report(tmp_path / "out")
    assert found["machine"]["status"] == FAILED
    assert found["machine"]["reason"] == "OSError: no such symbol"
    assert "1 failed" in output
    assert "no such symbol" in (tmp_path / "out" / "report.md").read_text()


WITHOUT_TRL = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "trl":
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Hide())
"""


def test_missing_package_makes_its_checks_not_applicable(tmp_path: Path) -> None:
    without = module(tmp_path / "without", "sitecustomize", WITHOUT_TRL)
    process = command(tmp_path / "out", "passes", first=without)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    one = report(tmp_path / "out")["passes"]
    assert (one["status"], one["reason"]) == (NOT_APPLICABLE, "trl not installed")


def test_python_without_any_package_applies_no_check(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gpu_check", "--output", str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": PATHS, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = report(tmp_path / "out")
    assert {one["status"] for one in found.values()} == {NOT_APPLICABLE}
    assert found["base"]["reason"] == "torch, transformers not installed"


def test_unknown_check_is_refused_in_a_line(tmp_path: Path) -> None:
    process = command(tmp_path / "out", "lora,memory")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "no check 'lora,memory'; the checks: machine, base, " in errors.splitlines()[-1]


SLOW = """
    import pathlib, time
    time.sleep(2)  # the watchdog looks twice a second
    pathlib.Path("importing").touch()
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_report_and_no_process_is_left_after_a_kill(tmp_path: Path, number: signal.Signals) -> None:
    slow = module(tmp_path / "slow", "torch", TORCH + SLOW)
    process = command(tmp_path / "out", "machine", "passes", first=slow)
    path = tmp_path / "out" / "report.json"
    wait_until((tmp_path / "out" / "work" / "importing").is_file)
    started = children(process.pid)
    assert started
    process.send_signal(number)
    _, errors = process.communicate()
    ended(tuple(started))
    found = report(path.parent)
    assert found["passes"]["status"] == NOT_RUN
    if number == signal.SIGKILL:
        assert process.returncode == -number and found["machine"]["status"] == RUNNING
    else:
        assert process.returncode == 130, errors
        assert (found["machine"]["status"], found["machine"]["reason"]) == (NOT_RUN, "interrupted")
    assert "| `machine` | " in (path.parent / "report.md").read_text()


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_every_check_without_a_gpu_passes(tmp_path: Path) -> None:
    process = command(tmp_path / "out", "--seconds", "3000")
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    found = report(tmp_path / "out")
    for name, one in found.items():
        expected = (NOT_APPLICABLE, "no GPU") if name in GPU_ONLY else (PASSED, "")
        assert (one["status"], one["reason"]) == expected, name
    assert found["lora"]["found"]["continued"]["updates"] == 2
    assert found["resume"]["found"]["continued with step"] > 1
    assert found["train-solver"]["found"]["seconds"]["updates"] > 0


def test_commands_have_only_known_options(capfd: pytest.CaptureFixture[str]) -> None:
    from rzero_cli.cli import run as rzero

    for gpus in (0, 2):
        for check in table(gpus):
            for words in check.commands:
                at = next((n for n, word in enumerate(words) if word in STAGES), None)
                if at is not None:
                    assert rzero([*words[at:], "--help"]) == 0, f"{check.name}: {words}"
    capfd.readouterr()


STAGES = {"sample", "label", "challenge", "train-solver", "merge", "eval"}


@pytest.mark.parametrize(
    "kl, reason",
    [([1e-4, 2e-4], None), ([1e-4, 0.3], "not the trainer's"), ([1e-4, None], "not logged")],
)
def test_mismatch_must_be_logged_and_small(kl: list[float | None], reason: str | None) -> None:
    largest = "sampling/sampling_logp_difference/max"
    log = [{largest: 0.1} | ({} if one is None else {"sampling/kl": one}) for one in kl]
    if reason is None:
        assert mismatch(log)["KL from vLLM by update"] == kl
    else:
        with pytest.raises(Failed, match=reason):
            mismatch(log)


@pytest.mark.parametrize("allocated, passes", [(3.0, True), (4.4, True), (4.6, False)])
def test_peak_may_exceed_the_estimate_by_what_a_plan_leaves_free(
    tmp_path: Path, allocated: float, passes: bool
) -> None:
    (tmp_path / "peak.json").write_text(json.dumps([allocated, 5.0]))
    layouts = [{"gpus": n, "lora_r": 0, "gib": {"peak": 4.0 / n}} for n in (1, 4)]
    plan = json.dumps({"layouts": layouts})
    if passes:
        found = estimated(tmp_path / "peak.json", plan, 0)
        assert found["ratio"] == pytest.approx(allocated / 4.0)
    else:
        with pytest.raises(Failed, match=r"4\.60 GiB, and the estimate is 4\.00"):
            estimated(tmp_path / "peak.json", plan, 0)
