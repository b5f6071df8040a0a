"""`make fuzz` passes a short run with a fixed seed and detects failures."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

FOLDER = Path(__file__).parent


def test_short_fuzz_run_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run.py"), "--examples", "5", "--seed", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ended.returncode == 0, ended.stdout
    rows = [line for line in ended.stdout.splitlines() if line.endswith("  0")]
    assert len(rows) == 10
    assert all(" 5 " in row for row in rows)


def test_fuzz_finds_and_shrinks_failures_and_slow_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import run

    def fuzz(check: Any) -> dict[str, Any]:
        return run.fuzz(st.integers(0, 10**6), check, seconds=60, examples=200, first=0)

    def fails(number: int) -> None:
        assert number < 1000

    def sleeps(number: int) -> None:
        time.sleep(0.2 if number > 1000 else 0)

    assert "example=1000" in fuzz(fails)["failure"]
    monkeypatch.setattr(run, "SLOWEST", 0.1)
    assert "took 0.2 s" in fuzz(sleeps)["failure"]
    assert fuzz(lambda number: None)["failure"] is None
