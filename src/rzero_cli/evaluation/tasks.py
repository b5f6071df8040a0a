"""Tasks of lm-eval's, run as their authors define them: prompts, examples, filters, metrics.

The answers come from whatever engine is open. For mean@k a task is given to lm-eval k times more,
with sampling switched on: `repeats` would need each task's filters and metrics to know about it,
and most look at the first answer alone.
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

Rows = list[dict[str, Any]]
"""lm-eval's record of one task: a row per document and filter."""

_RESAMPLES = 1000
"""For the standard errors of metrics that have no closed form (perplexity, F1)."""


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
    log: Callable[[int, dict[str, Any]], None] | None = None,
    done: Mapping[int, Mapping[str, Any]] = {},
    first: int = 0,
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
        on_progress: called for each answer.
        log, done, first: the journal, see `Answers`.
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
    lm = EngineLM(
        engine, seed=seed, chats=chat, log=log, done=done, first=first, on_progress=on_progress
    )
    every_draw = {draw: task for sampled in draws.values() for draw, task in sampled.items()}
    found = _run(lm, tasks | {"tasks": tasks["tasks"] | every_draw}, limit, chat)
    samples = found.pop("samples")
    results = {}
    for name, task in tasks["tasks"].items():
        sampled = draws.get(name, {})
        spent = [lm.answers.spent.get(one, Spent()) for one in (name, *sampled)]
        defined = found["results"][name]
        results[name] = {
            **_result(task, samples[name], [samples[draw] for draw in sampled], defined),
            **cost(spent),
            "protocol": _protocol(task, chat, how if sampled else {}),
        }
        results[name]["samples"] = results[name].pop("samples")
        if report is not None:
            _report(report, name, "greedy", samples[name], spent[0], chat)
            for draw, one in zip(sampled, spent[1:], strict=True):
                _report(report, name, "sampled", samples[draw], one, chat)
    for draw in every_draw:
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
    metrics = {  # lm-eval's numbers alone
        key: float(v) for key, v in aggregated.items() if "," in key and not isinstance(v, str)
    }
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
            "question": text if isinstance(text := task.doc_to_text(row["doc"]), str) else None,
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


def _protocol(task: Task, chat: bool, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What the score depends on beside questions and model: the task's own words, and ours."""
    said = {key: task.get_config(key) for key in ("num_fewshot", "description", "output_type")}
    settings = dict(task.get_config("generation_kwargs") or {})
    return {"chat": chat, **said, "generation_kwargs": settings, **drawn}


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
