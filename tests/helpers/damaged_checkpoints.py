"""Kinds of damage to a checkpoint, as functions of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], object]


def write(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text)


def config(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        own = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(own | changes))

    return damage
