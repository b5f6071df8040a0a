"""Any task of lm-eval's, by name: as its authors define it, and as mean@k by real sampling.

The transformers engine's model goes to lm-eval's own `HFLM`, so a score here is lm-eval's score,
log-likelihoods and raw prompts included. Other engines answer chats through `EngineLM` and serve
the tasks that only generate. For mean@k the task is given to lm-eval k times more, with sampling
switched on: `repeats` would need each task's filters and metrics to know about it, and most look
at the first answer alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from rzero_cli.engines import Engine
from rzero_cli.engines.transformers import TransformersEngine
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.evaluation.lm import EngineLM, no_loglikelihood, quiet
from rzero_cli.evaluation.scores import score

__all__ = ["evaluate_tasks", "load_tasks"]

Tasks = dict[str, Any]
"""What lm-eval loads: `{"tasks": {name: Task}, "groups": {name: Group}, "group_map": ...}`."""

Rows = list[dict[str, Any]]
"""lm-eval's record of one task: a row per document and filter."""


def load_tasks(names: Sequence[str], *, include_path: str | None = None) -> Tasks:
    """Load tasks, groups or tags of lm-eval's, with their data, before any model is loaded.

    Args:
        names: registered names, or paths of task YAML files.
        include_path: a folder with task YAML files of one's own. If all names are tasks in there,
            lm-eval's own 14,000, whose index takes some ten seconds, are left alone.

    Raises:
        UsageError: a name is unknown, or a task runs code that the model has written.
        RzeroError: a task's data cannot be loaded, or a package it needs is missing.
    """
    with quiet():
        manager = TaskManager(include_path=include_path, include_defaults=False)
        if not all(_is_known(name, manager.all_subtasks) for name in names):
            manager = TaskManager(include_path=include_path)
        for name in names:
            if not _is_known(name, manager.all_tasks):
                near = ", ".join(get_close_matches(name, manager.all_tasks))
                hint = f"did you mean {near}?" if near else "`lm-eval ls tasks` lists them"
                raise UsageError(f"--tasks {name}: lm-eval has no such task; {hint}")
        loaded = [_load(manager, name) for name in names]
    merged = {key: _union(one.get(key, {}) for one in loaded) for key in loaded[0]}
    for name, task in merged["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise UsageError(f"--tasks {name}: it runs code that the model has written")
    return merged


def _is_known(name: str, names: Sequence[str]) -> bool:
    return name in names or (name.endswith((".yaml", ".yml")) and Path(name).is_file())


def _load(manager: TaskManager, name: str) -> Tasks:
    try:
        return dict(manager.load([name]))
    except Exception as error:  # tasks are other people's code and raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RzeroError(
            f"--tasks {name}: cannot be loaded: {reason} (data from a hub has to be in its cache, "
            "or the network within reach)"
        ) from error


