"""Tasks of lm-eval's by name: the paper's suites, a folder of one's own, lm-eval's 14,000.

Tasks of the suites (`suite/`) become exams (`exams.py`). Any other is run as its authors define it:
its prompts, examples, filters and metrics, its answers from whatever engine is open. For mean@k
such a task is given to lm-eval k times more, with sampling switched on: `repeats` would need each
task's filters and metrics to know about it, and most look at the first answer alone.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from rzero_cli.engines import Engine
from rzero_cli.engines.transformers import TransformersEngine
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.evaluation.exams import Exam, Question
from rzero_cli.evaluation.lm import EngineLM, Spent, no_loglikelihood, quiet
from rzero_cli.evaluation.results import merged
from rzero_cli.evaluation.scores import score
from rzero_cli.evaluation.suite import FOLDER, SUITES

__all__ = ["Named", "evaluate_tasks", "load_tasks"]

Tasks = dict[str, Any]
"""What lm-eval loads: `{"tasks": {name: Task}, "groups": {name: Group}, "group_map": ...}`."""

Rows = list[dict[str, Any]]
"""lm-eval's record of one task: a row per document and filter."""

_BUILDERS = {".parquet": "parquet", ".csv": "csv"}
"""By the end of a file's name, what `datasets` reads it with; anything else is JSON lines."""
_ABSENT = ("ConnectionError", "OfflineModeIsEnabled", "DatasetNotFoundError", "FileNotFoundError")
_HUB_PATIENCE = 3.0
"""Seconds for a hub to answer at all; `datasets` alone would try for half a minute."""
_RESAMPLES = 1000
"""For the standard errors of metrics that have no closed form (perplexity, F1)."""


@dataclass(frozen=True, slots=True)
class Named:
    """What `--tasks` names: exams, and tasks to be run as their authors say."""

    exams: list[Exam]
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
        include_path: a folder with task YAML files of one's own. If all names are tasks in there
            or of the suites, lm-eval's own, whose index takes some ten seconds, are left alone.
        data_files: by the name of a task, or `TASK:SPLIT`, a local file (JSON lines, Parquet, CSV)
            with its hub's columns.
        num_fewshot: examples in the prompt; None is as the task says, and a task's 0 stays.
        limit: the first questions of each exam only.

    Raises:
        UsageError: a name is unknown, or a task runs code that the model has written.
        RzeroError: a task's data is neither given nor cached nor within reach, or cannot be read.
    """
    names = [leaf for name in names for leaf in SUITES.get(name, (name,))]
    with quiet(), tempfile.TemporaryDirectory() as overlays:
        folders = [str(FOLDER), *([include_path] if include_path else [])]
        manager = TaskManager(include_path=folders, include_defaults=False)
        given = [*names, *(name.partition(":")[0] for name in data_files or {})]
        if not all(_is_known(name, manager.all_subtasks) for name in given):
            manager = TaskManager(include_path=folders)
        for name in names:
            _check_known("--tasks", name, manager.all_tasks)
        for name in _by_task(data_files or {}):
            _check_known("--data-file", name, manager.all_subtasks)
        for name, files in _by_task(data_files or {}).items():
            entry = manager.task_index[name]
            overlay = _overlay(name, entry, files, num_fewshot, Path(overlays))
            manager.task_index[name] = replace(entry, yaml_path=overlay)
        with _within_reach(names, manager, data_files or {}):
            loaded = _load_all(manager, names)
    merged_parts = {key: _union(one.get(key, {}) for one in loaded) for key in loaded[0]}
    found = merged_parts["tasks"]
    for name in _by_task(data_files or {}):
        if name not in found:
            raise UsageError(f"--data-file {name}=...: --tasks does not name {name}")
    for name, task in found.items():
        if getattr(task, "UNSAFE_CODE", False):
            raise UsageError(f"--tasks {name}: it runs code that the model has written")
    exams = {name: task for name, task in found.items() if _metadata(task).get("exam")}
    others = {name: task for name, task in found.items() if name not in exams}
    return Named(
        [_exam(name, task, limit) for name, task in exams.items()],
        merged_parts | {"tasks": others},
    )


def _is_known(name: str, names: Sequence[str]) -> bool:
    return name in names or (name.endswith((".yaml", ".yml")) and Path(name).is_file())


def _check_known(option: str, name: str, names: Sequence[str]) -> None:
    if not _is_known(name, names):
        near = ", ".join(get_close_matches(name, [*names, *SUITES]))
        hint = f"did you mean {near}?" if near else "`lm-eval ls tasks` lists lm-eval's"
        raise UsageError(f"{option} {name}: no such task; {hint}")


def _by_task(data_files: Mapping[str, str]) -> dict[str, dict[str | None, str]]:
    """The files of each task by split; None is the split that is examined."""
    found: dict[str, dict[str | None, str]] = {}
    for name, path in data_files.items():
        task, _, split = name.partition(":")
        found.setdefault(task, {})[split or None] = path
    return found


def _overlay(
    name: str,
    entry: Any,
    files: Mapping[str | None, str],
    num_fewshot: int | None,
    folder: Path,
) -> Path:
    """A task file that is the task's own, but for where its data lies."""
    if entry.yaml_path is None or (entry.cfg or {}).get("class"):
        raise UsageError(f"--data-file {name}=...: the task is a program that fetches its own data")
    said = entry.cfg
    examined = said.get("test_split") or said.get("validation_split")
    paths = {split or examined: str(Path(path).absolute()) for split, path in files.items()}
    builders = {_BUILDERS.get(Path(path).suffix, "json") for path in paths.values()}
    if len(builders) > 1:
        raise UsageError(f"--data-file {name}=...: its files are of several kinds")
    if examined not in paths:
        raise UsageError(f"--data-file {name}=FILE is missing, with what is examined ({examined})")
    shots = said.get("num_fewshot") or 0
    shots = num_fewshot if num_fewshot is not None and shots != 0 else shots
    examples = said.get("fewshot_split") or said.get("training_split")
    own = (said.get("fewshot_config") or {}).get("samples")
    if shots and examples and examples not in paths and not own:
        raise UsageError(
            f"--tasks {name}: its prompts show {shots} examples of its split {examples!r}: give it "
            f"with --data-file {name}:{examples}=FILE, or show none with --num-fewshot 0"
        )
    splits = ("training_split", "validation_split", "test_split", "fewshot_split")
    overlay = {
        "include": str(Path(entry.yaml_path).absolute()),
        "task": name,
        "dataset_path": builders.pop(),
        "dataset_name": None,
        "dataset_kwargs": {"data_files": paths},
        # A split that is not there must not be asked for.
        **{key: None for key in splits if said.get(key) and said[key] not in paths},
    }
    if isinstance(config := said.get("fewshot_config"), dict) and config.get("split") not in paths:
        overlay["fewshot_config"] = {k: v for k, v in config.items() if k != "split"} or None
    target = folder / f"{len(list(folder.iterdir()))}.yaml"
    target.write_text(yaml.safe_dump(overlay), "utf-8")
    return target


