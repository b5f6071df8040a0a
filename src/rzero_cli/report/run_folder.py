"""A run's folder, read for its report; missing and damaged files become remarks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rzero_cli.data.json_text import read_object
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.errors import DataError
from rzero_cli.method.rewards import check_tokenizer
from rzero_cli.report.examples import read_questions
from rzero_cli.report.parts import Questions, number
from rzero_cli.report.summary import (
    CHAINS,
    STAGES,
    forgiving,
    iterations,
    read_evaluation,
    record_of,
    records_of,
    summarize_run,
)
from rzero_cli.report.training import Log, read_log


@dataclass(slots=True)
class Found:
    """The contents of one iteration's folder, None or empty if missing."""

    name: str
    folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    questions: Questions | None = None
    logs: dict[str, Log] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage, "eval" included -> the artefact's record, see `data/provenance.py`."""
    guard: dict[str, Any] | None = None
    """`verdict`, `ship` and `tripped` of `guard.json`."""


@dataclass(slots=True)
class Run:
    """A run, as far as it is readable."""

    folder: Path
    summary: dict[str, Any]
    base: Found
    iterations: list[Found]
    difficulty: list[dict[str, Any]]
    made_with: str
    planned: int | None
    remarks: defaultdict[str, list[str]]
    """Part of the report -> what is missing or damaged for it."""
    sources: defaultdict[str, list[str]]
    """Part of the report -> the files read for it, relative to the run."""

    def uses(self, path: Path, *parts: str) -> bool:
        """Add a file of the run to the sources of `parts`; return False if it does not exist."""
        name, there = str(path.relative_to(self.folder)), path.is_file()
        for part in parts if there else ():
            if name not in self.sources[part]:
                self.sources[part].append(name)
        return there

    def remark(self, part: str) -> Callable[[str], None]:
        """Return a function that adds a remark to a part of the report, once each."""

        def add(text: str) -> None:
            text = text.replace(f"{self.folder}/", "")
            if text not in self.remarks[part]:
                self.remarks[part].append(text)

        return add


def read_run(folder: Path) -> Run:
    """Read everything that the report of a run needs.

    Raises:
        UsageError: the folder has no run.
    """
    base = Found("base", folder / "base")
    run = Run(folder, {}, base, [], [], "", None, defaultdict(list), defaultdict(list))
    run.summary = summarize_run(folder, remark=run.remark("accuracy"))
    for one in (
        base.folder,
        *(path for name in ("", *CHAINS) for path in iterations(folder / name)),
    ):
        _name_summarized(one, run)
    with forgiving(run.remark("headline"), made_with := folder / "made-with"):
        if run.uses(made_with, "headline"):
            run.made_with = made_with.read_text("utf-8", "replace")[:2000].strip()
    with forgiving(run.remark("headline"), planned := folder / "iterations"):
        if run.uses(planned, "headline"):
            run.planned = int(planned.read_text("utf-8")[:20])
    with forgiving(run.remark("difficulty"), table := folder / "difficulty.json"):
        if run.uses(table, "difficulty"):
            run.difficulty = [
                {
                    "model": str(row["questions"]),
                    "score": number(row["scores"].get("base", {}).get("score")),
                    "label_accuracy": number(row.get("label_accuracy")),
                }
                for row in read_object(table)["rows"]
            ]
    _read_records(base, run)
    run.iterations = [_found(path, run) for path in iterations(folder)]
    return run


def _name_summarized(folder: Path, run: Run) -> None:
    """Add the files that the summary read of an iteration, of any chain, to the sources."""
    run.uses(folder / "eval.json", "headline", "accuracy")
    for path in records_of(folder):
        run.uses(path, "headline")
    run.uses(record_of(folder, "grade"), "difficulty")
    if folder.parent == run.folder:
        run.uses(record_of(folder, "label"), "difficulty")