def _union(parts: Any) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


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
    progress: bool = False,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run lm-eval's tasks once as they are defined, and the generating ones k times by sampling.

    Args:
        engine: an open engine.
        tasks: from `load_tasks`.
        k: sampled answers per question. 0, or a temperature of 0, leaves the defined run alone.
        temperature, top_p, top_k: of the sampled answers.
        seed: of the draws and the few-shot examples.
        max_tokens: the longest completion; None is as the task says.
        num_fewshot: examples in the prompt; None is as the task says, and a task's 0 stays.
        limit: take the first questions of each task only.
        chat: put prompts into the chat template. None is what comes naturally: lm-eval's raw
            prompts with the transformers engine, chats with the others, which know nothing else.
        progress: show lm-eval's progress bars on stderr.
        log: called with the raw outputs of each question and run:
            `{"task", "pass", "id", "target", "outputs"}`.

    Returns:
        `{"tasks": {name: result}, "groups": {name: lm-eval's aggregates}}`. A result holds
        `metric` (the task's first metric and filter), `version`, `k`, `n`, `greedy` and
        `mean_at_k` (`{"score", "ci95"}` of that metric), `metrics` (all metrics, aggregated by
        lm-eval) and `samples`: per question `{"id", "greedy", "correct"}`, the metric's value and
        its k sampled values. `greedy` is the task as defined, which is greedy unless its authors
        chose otherwise. For a metric that is no share per question (perplexity, F1), `greedy` and
        `mean_at_k` are None, `samples` is empty and `metrics` has the number.

    Raises:
        UsageError: `chat` is not what the engine or the model can do.
        RzeroError: a task needs what the engine cannot give; said before anything is generated.
    """
    k = k if temperature > 0 else 0
    lm = _open_lm(engine, seed, progress)
    chat = _check_chat(engine, chat)
    for name, task in tasks["tasks"].items():
        if isinstance(lm, EngineLM) and task.OUTPUT_TYPE != "generate_until":
            raise no_loglikelihood(name)
        _configure(task, seed, num_fewshot, max_tokens)
    how = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    draws = {
        name: {f"{name}, draw {j}": _sampling(task, f"{name}, draw {j}", how) for j in range(k)}
        for name, task in tasks["tasks"].items()
        if task.OUTPUT_TYPE == "generate_until"
    }
    everything = tasks | {"tasks": tasks["tasks"] | _union(draws.values())}
    found = _run(lm, everything, limit, chat)
    samples = found["samples"]
    if log is not None:
        for name in tasks["tasks"]:
            _log(log, name, "greedy", samples[name])
            for draw in draws.get(name, {}):
                _log(log, name, "sampled", samples[draw])
    results = {
        name: {
            "version": found["versions"][name],
            **_result(samples[name], [samples[draw] for draw in draws.get(name, {})]),
            "metrics": _metrics(found["results"][name]),
        }
        for name in tasks["tasks"]
    }
    groups = {name: _metrics(group) for name, group in found.get("groups", {}).items()}
    return {"tasks": results, "groups": groups}


def _open_lm(engine: Engine, seed: int, progress: bool) -> LM:
    if not isinstance(engine, TransformersEngine):
        return EngineLM(engine, seed=seed)
    torch.manual_seed(seed)
    with quiet():
        lm = HFLM(pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=engine.batch_size)
    for method in ("generate_until", "loglikelihood", "loglikelihood_rolling"):
        setattr(lm, method, partial(getattr(lm, method), disable_tqdm=not progress))
    return lm


def _check_chat(engine: Engine, chat: bool | None) -> bool:
    if not isinstance(engine, TransformersEngine):
        if chat is False:
            raise UsageError("this engine takes chats only: raw prompts need --engine transformers")
        return True
    if chat and not engine.tokenizer.chat_template:
        raise UsageError("the model has no chat template, so its tasks take raw prompts")
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


def _run(lm: LM, tasks: Tasks, limit: int | None, chat: bool) -> dict[str, Any]:
    try:
        with quiet():
            found = evaluate(
                lm,
                tasks,
                limit=limit,
                bootstrap_iters=0,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
            )
    except (AssertionError, ValueError) as error:
        raise RzeroError(f"lm-eval: {' '.join(str(error).split())}") from error
    return dict(found)


def _result(defined: Rows, draws: Sequence[Rows]) -> dict[str, Any]:
    """Scores and per-question values of a task's first metric under its first filter."""
    metric, first = defined[0]["metrics"][0], defined[0]["filter"]
    greedy, *sampled = (
        {row["doc_id"]: row[metric] for row in rows if row["filter"] == first}
        for rows in (defined, *draws)
    )
    values = [v for run in (greedy, *sampled) for v in run.values()]
    result: dict[str, Any] = {"metric": f"{metric},{first}", "k": len(draws), "n": len(greedy)}
    if not all(isinstance(v, (bool, int, float)) and 0 <= v <= 1 for v in values):
        return result | {"greedy": None, "mean_at_k": None, "samples": []}
    samples = [
        {"id": i, "greedy": greedy[i], "correct": [run[i] for run in sampled]} for i in greedy
    ]
    shares = [sum(s["correct"]) / len(draws) for s in samples if draws]
    return result | {
        "greedy": score(list(greedy.values())),
        "mean_at_k": score(shares) if draws else None,
        "samples": samples,
    }


def _metrics(aggregated: dict[str, Any]) -> dict[str, float]:
    """lm-eval's numbers alone; its standard errors are not asked for, ours are the intervals."""
    return {key: float(v) for key, v in aggregated.items() if "," in key and not isinstance(v, str)}


def _log(log: Callable[[dict[str, Any]], None], name: str, how: str, rows: Rows) -> None:
    for row in rows:
        if row["filter"] == rows[0]["filter"]:
            log(
                {
                    "task": name,
                    "pass": how,
                    "id": row["doc_id"],
                    "target": str(row["target"]),
                    "outputs": row["resps"],
                }
            )
