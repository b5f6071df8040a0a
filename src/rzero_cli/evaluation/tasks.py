"""lm-eval's tasks, run as their authors define them: prompts, examples, filters, metrics.

Any engine answers them. For mean@k, lm-eval gets k more copies of a task with sampling enabled.
lm-eval's `repeats` would not do: most tasks' filters and metrics use only the first answer.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from lm_eval.api.task import Task
from lm_eval.evaluator import evaluate

from rzero_cli.engines import Engine
from rzero_cli.engines.transformers import TransformersEngine
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.evaluation.lm import EngineLM, no_loglikelihood, quiet
from rzero_cli.evaluation.loading import Tasks
from rzero_cli.evaluation.requests import Spent, cost
from rzero_cli.evaluation.results import merged
from rzero_cli.evaluation.scores import Answered, score
from rzero_cli.system.stopwatch import Stopwatch

Rows = list[dict[str, Any]]
"""lm-eval's samples of one task: a row per document and filter."""

_RESAMPLES = 1000
"""Bootstrap samples for standard errors without a closed form (perplexity, F1)."""


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
    on_progress: Callable[[Answered], None] | None = None,
    stopwatch: Stopwatch | None = None,
    log: Callable[[int, dict[str, Any]], None] | None = None,
    done: Mapping[int, Mapping[str, Any]] = {},
    first: int = 0,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run lm-eval's tasks once as they are defined, and generating tasks k more times by sampling.

    Args:
        engine: an open engine.
        tasks: `Named.others`.
        k: sampled answers per question. With 0, or a temperature of 0, there is only the run as
            defined.
        temperature, top_p, top_k: of the sampled answers.
        seed: of the samples and the few-shot examples.
        max_tokens: token limit of a completion; None is the task's.
        num_fewshot: examples in the prompt; None is the task's number, and 0 of a task is kept.
        limit: use only the first questions of each task.
        chat: use the chat template. None is lm-eval's default, raw prompts, except with a server:
            many accept only chats.
        on_progress: called for each answer.
        log, done, first, stopwatch: as for `Answers`.
        report: called at the end with the raw outputs of each question and run: `{"task", "pass",
            "id", "prompt", "reference", "completions", ...}` and the task's metrics;
            log-likelihoods are in `outputs`.

    Returns:
        lm-eval's results with `tasks`, for each task:
        `metric`: its first metric and filter, with `score`, `stderr`, `ci95`;
        `version`, `k`, `n`;
        `greedy` and `mean_at_k`: scores of that metric; `greedy` is the task as defined, which is
        greedy unless its authors chose otherwise; `maj_at_k` is None;
        `metrics`: all metrics, aggregated by lm-eval;
        `protocol`, `truncated`, `tokens`, `seconds`, `data_sha256`;
        `samples`: per question `{"id", "question", "reference", "greedy", "correct"}`, the metric's
        value and its k sampled values.
        If the metric is not a fraction per question (perplexity, F1), the scores are None, `score`
        is lm-eval's number and `samples` is empty.

    Raises:
        UsageError: the model has no chat template for `chat`.
        RzeroError: the engine does not support a task (raised before anything is generated), it
            fails, or the journal is of other questions.
    """
    k = k if temperature > 0 else 0
    if (tokenizer := getattr(engine, "tokenizer", None)) is None:
        chat = chat is not False
    elif chat and not tokenizer.chat_template:
        raise UsageError("--chat: the model has no chat template, so its tasks use raw prompts")
    chat = bool(chat)
    for name, task in tasks["tasks"].items():
        generates = task.OUTPUT_TYPE == "generate_until"
        if not (generates or isinstance(engine, TransformersEngine)):
            raise no_loglikelihood(name)
        task.set_fewshot_seed(seed)
        if num_fewshot is not None and task.config.num_fewshot != 0:
            task.set_config("num_fewshot", num_fewshot)
        if max_tokens is not None and generates:
            task.set_config("generation_kwargs", {"max_gen_toks": max_tokens}, update=True)
    how = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    copies = {
        name: {f"{name}, draw {j}": _sampling(task, f"{name}, draw {j}", how) for j in range(k)}
        for name, task in tasks["tasks"].items()
        if task.OUTPUT_TYPE == "generate_until"
    }
    lm = EngineLM(
        engine,
        seed=seed,
        chats=chat,
        log=log,
        done=done,
        first=first,
        on_progress=on_progress,
        stopwatch=stopwatch,
    )
    all_copies = {one: task for sampled in copies.values() for one, task in sampled.items()}
    found = _run(lm, tasks | {"tasks": tasks["tasks"] | all_copies}, limit, chat)
    samples = found.pop("samples")
    results = {}
    for name, task in tasks["tasks"].items():
        sampled = copies.get(name, {})
        spent = [lm.answers.spent.get(one, Spent()) for one in (name, *sampled)]
        defined = found["results"][name]
        results[name] = {
            **_result(task, samples[name], [samples[one] for one in sampled], defined),
            **cost(spent),
            "protocol": _protocol(task, chat, how if sampled else {}),
        }
        results[name]["samples"] = results[name].pop("samples")
        if report is not None:
            _report(report, name, "greedy", samples[name], spent[0], chat)
            for one, used in zip(sampled, spent[1:], strict=True):
                _report(report, name, "sampled", samples[one], used, chat)
    for one in all_copies:
        del found["results"][one]
    owners = {one: name for name, sampled in copies.items() for one in sampled}
    return {**merged(found, owners), "tasks": results}


def _sampling(task: Task, name: str, how: dict[str, Any]) -> Task:
    """Return a copy of a task with the same data, another name, and one sampled answer."""
    twin = copy.copy(task)
    twin._config = copy.copy(task.config)
    twin._config.task, twin._config.repeats = name, 1
    twin._config.generation_kwargs = (task.config.generation_kwargs or {}) | how
    return twin


def _run(lm: EngineLM, tasks: Tasks, limit: int | None, chat: bool) -> dict[str, Any]:
    # Bootstrapping would fork this process, which contains an engine's threads.
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
    task: Task, defined: Rows, runs: Sequence[Rows], aggregated: Mapping[str, Any]
) -> dict[str, Any]:
    """Return scores and per-question values of a task's first metric with its first filter."""
    metric, first = defined[0]["metrics"][0], defined[0]["filter"]
    rows = [row for row in defined if row["filter"] == first]
    greedy, *sampled = (
        {row["doc_id"]: row[metric] for row in rows if row["filter"] == first}
        for rows in (defined, *runs)
    )
    values = [v for run in (greedy, *sampled) for v in run.values()]
    metrics = {  # only lm-eval's numbers
        key: float(v) for key, v in aggregated.items() if "," in key and not isinstance(v, str)
    }
    result: dict[str, Any] = {
        "metric": f"{metric},{first}",
        "score": metrics.get(f"{metric},{first}"),
        "stderr": metrics.get(f"{metric}_stderr,{first}"),
        "ci95": None,
        "version": task.VERSION,
        "k": len(runs),
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
            "question": text if isinstance(text := task.doc_to_text(row["doc"]), str) else None,
            "reference": str(row["target"]),
            "greedy": greedy[row["doc_id"]],
            "correct": [run[row["doc_id"]] for run in sampled],
        }
        for row in rows
    ]
    fractions = [sum(s["correct"]) / len(runs) for s in samples if runs]
    defined_score = score(list(greedy.values()))
    return result | {
        **defined_score,
        "greedy": defined_score,
        "mean_at_k": score(fractions) if runs else None,
        "samples": samples,
    }


