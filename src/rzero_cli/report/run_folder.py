"""A run's folder, read for its report: whatever is missing or broken becomes a remark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rzero_cli.data.json_text import read_object
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.errors import DataError
from rzero_cli.method.rewards import check_tokenizer
from rzero_cli.report.examples import asked
from rzero_cli.report.parts import Questions, number
from rzero_cli.report.summary import (
    CHAINS,
    CHECKPOINTS,
    forgiving,
    iterations,
    read_evaluation,
    records_of,
    summarize_run,
)
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


@dataclass(slots=True)
class Found:
    """What one iteration left: its figures, None or empty where they are not there."""

    name: str
    folder: Path
    figures: dict[str, Any] | None = None
    questions: Questions | None = None
    logs: dict[str, Log] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By stage, "eval" among them: the artefact's record, see `data/provenance.py`."""
    guard: dict[str, Any] | None = None
    """What `guard.json` says: it has a `verdict` and what to `ship`."""


@dataclass(slots=True)
class Run:
    """A run, as far as it can be read."""

    folder: Path
    summary: dict[str, Any]
    base: Found
    iterations: list[Found]
    difficulty: list[dict[str, Any]]
    made_with: str
    planned: int | None
    remarks: defaultdict[str, list[str]]
    """What is missing or broken, by the part of the report that lacks it."""
    sources: defaultdict[str, list[str]]
    """The files that were read, relative to the run, by the part of the report."""

    def uses(self, path: Path, *parts: str) -> None:
        """Name a file of the run among the sources of some parts."""
        name = str(path.relative_to(self.folder))
        for part in parts:
            if name not in self.sources[part]:
                self.sources[part].append(name)


def read_run(folder: Path) -> Run:
    """Read what a report shows of a run.

    Raises:
        UsageError: nothing of a run is there.
    """
    base = Found("base", folder / "base")
    run = Run(folder, {}, base, [], [], "", None, defaultdict(list), defaultdict(list))

    def remarks(part: str) -> Callable[[str], None]:
        def add(text: str) -> None:
            text = text.replace(f"{folder}/", "")
            if text not in run.remarks[part]:
                run.remarks[part].append(text)

        return add

    run.summary = summarize_run(folder, remark=remarks("accuracy"))
    for chain in (folder, *(folder / name for name in CHAINS)):
        for one in iterations(chain) if chain != folder else [folder / "base", *iterations(chain)]:
            _name_summarized(one, run)
    with forgiving(remarks("headline"), folder / "made-with"):
        if (folder / "made-with").is_file():
            run.uses(folder / "made-with", "headline")
            run.made_with = (folder / "made-with").read_text("utf-8", "replace")[:2000].strip()
    with forgiving(remarks("headline"), folder / "iterations"):
        if (folder / "iterations").is_file():
            run.uses(folder / "iterations", "headline")
            run.planned = int((folder / "iterations").read_text("utf-8")[:20])
    with forgiving(remarks("difficulty"), folder / "difficulty.json"):
        if (folder / "difficulty.json").is_file():
            run.uses(folder / "difficulty.json", "difficulty")
            rows = read_object(folder / "difficulty.json")["rows"]
            run.difficulty = [
                {
                    "model": str(row["questions"]),
                    "score": row["scores"].get("base", {}).get("score"),
                    "label_accuracy": row.get("label_accuracy"),
                }
                for row in rows
            ]
    _read_records(base, run, remarks("time"))
    run.iterations = [_found(path, run, remarks) for path in iterations(folder)]
    return run


def _name_summarized(folder: Path, run: Run) -> None:
    """Name what the summary has read of an iteration, of whatever chain."""
    if (results := folder / "eval.json").is_file():
        run.uses(results, "headline", "accuracy")
    for path in records_of(folder):
        run.uses(path, "headline")
    if (graded := file_meta_path(folder / "graded.jsonl")).is_file():
        run.uses(graded, "difficulty")
    labelled = file_meta_path(folder / "labeled.jsonl")
    if folder.parent == run.folder and labelled.is_file():
        run.uses(labelled, "difficulty")


