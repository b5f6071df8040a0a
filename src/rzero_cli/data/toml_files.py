"""TOML input: presets, the shapes of published models, the user's `rzero.toml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        OSError: the file does not exist or cannot be read.
        ValueError: it is not UTF-8 or not TOML (tomllib.TOMLDecodeError names the line).
    """
    # Not through importlib.resources, which is slower to import than `filter` is to start.
    return dict(tomllib.loads(path.read_text("utf-8")))