def _protocol(task: Task, chat: bool, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the score depends on: the task's and rzero's."""
    own = {key: task.get_config(key) for key in ("num_fewshot", "description", "output_type")}
    settings = dict(task.get_config("generation_kwargs") or {})
    return {"chat": chat, **own, "generation_kwargs": settings, **sampling}


def _report(
    report: Callable[[dict[str, Any]], None],
    name: str,
    how: str,
    rows: Rows,
    spent: Spent,
    chat: bool,
) -> None:
    first = [row for row in rows if row["filter"] == rows[0]["filter"]]
    for number, row in enumerate(first):
        prompt = row["arguments"][0][0]
        record = {
            "task": name,
            "pass": how,
            "id": row["doc_id"],
            "prompt": json.loads(prompt) if chat else prompt,
            "reference": str(row["target"]),
        }
        if spent.completions:
            completions = spent.completions[number]
            record |= {
                "completions": [c.text for c in completions],
                "answers": row["filtered_resps"],
                "tokens": [c.tokens for c in completions],
                "truncated": [c.truncated for c in completions],
            }
        else:
            record["outputs"] = [list(resp[0]) if isinstance(resp[0], tuple) else resp[0]
                                 for resp in row["resps"]]  # fmt: skip
        report(record | {metric: row[metric] for metric in row["metrics"]})