@contextmanager
def _within_reach(
    names: Sequence[str], manager: TaskManager, data_files: Mapping[str, str]
) -> Iterator[None]:
    """Where the hub does not answer, take what its cache has and do not wait for it."""
    import datasets
    from huggingface_hub import constants, get_session

    given = _by_task(data_files)
    if constants.HF_HUB_OFFLINE or all(name in given for name in names):
        yield
        return
    local = [_is_local(manager.task_index.get(name)) for name in names if name not in given]
    if not all(local):
        try:
            get_session().head(constants.ENDPOINT, timeout=_HUB_PATIENCE)
        except Exception:  # whatever keeps us from it
            constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = False


def _is_local(entry: Any) -> bool:
    """Does a task say itself in which local files its data is?"""
    said = getattr(entry, "cfg", None) or {}
    path = said.get("dataset_path")
    return bool(said.get("custom_dataset") or path in ("json", "parquet", "csv")) or (
        path is not None and Path(path).exists()
    )


def _load_all(manager: TaskManager, names: Sequence[str]) -> list[Tasks]:
    """Load all, or name at once all that have no data."""
    loaded, absent = [], {}
    for name in dict.fromkeys(names):
        try:
            loaded.append(dict(manager.load([name])))
        except Exception as error:  # tasks are other people's code and raise anything
            kinds = {type(cause).__name__ for cause in _causes(error)}
            reason = " ".join(str(error).split()) or type(error).__name__
            if not kinds & set(_ABSENT):
                raise RzeroError(f"--tasks {name}: cannot be loaded: {reason}") from error
            absent[name] = _source(manager, name) or reason
    if absent:
        what = ", ".join(f"{name} ({source})" for name, source in absent.items())
        line = " ".join(f"--data-file {name}=FILE" for name in absent)
        raise RzeroError(
            f"no data for {what}: neither cached nor within reach; give it with {line}"
        )
    return loaded


