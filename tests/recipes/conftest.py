"""A user's folder, as written by `rzero init`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers.loop import RZERO


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recipe") / "mine"
    subprocess.run([*RZERO.split(), "init", str(made)], check=True, capture_output=True)
    return made
