"""Loading of tasks and their data: the paper's suites, a directory of your own, lm-eval's 14,000.

Tasks of the suites (`suite/`) become benchmarks (`benchmark.py`); all others are run as their
authors define them (`tasks.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from rzero_cli.data.jsonl import read_lines
from rzero_cli.errors import DataError, RzeroError, UsageError
from rzero_cli.evaluation.benchmark import Benchmark, Question
from rzero_cli.evaluation.lm import quiet
from rzero_cli.evaluation.results import joined
from rzero_cli.evaluation.suite import FOLDER, SUITES

Tasks = dict[str, Any]
"""Tasks loaded by lm-eval: `{"tasks": {name: Task}, "groups": {name: Group}, "group_map": ...}`."""

_BUILDERS = {".parquet": "parquet", ".csv": "csv"}
"""Builders of `datasets` by file extension; all other files are JSON lines."""
_ABSENT = ("ConnectionError", "OfflineModeIsEnabled", "DatasetNotFoundError", "FileNotFoundError")


@dataclass(frozen=True, slots=True)
class Named:
    """The tasks of `--tasks`: benchmarks, and tasks that are run as their authors define them."""

    benchmarks: list[Benchmark]
    others: Tasks


def load_tasks(
    names: Sequence[str],
    *,
    include_path: str | None = None,
    data_files: Mapping[str, str] | None = None,
    num_fewshot: int | None = None,
    limit: int | None = None,
) -> Named:
    """Load tasks, groups or tags, with their data, before any model is loaded.

    Args:
        names: registered names, or paths of task YAML files.
        include_path: a directory with your own task YAML files. lm-eval's index, which takes ten
            seconds to load, is skipped if all names are tasks in it or in the suites.
        data_files: a local file (JSON lines, Parquet, CSV) with the columns of the hub's data, by
            task name or `TASK:SPLIT`.
        num_fewshot: examples in the prompt; None is the task's number, and 0 of a task is kept.
        limit: use only the first questions of each benchmark.

    Raises:
        UsageError: a name is unknown, a task runs code that the model has written, or the data
            files do not fit the tasks.
        RzeroError: a task's data is neither given nor cached nor reachable, or cannot be loaded.
    """
    names = [leaf for name in names for leaf in SUITES.get(name, (name,))]
    given: dict[str, dict[str | None, str]] = {}  # files by task and split; None is the default
    for name, path in (data_files or {}).items():
        task, _, split = name.partition(":")
        given.setdefault(task, {})[split or None] = path
    with quiet(), tempfile.TemporaryDirectory() as overlays:
        folders = [str(FOLDER), *([include_path] if include_path else [])]
        manager = TaskManager(include_path=folders, include_defaults=False)
        if not all(_is_known(name, manager.all_subtasks) for name in (*names, *given)):
            manager = TaskManager(include_path=folders)
        for name in names:
            _check_known("--tasks", name, manager.all_tasks)
        for name in given:
            _check_known("--data-file", name, manager.all_subtasks)
        for name in names:
            _check_safe(name, _config(manager, name).get("unsafe_code"))
        for name, files in given.items():
            entry = manager.task_index[name]
            overlay = _overlay(name, entry, files, num_fewshot, Path(overlays))
            manager.task_index[name] = replace(entry, yaml_path=overlay)
        loaded = _load_all(manager, names, given)
    whole = joined(loaded)
    found = whole["tasks"]
    for name in given:
        if name not in found:
            raise UsageError(f"--data-file {name}=...: --tasks does not name {name}")
    for name, task in found.items():
        _check_safe(name, getattr(task, "UNSAFE_CODE", False))
    benchmarks = {name: task for name, task in found.items() if _metadata(task).get("exam")}
    others = {name: task for name, task in found.items() if name not in benchmarks}
    return Named(
        [_benchmark(name, task, limit) for name, task in benchmarks.items()],
        whole | {"tasks": others},
    )


def _check_safe(name: str, unsafe: object) -> None:
    if unsafe:
        raise UsageError(
            f"--tasks {name}: refused: the task executes code written by the model, which rzero "
            "does not run"
        )


def _config(manager: TaskManager, name: str) -> Mapping[str, Any]:
    """Return the configuration in a task's file; empty for a group or a Python task."""
    return getattr(manager.task_index.get(name), "cfg", None) or {}


def _is_known(name: str, names: Sequence[str]) -> bool:
    return name in names or (name.endswith((".yaml", ".yml")) and Path(name).is_file())


def _check_known(option: str, name: str, names: Sequence[str]) -> None:
    if not _is_known(name, names):
        near = ", ".join(get_close_matches(name, {*names, *SUITES}))
        hint = f"did you mean {near}?" if near else "`lm-eval ls tasks` lists lm-eval's"
        raise UsageError(f"{option} {name}: no such task; {hint}")


