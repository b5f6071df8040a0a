"""Runs of the loop with the inputs of its guards: probe evaluations and labelled questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.stub_rzero import evaluation

MODEL = "org/base"


def names(count: int) -> list[str]:
    return ["base", *(f"iter-{k}" for k in range(1, count))]


def probed(run: Path, *right: int, **changes: Any) -> Path:
    """Write a run whose models, the base first, answer `right` of 200 questions right."""
    for name, count in zip(names(len(right)), right, strict=True):
        (run / name).mkdir(parents=True, exist_ok=True)
        found = evaluation(MODEL, "probe.jsonl", count)
        (run / name / "probe.json").write_text(json.dumps(found))
    return run


def labelled(run: Path, *files: list[tuple[str, str | None]]) -> Path:
    """Write a run with these questions and labels for each iteration."""
    for name, rows in zip(names(len(files) + 1)[1:], files, strict=True):
        (run / name).mkdir(parents=True, exist_ok=True)
        text = "".join(
            json.dumps({"question": q, "answer": a, "p_hat": 0.5}) + "\n" for q, a in rows
        )
        (run / name / "labeled.jsonl").write_text(text)
    return run