def _found(path: Path, run: Run) -> Found:
    found = Found(path.name, path)
    _read_records(found, run)
    with forgiving(run.remark("headline"), guard := path / "guard.json"):
        if run.uses(guard, "headline"):
            written = read_object(guard)
            found.guard = {key: str(written[key]) for key in ("verdict", "ship")}
            found.guard["tripped"] = written["tripped"] is True
    for role in ("challenger", "solver"):
        _read_training(found, role, run)
    labelled, remark = path / "labeled.jsonl", run.remark("questions")
    if run.uses(labelled, "headline", "loop", "p-hat", "questions", "collapse"):
        with forgiving(remark, labelled):
            _read_questions(found, run, remark)
    else:
        remark(f"{labelled}: does not exist yet")
    return found


def _read_questions(found: Found, run: Run, remark: Callable[[str], None]) -> None:
    folder = found.folder
    for name in ("graded.jsonl", "train.jsonl"):
        run.uses(folder / name, "questions")
    run.uses(record_of(folder, "filter"), "p-hat", "questions")
    measure: dict[str, Any] = {}
    for stage in ("challenge", "label"):  # `rzero score` may have written labeled.jsonl
        settings = found.records.get(stage, {}).get("settings", {})
        if "bleu" in settings and not measure:
            with forgiving(remark, meta := record_of(folder, stage)):
                run.uses(meta, "headline", "loop", "questions", "collapse")
                measure = _measure(settings, meta)
    found.metrics, found.questions = read_questions(folder, found.name, remark, **measure)
    # Only valid questions are labelled, so the valid fraction comes from the record of `sample`.
    found.metrics.pop("valid", None)
    metrics = found.records.get("sample", {}).get("metrics", {})
    valid, sampled = number(metrics.get("questions")), number(metrics.get("drawn"))
    if valid is not None and sampled:
        found.metrics["valid"] = valid / sampled
        run.uses(record_of(folder, "sample"), "collapse")


def _measure(settings: dict[str, Any], meta: Path) -> dict[str, Any]:
    """Return the settings of the repetition penalty, which define near-duplicates."""
    bleu, tau_bleu = settings["bleu"], number(settings.get("tau_bleu", 0.5))
    check_tokenizer(f'{meta}: "bleu"', bleu)
    if tau_bleu is None or not 0 <= tau_bleu <= 1:
        raise DataError(f'{meta}: "tau_bleu" must be a number from 0 to 1')
    return {"bleu": bleu, "tau_bleu": tau_bleu}


def _read_records(found: Found, run: Run) -> None:
    """Read the record of each stage and of the evaluation."""
    remark = run.remark("time")
    for stage in STAGES:
        with forgiving(remark, meta := record_of(found.folder, stage)):
            if run.uses(meta, "time", *(["loop"] if found is not run.base else [])):
                found.records[stage] = _record(meta, remark)
    with forgiving(remark, path := found.folder / "eval.json"):
        if run.uses(path, "time", "loop"):
            results = read_evaluation(path)
            tokens = [task.get("tokens") for task in results["tasks"].values()]
            found.records["eval"] = results["origin"] | {
                "tokens": sum(tokens) if tokens and all(tokens) else None
            }


def _record(path: Path, remark: Callable[[str], None]) -> dict[str, Any]:
    """Return the record of an artefact, with settings, metrics and plan checked to be objects."""
    record = read_object(path)
    for key in ("settings", "metrics", "plan"):
        if not isinstance(record.setdefault(key, {}), dict):
            remark(f'{path}: "{key}" must be an object')
            record[key] = {}
    return record


def _read_training(found: Found, role: str, run: Run) -> None:
    path, remark = found.folder / role / "log.jsonl", run.remark("training")
    part = found.folder / f"{role}.part" / path.name
    if not (path.is_file() or part.is_file()):
        trained = (path.parent / CHECKPOINT_META).is_file()
        remark(f"{path}: {'nothing was trained' if trained else 'does not exist yet'}")
        return
    with forgiving(remark, path):
        where = path if path.is_file() else part
        log = read_log(where)
        run.uses(where, "headline", "loop", "training", "time")
        if not log:
            remark(f"{where}: has no readable updates")
            return
        found.logs[role] = log
        if where == part:
            remark(f"{where}: the training is unfinished, {len(log):,} updates so far")
