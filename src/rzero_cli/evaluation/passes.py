"""Evaluate benchmarks as the paper does, with one grader: in a greedy pass, a sampled one, or both.

Each question is put into the Solver's own prompt. The answer is the last `\\boxed{}` of a
completion, or the option's letter in it, and is right if it is equivalent to the reference; an
unreadable one is wrong. Nothing a model wrote is ever evaluated as code. A question may be answered
greedily (pass@1), by k different samples (mean@k, maj@k), or both; the mean@32 of the authors' code
was 32 copies at temperature 0.

lm-eval drives it, a task of lm-eval's for each benchmark and pass.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.data.jsonl import Line
from rzero_cli.engines import Completion, Engine
from rzero_cli.engines.ahead import Ahead
from rzero_cli.evaluation.benchmark import GREEDY, SAMPLED, Benchmark, benchmark_of
from rzero_cli.evaluation.lm import EngineLM, quiet
from rzero_cli.evaluation.results import merged
from rzero_cli.evaluation.scores import Answered
from rzero_cli.evaluation.suite.docs import choice_letter
from rzero_cli.evaluation.verdicts import VERDICT, Verdict, reports, result_of
from rzero_cli.method.prompts import SOLVER, Messages, prompt_for
from rzero_cli.method.votes import vote

__all__ = ["evaluate_benchmarks", "evaluate_data"]

_METRIC = {GREEDY: "greedy", SAMPLED: "mean_at_k"}
_PLAIN = ("output_type", "num_fewshot", "generation_kwargs", "repeats", "filter_list")


def evaluate_data(
    engine: Engine,
    lines: Iterable[Line],
    *,
    k: int,
    temperature: float,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
    **how: Any,
) -> dict[str, Any]:
    """Answer every question once greedily and k times by sampling, and compare with its reference.

    Args:
        engine: an open engine.
        lines: records with a question and its true answer, and perhaps `id` and a group.
        k: sampled answers per question. 0, or a temperature of 0, leaves greedy alone.
        temperature: of the sampled answers.
        question_key, reference_key, group_key: names of the records' keys.
        how: the other arguments of `evaluate_benchmarks`.

    Returns:
        The result of the one benchmark, see `evaluate_benchmarks`.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or there are no records.
    """
    keys = {"question_key": question_key, "reference_key": reference_key, "group_key": group_key}
    benchmark = benchmark_of(lines, "data", k if temperature > 0 else 0, **keys)
    return dict(
        evaluate_benchmarks(engine, [benchmark], temperature=temperature, **how)["tasks"]["data"]
    )


def evaluate_benchmarks(
    engine: Engine,
    benchmarks: Sequence[Benchmark],
    *,
    temperature: float,
    top_p: float,
    top_k: int,
    max_tokens: int,
    seed: int,
    equivalence: Equivalence,
    rules: Rules = PAPER,
    prompt: Messages = SOLVER,
    stop: Sequence[str] | None = None,
    on_progress: Callable[[Answered], None] | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
    done: Iterable[Mapping[str, Any]] = (),
    ahead: Ahead | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Answer the questions of all benchmarks, and compare with the references.

    Args:
        engine: an open engine.
        benchmarks: with names of their own.
        temperature, top_p, top_k: of the sampled answers; greedy ones do not depend on them.
        max_tokens: the longest completion.
        seed: the same one gives the same result.
        equivalence: an open one, with the conventions of `rules`.
        rules: take the answer out of a completion.
        prompt: what the question is put into.
        stop: texts that end a completion.
        on_progress: called for each question and pass.
        log, done, ahead: the journal, see `EngineLM`.
        report: called in the end for each question and pass: `{"task", "pass", "id", "prompt",
            "reference", "completions", "answers", "correct", "tokens", "truncated"}`, pass being
            "greedy" or "sampled" and the last five lists.

    Returns:
        lm-eval's results with `tasks`: for each benchmark `scores.summarize`'s scores and `metric`,
        `score`, `stderr`, `ci95`, `version`, `as_defined` (all questions, and the task file's k),
        `truncated` and `unreadable` (shares of all completions), `timeouts` (comparisons given up),
        `tokens` (generated), `seconds`, `data_sha256`, `protocol` (what the score depends on beside
        questions and model) and `samples`: per question, in order, `{"id", "question", "reference",
        "group", "answer", "greedy", "answers", "correct", "majority", "maj"}`: the greedy answer
        and whether it is right, the k answers and whether each is right, their majority and whether
        it is right.
        Unreadable answers are None; so is what was not asked for.
    """
    drawn = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    how = {GREEDY: {"do_sample": False, "temperature": 0.0}, SAMPLED: drawn}
    limits = {"max_gen_toks": max_tokens, "until": list(stop or ())}
    timeouts: dict[str, int] = {}
    verdicts_of: dict[tuple[str, str], bool] = {}

    def read(benchmark: Benchmark, text: str) -> str | None:
        return choice_letter(rules.read(text)) if benchmark.choices else rules.read(text)

    def equal(answer: str | None, reference: str) -> bool:
        """Asked while the answers come in, and again by lm-eval when all are there."""
        if answer is None:
            return False
        if (answer, reference) not in verdicts_of:
            verdicts_of[answer, reference] = equivalence.equal(answer, reference)
        return verdicts_of[answer, reference]

    def task(benchmark: Benchmark, name: str, which: str) -> ConfigurableTask:
        def ask(doc: dict[str, int]) -> str:
            return json.dumps(prompt_for(prompt, benchmark.questions[doc["number"]].text))

        def grade(doc: dict[str, int], completions: list[list[str]]) -> dict[str, Any]:
            before = equivalence.timeouts
            answers = [read(benchmark, text) for text in completions[0]]
            reference = benchmark.questions[doc["number"]].reference
            correct = [equal(a, reference) for a in answers]
            graded = {
                _metric(benchmark, which): sum(correct) / len(correct),
                "unreadable": answers.count(None) / len(answers),
                VERDICT: Verdict(answers, correct),
            }
            if which == SAMPLED:
                majority = vote(answers, equivalence).answer
                maj = equal(majority, reference)
                graded |= {
                    "maj_at_k": float(maj),
                    VERDICT: Verdict(answers, correct, majority, maj),
                }
            timeouts[benchmark.name] = (
                timeouts.get(benchmark.name, 0) + equivalence.timeouts - before
            )
            return graded

        n = benchmark.k if which == SAMPLED else 1
        metrics = [_metric(benchmark, which), *(["maj_at_k"] if which == SAMPLED else [])]
        return _task(name, benchmark, n, ask, grade, how[which] | limits, metrics)

    passes = [
        (benchmark, which, _pass_name(benchmark, which))
        for benchmark in benchmarks
        for which, wanted in ((GREEDY, benchmark.greedy), (SAMPLED, benchmark.k > 0))
        if wanted
    ]
    asked = {name: benchmark for benchmark, _, name in passes}

    def right(request: Instance, completions: Sequence[Completion]) -> int:
        benchmark = asked[str(request.task_name)]
        before, reference = equivalence.timeouts, benchmark.questions[request.doc_id].reference
        count = sum(equal(read(benchmark, c.text), reference) for c in completions)
        timeouts[benchmark.name] = timeouts.get(benchmark.name, 0) + equivalence.timeouts - before
        return count

    lm = EngineLM(
        engine,
        seed=seed,
        log=log,
        done=done,
        ahead=ahead,
        on_progress=on_progress,
        right=right,
    )
    with quiet():
        tasks = {name: task(benchmark, name, which) for benchmark, which, name in passes}
        # Every pass has closed forms for its standard errors, so nothing is resampled.
        found = evaluate(lm, {"tasks": tasks}, bootstrap_iters=1)
    rows = found.pop("samples")
    for benchmark, _, name in passes:
        found["n-samples"][name]["original"] = benchmark.original or len(benchmark.questions)
    results = {}
    for benchmark in benchmarks:
        names = {which: name for one, which, name in passes if one is benchmark}
        verdicts = {which: [row[VERDICT] for row in rows[name]] for which, name in names.items()}
        spent = {which: lm.spent[name] for which, name in names.items()}
        protocol = {
            "prompt_sha256": sha256(json.dumps(prompt).encode()).hexdigest(),
            "chat": True,
            "num_fewshot": 0,
            "max_tokens": max_tokens,
            "stop": list(stop or ()),
            "extract": ["choice", *rules.extract] if benchmark.choices else list(rules.extract),
            "units": rules.conventions.units,
            "percent": rules.conventions.percent,
        }
        if benchmark.k:
            protocol |= {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        results[benchmark.name] = result_of(
            benchmark, verdicts, spent, timeouts=timeouts.get(benchmark.name, 0), protocol=protocol
        )
        if report is not None:
            for which, name in names.items():
                for record in reports(benchmark, which, rows[name], spent[which]):
                    report(record)
    configs = {}
    for benchmark, which, name in passes:
        if _metric(benchmark, which) == "score":
            plain = {key: found["configs"][name][key] for key in _PLAIN}
            configs[benchmark.name] = {**(benchmark.config or {}), **plain, "task": benchmark.name}
    owners = {name: benchmark.name for benchmark, _, name in passes}
    return {**merged(found, owners, drop={VERDICT}, configs=configs), "tasks": results}


def _metric(benchmark: Benchmark, which: str) -> str:
    """What lm-eval calls the share that is right: `score`, as in the task files, for the pass that
    the benchmark's score is of."""
    return "score" if _METRIC[which] == benchmark.metric else _METRIC[which]


def _pass_name(benchmark: Benchmark, which: str) -> str:
    """The benchmark's own name for its first pass."""
    second = which == SAMPLED and benchmark.greedy
    return f"{benchmark.name}, {benchmark.k} draws" if second else benchmark.name


def _task(
    name: str,
    benchmark: Benchmark,
    n: int,
    ask: Callable[[dict[str, int]], str],
    grade: Callable[[dict[str, int], list[list[str]]], dict[str, Any]],
    how: dict[str, Any],
    metrics: Sequence[str],
) -> ConfigurableTask:
    """An lm-eval task that answers each question n times.

    Its documents are only the questions' numbers: no text has to survive the way through Arrow.
    """
    questions = benchmark.questions
    documents = datasets.Dataset.from_dict({"number": list(range(len(questions)))})
    mean = {"aggregation": "mean", "higher_is_better": True}
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: {"test": documents},
            "test_split": "test",
            "doc_to_text": ask,
            "doc_to_target": lambda doc: json.dumps(questions[doc["number"]].reference),
            "process_results": grade,
            "output_type": "generate_until",
            "num_fewshot": 0,
            "generation_kwargs": copy.copy(how),
            "repeats": n,
            # Without this filter lm-eval shows `process_results` the first draw alone.
            "filter_list": [{"name": "none", "filter": [{"function": "take_first_k", "k": n}]}],
            "metric_list": [
                *({"metric": metric, **mean} for metric in metrics),
                {"metric": "unreadable", "aggregation": "mean", "higher_is_better": False},
                {"metric": VERDICT, "aggregation": _no_number, "higher_is_better": True},
            ],
            "metadata": {"version": benchmark.version},
        }
    )


def _no_number(verdicts: Sequence[Verdict]) -> str:
    return "N/A"
