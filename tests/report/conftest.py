"""Runs that several tests of reports read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.run_folders import make_run
from helpers.run_records import run_of

if TYPE_CHECKING:
    from rzero_cli.report.content import Report


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three iterations out of five, with a baseline; tests only read it."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", [30, 40, 35], baseline=[25, 28])
    (run / "iterations").write_text("5\n")
    return run


@pytest.fixture(scope="session")
def whole_report(whole: Path) -> Report:
    from helpers.report_pages import reported

    return reported(whole)


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    return [
        run_of(tmp_path / "a", 0.40, [0.60, 0.70], [0.45, 0.50]),
        run_of(tmp_path / "b", 0.50, [0.60, 0.65], [0.50, 0.55]),
    ]