def _found(path: Path, run: Run, remarks: Callable[[str], Callable[[str], None]]) -> Found:
    found = Found(path.name, path)
    _read_records(found, run, remarks("time"))
    if (guard := path / "guard.json").is_file():
        with forgiving(remarks("headline"), guard):
            run.uses(guard, "headline")
            said = read_object(guard)
            found.guard = {key: str(said[key]) for key in ("verdict", "ship")}
            found.guard["tripped"] = said["tripped"] is True
    for role in CHECKPOINTS:
        _read_training(found, role, run, remarks("training"))
    if (path / "labeled.jsonl").is_file():
        with forgiving(remarks("questions"), path / "labeled.jsonl"):
            _read_questions(found, run, remarks("questions"))
    else:
        remarks("questions")(f"{path / 'labeled.jsonl'}: not there yet")
    return found


def _read_questions(found: Found, run: Run, remark: Callable[[str], None]) -> None:
    folder = found.folder
    run.uses(folder / "labeled.jsonl", "headline", "loop", "p-hat", "questions", "collapse")
    for name in ("graded.jsonl", "train.jsonl"):
        if (folder / name).is_file():
            run.uses(folder / name, "questions")
    if (band := file_meta_path(folder / "train.jsonl")).is_file():
        run.uses(band, "p-hat", "questions")
    measure: dict[str, Any] = {}
    for stage in ("challenge", "label"):  # labeled.jsonl may be of `rzero score`
        settings = found.records.get(stage, {}).get("settings", {})
        if "bleu" in settings and not measure:
            meta = _record_path(found, stage)
            with forgiving(remark, meta):
                run.uses(meta, "headline", "loop", "questions", "collapse")
                measure = _measure(settings, meta)
    found.figures, found.questions = asked(folder, found.name, remark, **measure)
    # Only what was valid is labelled, so that share is the record's of what was drawn.
    found.figures.pop("valid", None)
    metrics = found.records.get("sample", {}).get("metrics", {})
    valid, drawn = number(metrics.get("questions")), number(metrics.get("drawn"))
    if valid is not None and drawn:
        found.figures["valid"] = valid / drawn
        run.uses(file_meta_path(folder / "questions.jsonl"), "collapse")


def _measure(settings: dict[str, Any], meta: Path) -> dict[str, Any]:
    """How the distance of two questions is taken: that of the penalty they were rewarded with."""
    bleu, tau_bleu = settings["bleu"], number(settings.get("tau_bleu", 0.5))
    check_tokenizer(f'{meta}: "bleu"', bleu)
    if tau_bleu is None or not 0 <= tau_bleu <= 1:
        raise DataError(f'{meta}: "tau_bleu" must be a number from 0 to 1')
    return {"bleu": bleu, "tau_bleu": tau_bleu}


def _record_path(found: Found, stage: str) -> Path:
    path = found.folder / STAGES[stage]
    return file_meta_path(path) if path.suffix else path / CHECKPOINT_META


def _read_records(found: Found, run: Run, remark: Callable[[str], None]) -> None:
    """What each stage says of itself, and the evaluation of itself."""
    for stage in STAGES:
        if (meta := _record_path(found, stage)).is_file():
            with forgiving(remark, meta):
                run.uses(meta, "time", *(["loop"] if found is not run.base else []))
                found.records[stage] = _record(meta, remark)
    if (path := found.folder / "eval.json").is_file():
        with forgiving(remark, path):
            run.uses(path, "time", "loop")
            results = read_evaluation(path)
            tokens = [task.get("tokens") for task in results["tasks"].values()]
            found.records["eval"] = results["origin"] | {
                "tokens": sum(tokens) if tokens and all(tokens) else None
            }


def _record(path: Path, remark: Callable[[str], None]) -> dict[str, Any]:
    """The record of an artefact, whose settings, metrics and plan are objects."""
    record = read_object(path)
    for key in ("settings", "metrics", "plan"):
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
        run.uses(where, "headline", "loop", "training", "time")
        if not log:
            remark(f"{where}: no updates in it that can be read")
            return
        found.logs[role] = log
        if where.parent == part:
            remark(f"{where}: of an unfinished training, {len(log):,} updates so far")