def _source(manager: TaskManager, name: str) -> str | None:
    said = getattr(manager.task_index.get(name), "cfg", None) or {}
    files = (said.get("dataset_kwargs") or {}).get("data_files")
    found = files or said.get("dataset_path")
    return None if found is None else str(found)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _union(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _metadata(task: Task) -> Mapping[str, Any]:
    return getattr(getattr(task, "config", None), "metadata", None) or {}


def _exam(name: str, task: Task, limit: int | None) -> Exam:
    docs = task.eval_docs
    metadata, sampled = _metadata(task), bool(task.config.generation_kwargs["do_sample"])
    rows = docs.select(range(min(limit or len(docs), len(docs))))
    return Exam(
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
    )


def evaluate_tasks(
    engine: Engine,
    tasks: Tasks,
    *,
    k: int,
    temperature: float,
    top_p: float,
    top_k: int,
    seed: int,
    max_tokens: int | None = None,
    num_fewshot: int | None = None,
    limit: int | None = None,
    chat: bool | None = None,
    on_progress: Callable[[int], None] | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    done: Iterable[Mapping[str, Any]] = (),
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run lm-eval's tasks once as they are defined, and the generating ones k times by sampling.

    Args:
        engine: an open engine.
        tasks: `Named.others`.
        k: sampled answers per question. 0, or a temperature of 0, leaves the defined run alone.
        temperature, top_p, top_k: of the sampled answers.
        seed: of the draws and the few-shot examples.
        max_tokens: the longest completion; None is as the task says.
        num_fewshot: examples in the prompt; None is as the task says, and a task's 0 stays.
        limit: take the first questions of each task only.
        chat: put prompts into the chat template. None is what comes naturally: lm-eval's raw
            prompts, but chats with a server, where those are all that many have.
        on_progress: called with how many more answers there are.
        log, done: the journal, see `EngineLM`.
        report: called in the end with the raw outputs of each question and run:
            `{"task", "pass", "id", "prompt", "reference", "completions", ...}` and the task's
            metrics; log-likelihoods are `outputs`.

    Returns:
        lm-eval's results with `tasks`: for each `metric` (the task's first metric and filter),
        `score`, `stderr`, `ci95`, `version`, `k`, `n`, `greedy` and `mean_at_k` (scores of that
        metric), `maj_at_k` (None), `metrics` (all metrics, aggregated by lm-eval), `protocol`,
        `truncated`, `tokens`, `seconds`, `data_sha256` and `samples`: per question `{"id",
        "question", "reference", "greedy", "correct"}`, the metric's value and its k sampled values.
        `greedy` is the task as defined, which is greedy unless its authors chose otherwise. For a
        metric that is no share per question (perplexity, F1), the scores are None, `score` is
        lm-eval's number and `samples` is empty.

    Raises:
        UsageError: `chat` is not what the engine or the model can do.
        RzeroError: a task needs what the engine cannot give; said before anything is generated.
    """
    k = k if temperature > 0 else 0
    chat = _check_chat(engine, chat)
    for name, task in tasks["tasks"].items():
        if not isinstance(engine, TransformersEngine) and task.OUTPUT_TYPE != "generate_until":
            raise no_loglikelihood(name)
        _configure(task, seed, num_fewshot, max_tokens)
    how = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    draws = {
        name: {f"{name}, draw {j}": _sampling(task, f"{name}, draw {j}", how) for j in range(k)}
        for name, task in tasks["tasks"].items()
        if task.OUTPUT_TYPE == "generate_until"
    }
    lm = EngineLM(engine, seed=seed, chats=chat, log=log, done=done, on_progress=on_progress)
    everything = tasks | {"tasks": tasks["tasks"] | _union(draws.values())}
    found = _run(lm, everything, limit, chat)
    samples = found.pop("samples")
    results = {}
    for name, task in tasks["tasks"].items():
        sampled = draws.get(name, {})
        spent = [lm.spent.get(one, Spent()) for one in (name, *sampled)]
        defined = found["results"][name]
        results[name] = {
            **_result(task, samples[name], [samples[draw] for draw in sampled], defined),
            **_cost(spent),
            "protocol": _protocol(task, chat, how if sampled else {}),
        }
        results[name]["samples"] = results[name].pop("samples")
        if report is not None:
            _report(report, name, "greedy", samples[name], spent[0])
            for draw, one in zip(sampled, spent[1:], strict=True):
                _report(report, name, "sampled", samples[draw], one)
    for draw in _union(draws.values()):
        del found["results"][draw]
    owners = {draw: name for name, sampled in draws.items() for draw in sampled}
    return {**merged(found, owners), "tasks": results}


def _check_chat(engine: Engine, chat: bool | None) -> bool:
    tokenizer = getattr(engine, "tokenizer", None)
    if tokenizer is None:
        return chat is not False
    if chat and not tokenizer.chat_template:
        raise UsageError("--chat: the model has no chat template, so its tasks take raw prompts")
    return bool(chat)


def _configure(task: Task, seed: int, num_fewshot: int | None, max_tokens: int | None) -> None:
    task.set_fewshot_seed(seed)
    if num_fewshot is not None and task.config.num_fewshot != 0:
        task.set_config("num_fewshot", num_fewshot)
    if max_tokens is not None and task.OUTPUT_TYPE == "generate_until":
        task.set_config("generation_kwargs", {"max_gen_toks": max_tokens}, update=True)


def _sampling(task: Task, name: str, how: dict[str, Any]) -> Task:
    """The same task, over the same data, under another name and answered by sampling once."""
    twin = copy.copy(task)
    twin._config = copy.copy(task.config)
    twin._config.task, twin._config.repeats = name, 1
    twin._config.generation_kwargs = (task.config.generation_kwargs or {}) | how
    return twin


def _run(lm: EngineLM, tasks: Tasks, limit: int | None, chat: bool) -> dict[str, Any]:
    # Resampling would fork this process, with an engine's threads in it.
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    try:
        with quiet():
            found = evaluate(
                lm,
                tasks,
                limit=limit,
                bootstrap_iters=_RESAMPLES,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
            )
    except (AssertionError, ValueError) as error:
        raise RzeroError(f"lm-eval: {' '.join(str(error).split())}") from error
    return dict(found)


def _result(
    task: Task, defined: Rows, draws: Sequence[Rows], aggregated: Mapping[str, Any]
) -> dict[str, Any]:
    """Scores and per-question values of a task's first metric under its first filter."""
    metric, first = defined[0]["metrics"][0], defined[0]["filter"]
    rows = [row for row in defined if row["filter"] == first]
    greedy, *sampled = (
        {row["doc_id"]: row[metric] for row in rows if row["filter"] == first}
        for rows in (defined, *draws)
    )
    values = [v for run in (greedy, *sampled) for v in run.values()]
    metrics = _metrics(aggregated)
    result: dict[str, Any] = {
        "metric": f"{metric},{first}",
        "score": metrics.get(f"{metric},{first}"),
        "stderr": metrics.get(f"{metric}_stderr,{first}"),
        "ci95": None,
        "version": task.VERSION,
        "k": len(draws),
        "n": len(greedy),
        "greedy": None,
        "mean_at_k": None,
        "maj_at_k": None,
        "metrics": metrics,
        "data_sha256": sha256("".join(row["doc_hash"] for row in rows).encode()).hexdigest(),
        "samples": [],
    }
    if not all(isinstance(v, (bool, int, float)) and 0 <= v <= 1 for v in values):
        return result
    samples = [
        {
            "id": row["doc_id"],
            "question": _text(task, row["doc"]),
            "reference": str(row["target"]),
            "greedy": greedy[row["doc_id"]],
            "correct": [run[row["doc_id"]] for run in sampled],
        }
        for row in rows
    ]
    shares = [sum(s["correct"]) / len(draws) for s in samples if draws]
    defined_score = score(list(greedy.values()))
    return result | {
        **defined_score,
        "greedy": defined_score,
        "mean_at_k": score(shares) if draws else None,
        "samples": samples,
    }


def _text(task: Task, doc: Mapping[str, Any]) -> str | None:
    text = task.doc_to_text(doc)
    return text if isinstance(text, str) else None


def _metrics(aggregated: Mapping[str, Any]) -> dict[str, float]:
    """lm-eval's numbers alone."""
    return {key: float(v) for key, v in aggregated.items() if "," in key and not isinstance(v, str)}


def _cost(spent: Sequence[Spent]) -> dict[str, Any]:
    completions = [c for one in spent for drawn in one.completions for c in drawn]
    return {
        "truncated": sum(c.truncated for c in completions) / max(1, len(completions)),
        "tokens": sum(c.tokens for c in completions),
        "seconds": round(sum(one.seconds for one in spent), 3),
    }


def _protocol(task: Task, chat: bool, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What the score depends on beside questions and model: the task's own words, and ours."""
    said = {key: task.get_config(key) for key in ("num_fewshot", "description", "output_type")}
    settings = dict(task.get_config("generation_kwargs") or {})
    return {"chat": chat, **said, "generation_kwargs": settings, **drawn}


def _report(
    report: Callable[[dict[str, Any]], None], name: str, how: str, rows: Rows, spent: Spent
) -> None:
    first = [row for row in rows if row["filter"] == rows[0]["filter"]]
    for number, row in enumerate(first):
        record = {
            "task": name,
            "pass": how,
            "id": row["doc_id"],
            "prompt": row["arguments"][0][0],
            "reference": str(row["target"]),
        }
        if spent.completions:
            drawn = spent.completions[number]
            record |= {
                "completions": [c.text for c in drawn],
                "answers": row["filtered_resps"],
                "tokens": [c.tokens for c in drawn],
                "truncated": [c.truncated for c in drawn],
            }
        else:
            record["outputs"] = [list(resp[0]) if isinstance(resp[0], tuple) else resp[0]
                                 for resp in row["resps"]]  # fmt: skip
        report(record | {metric: row[metric] for metric in row["metrics"]})
