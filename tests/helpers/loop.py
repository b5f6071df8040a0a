"""`make` with the loop's Makefile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RZERO = f"{sys.executable} -m rzero_cli"


def make(folder: Path, *arguments: str, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(folder), f"RZERO={RZERO}", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recipe") / "mine"
    subprocess.run([*RZERO.split(), "init", str(made)], check=True, capture_output=True)
    return made


def commands(plan: str) -> list[str]:
    """The rzero commands of a dry run, without options."""
    lines = [line.split("rzero_cli ", 1)[1] for line in plan.splitlines() if "rzero_cli " in line]
    return [line.split()[0] for line in lines]
