"""Fill docs/evidence.md, the page of the study, from the collected runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from docs.generate import DOCS, fill

from . import iteration_tables, score_tables
from .comparisons import comparisons
from .declared_plan import Plan
from .metrics import Study
from .pictures import PICTURES
from .run_tables import costs, runs

__all__ = ["BLOCKS", "EVIDENCE", "pages"]

PAGE = DOCS / "evidence.md"
README = DOCS.parent / "README.md"
EVIDENCE = DOCS / "evidence"
BLOCKS: dict[str, Callable[[Study], str]] = {
    "scores": score_tables.scores,
    "comparisons": comparisons,
    "iterations": iteration_tables.iterations,
    "skills": score_tables.skills,
    "difficulty": score_tables.difficulty,
    "ten": partial(iteration_tables.long_run, name="ten"),
    "collapse": partial(iteration_tables.long_run, name="collapse"),
    "controls": score_tables.controls,
    "time": costs,
    "runs": runs,
}
"""The generated parts of the page, by name."""


def _read_study(plan: Plan, collected: Path) -> Study:
    """Read the collected runs of a folder."""
    files = sorted(collected.glob("*.json"), key=lambda path: int(path.stem))
    return Study(plan, {int(path.stem): json.loads(path.read_text("utf-8")) for path in files})


def pages(plan: Plan, collected: Path) -> dict[Path, str]:
    """Return the page, its pictures and the README, each with its up-to-date text."""
    study = _read_study(plan, collected)
    text = PAGE.read_text("utf-8")
    for name, block in BLOCKS.items():
        text = fill(text, name, block(study))
    front = fill(README.read_text("utf-8"), "evidence", score_tables.headline(study))
    made: dict[Path, str] = {}
    for name, picture in PICTURES.items():
        line = "No picture yet: no base has all the models in it.\n"
        if shown := picture(study):
            made[EVIDENCE / f"{name}.svg"], words = shown
            title = words.partition(". ")[0]  # the numbers are in the tables and in the file
            line = f"![{title}]({EVIDENCE.name}/{name}.svg)\n"
        text = fill(text, f"picture-{name}", line)
        if name == "scores":
            front = fill(front, f"picture-{name}", line.replace("](", f"]({DOCS.name}/"))
    return {PAGE: text, README: front, **made}
