"""A run's folder, read for its report: whatever is missing or broken becomes a remark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rzero_cli.core.outputs import file_meta_path
from rzero_cli.core.provenance import CHECKPOINT_META
from rzero_cli.core.streams import read_object
from rzero_cli.core.summary import CHAINS, forgiving, iterations, summarize_run
from rzero_cli.report.parts import Questions
from rzero_cli.report.questions import asked
from rzero_cli.report.training import Log, read_log

__all__ = ["STAGES", "Found", "Run", "read_run"]

STAGES = {
    "challenge": "challenger",
    "sample": "questions.jsonl",
    "label": "labeled.jsonl",
    "filter": "train.jsonl",
    "train-solver": "solver",
    "grade": "graded.jsonl",
}
"""Each stage of an iteration, and what it leaves in the folder."""
ROLES = ("challenger", "solver")


@dataclass(slots=True)
class Found:
    """What one iteration left: its figures, None or empty where they are not there."""

    name: str
    folder: Path
    figures: dict[str, Any] | None = None
    questions: Questions | None = None
    logs: dict[str, Log] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By stage, "eval" among them: the artefact's record, see `core/provenance.py`."""


@dataclass(slots=True)
class Run:
    """A run, as far as it can be read."""

    folder: Path
    summary: dict[str, Any]
    iterations: list[Found]
    difficulty: list[dict[str, Any]]
    made_with: str
    planned: int | None
    remarks: defaultdict[str, list[str]]
    """What is missing or broken, by the part of the report that lacks it."""
    sources: defaultdict[str, list[str]]
    """The files that were read, relative to the run, by the part of the report."""


def read_run(folder: Path) -> Run:
    """Read what a report shows of a run.

    Raises:
        UsageError: nothing of a run is there.
    """
    run = Run(folder, {}, [], [], "", None, defaultdict(list), defaultdict(list))

    def remarks(part: str) -> Callable[[str], None]:
        def add(text: str) -> None:
            text = text.replace(f"{folder}/", "")
            if text not in run.remarks[part]:
                run.remarks[part].append(text)

        return add

    run.summary = summarize_run(folder, remark=remarks("accuracy"))
    for chain in (folder, *(folder / name for name in CHAINS)):
        files = [chain / "base" / "eval.json", *(p / "eval.json" for p in iterations(chain))]
        run.sources["accuracy"] += [_within(folder, path) for path in files if path.is_file()]
    with forgiving(remarks("headline"), folder / "made-with"):
        if (folder / "made-with").is_file():
            run.made_with = (folder / "made-with").read_text("utf-8", "replace")[:2000].strip()
    with forgiving(remarks("headline"), folder / "iterations"):
        if (folder / "iterations").is_file():
            run.planned = int((folder / "iterations").read_text("utf-8")[:20])
    with forgiving(remarks("difficulty"), folder / "difficulty.json"):
        if (folder / "difficulty.json").is_file():
            rows = read_object(folder / "difficulty.json")["rows"]
            run.difficulty = [
                {
                    "model": str(row["questions"]),
                    "score": row["scores"].get("base", {}).get("score"),
                    "label_accuracy": row.get("label_accuracy"),
                }
                for row in rows
            ]
            run.sources["difficulty"].append("difficulty.json")
    run.iterations = [_found(path, run, remarks) for path in iterations(folder)]
    return run


def _within(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _found(path: Path, run: Run, remarks: Callable[[str], Callable[[str], None]]) -> Found:
    found = Found(path.name, path)
    labelled = path / "labeled.jsonl"
    if labelled.is_file():
        with forgiving(remarks("questions"), labelled):
            found.figures, found.questions = asked(path, path.name, remarks("questions"))
            run.sources["questions"].append(_within(run.folder, labelled))
            if (path / "graded.jsonl").is_file():
                run.sources["questions"].append(_within(run.folder, path / "graded.jsonl"))
    else:
        remarks("questions")(f"{labelled}: not there yet")
    for role in ROLES:
        _read_training(found, role, run, remarks("training"))
    for stage, name in STAGES.items():
        meta = path / name / CHECKPOINT_META if "." not in name else file_meta_path(path / name)
        if meta.is_file():
            with forgiving(remarks("time"), meta):
                found.records[stage] = _record(meta, remarks("time"))
                run.sources["time"].append(_within(run.folder, meta))
    if (path / "eval.json").is_file():
        with forgiving(remarks("time"), path / "eval.json"):
            results = read_object(path / "eval.json")
            run.sources["time"].append(_within(run.folder, path / "eval.json"))
            tokens = [task.get("tokens") for task in results["tasks"].values()]
            found.records["eval"] = results["origin"] | {
                "tokens": sum(tokens) if tokens and all(tokens) else None
            }
    return found


def _record(path: Path, remark: Callable[[str], None]) -> dict[str, Any]:
    """The record of an artefact, whose settings and metrics are objects."""
    record = read_object(path)
    for key in ("settings", "metrics"):
        if not isinstance(record.setdefault(key, {}), dict):
            remark(f'{path}: "{key}" must be an object')
            record[key] = {}
    return record


def _read_training(found: Found, role: str, run: Run, remark: Callable[[str], None]) -> None:
    path, part = found.folder / role, found.folder / f"{role}.part"
    if not (path / "log.jsonl").is_file() and not (part / "log.jsonl").is_file():
        why = "nothing was trained" if (path / CHECKPOINT_META).is_file() else "not there yet"
        remark(f"{path / 'log.jsonl'}: {why}")
        return
    with forgiving(remark, path / "log.jsonl"):
        where, log = read_log(found.folder, role)
        if not log:
            remark(f"{where}: no updates in it that can be read")
            return
        found.logs[role] = log
        run.sources["training"].append(_within(run.folder, where))
        if where.parent == part:
            remark(f"{where}: of an unfinished training, {len(log):,} updates so far")