def _overlay(
    name: str,
    entry: Any,
    files: Mapping[str | None, str],
    num_fewshot: int | None,
    folder: Path,
) -> Path:
    """Write a task file that overrides only the location of the task's data; return its path."""
    if entry.yaml_path is None or (entry.cfg or {}).get("class"):
        raise UsageError(f"--data-file {name}=...: the task is a program that loads its own data")
    config = entry.cfg
    evaluated = config.get("test_split") or config.get("validation_split")
    paths = {split or evaluated: str(Path(path).absolute()) for split, path in files.items()}
    builders = {_BUILDERS.get(Path(path).suffix, "json") for path in paths.values()}
    if len(builders) > 1:
        raise UsageError(f"--data-file {name}=...: its files have different formats")
    for path in paths.values():
        # Report malformed JSON lines by number before `datasets` reads the file.
        if Path(path).suffix in (".jsonl", ".ndjson") and not sum(1 for _ in read_lines([path])):
            raise DataError(f"{path}: no questions")
    if evaluated not in paths:
        raise UsageError(
            f"--data-file {name}=FILE is missing: the split to evaluate on ({evaluated})"
        )
    shots = config.get("num_fewshot") or 0
    shots = num_fewshot if num_fewshot is not None and shots != 0 else shots
    examples = config.get("fewshot_split") or config.get("training_split")
    own = (config.get("fewshot_config") or {}).get("samples")
    if shots and examples and examples not in paths and not own:
        raise UsageError(
            f"--tasks {name}: its prompts have {shots} examples from split {examples!r}: give it "
            f"with --data-file {name}:{examples}=FILE, or use none with --num-fewshot 0"
        )
    splits = ("training_split", "validation_split", "test_split", "fewshot_split")
    overlay = {
        "include": str(Path(entry.yaml_path).absolute()),
        "task": name,
        "dataset_path": builders.pop(),
        "dataset_name": None,
        "dataset_kwargs": {"data_files": paths},
        # Unset the splits without a file.
        **{key: None for key in splits if config.get(key) and config[key] not in paths},
    }
    fewshot = config.get("fewshot_config")
    if isinstance(fewshot, dict) and fewshot.get("split") not in paths:
        overlay["fewshot_config"] = {k: v for k, v in fewshot.items() if k != "split"} or None
    target = folder / f"{len(list(folder.iterdir()))}.yaml"
    target.write_text(yaml.safe_dump(overlay), "utf-8")
    return target


def _load_all(
    manager: TaskManager, names: Sequence[str], given: Mapping[str, Mapping[str | None, str]]
) -> list[Tasks]:
    """Load all tasks, or raise one error that names all that lack data."""
    loaded, absent = [], {}
    for name in dict.fromkeys(names):
        try:
            loaded.append(dict(manager.load([name])))
        except Exception as error:  # tasks are third-party code and raise anything
            kinds = {type(cause).__name__ for cause in _causes(error)}
            reason = " ".join(str(error).split()) or type(error).__name__
            if name in given:
                files = ", ".join(given[name].values())
                raise DataError(f"{files}: not data for {name}: {reason}") from error
            if not kinds & set(_ABSENT):
                raise RzeroError(f"--tasks {name}: cannot be loaded: {reason}") from error
            config = _config(manager, name)
            source = (config.get("dataset_kwargs") or {}).get("data_files")
            absent[name] = str(source or config.get("dataset_path") or reason)
    if absent:
        what = ", ".join(f"{name} ({source})" for name, source in absent.items())
        line = " ".join(f"--data-file {name}=FILE" for name in absent)
        raise RzeroError(f"no data for {what}: neither cached nor reachable; give it with {line}")
    return loaded


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _metadata(task: Task) -> Mapping[str, Any]:
    return getattr(getattr(task, "config", None), "metadata", None) or {}


def _benchmark(name: str, task: Task, limit: int | None) -> Benchmark:
    docs = task.eval_docs
    metadata, sampled = _metadata(task), bool(task.config.generation_kwargs["do_sample"])
    rows = docs.select(range(min(limit or len(docs), len(docs))))
    return Benchmark(
        name,
        [
            Question(row["id"], row["question"], row["reference"], row["group"] or None)
            for row in rows
        ],
        k=task.config.repeats if sampled else 0,
        greedy=not sampled,
        metric="mean_at_k" if sampled else "greedy",
        choices=bool(metadata.get("choices")),
        version=task.VERSION,
        config=task.config.to_dict(keep_callable=True),
        original=len(docs),
    )
