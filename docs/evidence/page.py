"""The page of the study as its collected runs give it."""

from __future__ import annotations

import json
from pathlib import Path

from generate import DOCS, fill

from pictures import PICTURES
from plan import Plan
from tables import BLOCKS, README_BLOCKS, Study

__all__ = ["pages", "read_study"]

PAGE = DOCS / "evidence.md"
README = DOCS.parent / "README.md"
PICTURE_FOLDER = DOCS / "evidence"


def read_study(plan: Plan, collected: Path) -> Study:
    """The plan with what `study.py collect` left in a folder."""
    files = sorted(collected.glob("*.json"), key=lambda path: int(path.stem))
    return Study(plan, {int(path.stem): json.loads(path.read_text("utf-8")) for path in files})


def pages(plan: Plan, collected: Path) -> dict[Path, str]:
    """The page, its pictures and the README, with their text as it should be."""
    study = read_study(plan, collected)
    text = PAGE.read_text("utf-8")
    for name, block in BLOCKS.items():
        text = fill(text, name, block(study))
    made: dict[Path, str] = {}
    for name, picture in PICTURES.items():
        line = "No picture yet: no base has all that it shows.\n"
        if drawn := picture(study):
            made[PICTURE_FOLDER / f"{name}.svg"], words = drawn
            line = f"![{words}]({PICTURE_FOLDER.name}/{name}.svg)\n"
        text = fill(text, f"picture-{name}", line)
    front = README.read_text("utf-8")
    for name, block in README_BLOCKS.items():
        front = fill(front, name, block(study))
    return {PAGE: text, README: front, **made}
