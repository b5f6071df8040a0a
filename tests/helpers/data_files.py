"""Data files outside the repository, in RZERO_TEST_DATA."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("RZERO_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def load_data(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is missing; set RZERO_TEST_DATA to the folder that contains {name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
