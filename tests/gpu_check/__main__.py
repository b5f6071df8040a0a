"""Check every GPU path on this machine with a small model made here, and report each.

    make gpu-check                                  all checks, at most eight minutes
    make gpu-check PYTHON=python3 CHECKS='lora memory'      two of them, with another Python

Needs no network and no installation. The report is in OUTPUT/report.md and report.json, the checks'
own output in OUTPUT/work/logs. The exit status is 1 if a check failed, 2 for an unknown check.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gpu_check.checks import table
from gpu_check.runner import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    RUNNING,
    Check,
    Result,
    describe,
    run,
    write_report,
)

SECONDS = 480.0
"""The limit of all checks; with a higher one, that of each check rises alike."""
ROOT = Path(__file__).parents[2]
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and return the exit status."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m gpu_check", description=summary)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="those to run (all)")
    parser.add_argument("--output", type=Path, default=Path("runs/gpu-check"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of all checks (480)")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    for name in [name for name in os.environ if name.startswith("RZERO_")]:
        del os.environ[name]
    own = [str(ROOT / "src"), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ.update(_OFFLINE, PYTHONPATH=os.pathsep.join(own))
    visible = _gpus()
    try:
        checks = _chosen(table(len(visible)), given.checks)
    except KeyError as error:
        parser.error(f"no check {error}; the checks: {', '.join(c.name for c in table(0))}")
    slower = max(1.0, given.seconds / SECONDS)
    checks = [replace(check, limit=slower * check.limit) for check in checks]
    shutil.rmtree(given.output / "work", ignore_errors=True)
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "gpus": visible,
        "packages": packages(),
    }
    shown: set[str] = set()

    def report(results: list[Result]) -> None:
        write_report(given.output, machine, results)
        for one in results:
            ended = one.status != RUNNING and (one.reason or one.status == PASSED)
            if ended and one.name not in shown:
                shown.add(one.name)
                notes = "; ".join(filter(None, [one.reason, describe(one.found)]))
                print(f"{one.name:20} {one.status:14} {one.seconds:4.0f} s  {notes}", flush=True)

    try:
        results = run(
            checks,
            (given.output / "work").absolute(),
            gpus=visible,
            seconds=given.seconds,
            report=report,
        )
    except KeyboardInterrupt:
        print(f"interrupted; the report so far: {given.output}/report.md", file=sys.stderr)
        return 130
    counts = [
        f"{sum(one.status == status for one in results)} {status}"
        for status in (PASSED, FAILED, NOT_APPLICABLE, "not run")
    ]
    print(f"{', '.join(counts)}: {given.output}/report.md")
    return int(any(one.status == FAILED for one in results))


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _chosen(checks: list[Check], names: Sequence[str]) -> list[Check]:
    """Return the checks of these names, all without any, and those that they need.

    Raises:
        KeyError: there is no check of a name.
    """
    known = {check.name: check for check in checks}
    wanted: set[str] = set()
    left = list(names or known)
    while left:
        check = known[left.pop()]
        wanted.add(check.name)
        left += check.after
    return [check for check in checks if check.name in wanted]


def _gpus() -> list[str]:
    """Return the GPUs that torch sees, as CUDA_VISIBLE_DEVICES names them; none without torch."""
    count = "import torch; print(torch.cuda.device_count())"
    found = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    number = 0 if found.returncode else int(found.stdout.split()[-1])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(n) for n in range(number)] if visible is None else visible.split(",")[:number]


def packages() -> list[dict[str, Any]]:
    """Return the packages that rzero uses, with their versions and bounds; none without the
    libraries that read the bounds."""
    try:
        from rzero_cli.data.toml_files import read_toml
        from rzero_cli.system import requirements

        project = read_toml(ROOT / "pyproject.toml")["project"]
        extras = ("train", "vllm", "eval", "openai")
        bounds = list(project["dependencies"])
        for extra in extras:
            wanted = project["optional-dependencies"][extra]
            bounds += [f'{one}; extra == "{extra}"' for one in wanted]
        found = requirements.packages(extras, bounds)
    except ImportError:  # packaging; or tomli, before Python 3.11
        return []
    return [package._asdict() | {"fits": package.fits} for package in found]


if __name__ == "__main__":
    sys.exit(main())
