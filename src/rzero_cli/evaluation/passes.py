"""Evaluation of benchmarks as in the paper, with a greedy pass, a sampled one, or both.

Each question is put into the Solver's prompt. The answer is the last `\\boxed{}` of a completion,
or the option's letter in it. It is right if it is equivalent to the reference; an unreadable one is
wrong. Nothing that a model wrote is executed. A greedy pass gives pass@1, a pass with k different
samples gives mean@k and maj@k. (The mean@32 of the authors' code used 32 copies at temperature 0.)

The results are also returned in lm-eval's format, with each pass as a task, without using lm-eval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.references import AUTO
from rzero_cli.answers.rules import PAPER, Rules
from rzero_cli.data.jsonl import Line
from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.evaluation.benchmark import GREEDY, SAMPLED, Benchmark, Pass, benchmark_of
from rzero_cli.evaluation.requests import Answers, Request
from rzero_cli.evaluation.results import Verdict, as_lm_eval, reports, result_of
from rzero_cli.evaluation.scores import Answered
from rzero_cli.evaluation.suite.docs import choice_letter
from rzero_cli.method.prompts import SOLVER, Messages, prompt_for
from rzero_cli.method.votes import vote
from rzero_cli.system.stopwatch import Stopwatch


def evaluate_data(
    engine: Engine,
    lines: Iterable[Line],
    *,
    k: int,
    temperature: float,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
    reference_extract: Sequence[str] = (AUTO,),
    **how: Any,
) -> dict[str, Any]:
    """Answer every question once greedily and k times by sampling, and grade the answers.

    Args:
        engine: an open engine.
        lines: records with a question and its true answer, and optionally `id` and a group.
        k: sampled answers per question. With 0, or a temperature of 0, there is only the greedy
            pass.
        temperature: of the sampled answers.
        question_key, reference_key, group_key: the records' keys.
        reference_extract: names that read the true answer, as for `answers.references`.
        how: other arguments of `evaluate_benchmarks`.

    Returns:
        The result of the benchmark, as in `tasks` of `evaluate_benchmarks`.

    Raises:
        DataError: a record lacks a key or has a value of the wrong type, or there are no records.
        RzeroError: the engine fails.
    """
    benchmark = benchmark_of(
        lines,
        "data",
        k if temperature > 0 else 0,
        question_key=question_key,
        reference_key=reference_key,
        group_key=group_key,
        reference_extract=reference_extract,
    )
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
    stopwatch: Stopwatch | None = None,
    log: Callable[[int, dict[str, Any]], None] | None = None,
    done: Mapping[int, Mapping[str, Any]] = {},
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Answer the questions of all benchmarks and grade the answers.

    Args:
        engine: an open engine.
        benchmarks: with distinct names.
        temperature, top_p, top_k: of the sampled answers; the greedy pass ignores them.
        max_tokens: token limit of a completion.
        seed: of the samples.
        equivalence: an open grader with the conventions of `rules`.
        rules: extract the answer from a completion.
        prompt: the Solver's prompt.
        stop: strings that end a completion.
        on_progress: called for each question and pass.
        log, done, stopwatch: as for `Answers`.
        report: called at the end for each question and pass: `{"task", "pass", "id", "prompt",
            "reference", "completions", "answers", "correct", "tokens", "truncated"}`; `pass` is
            "greedy" or "sampled", and the last five are lists.

    Returns:
        Results in lm-eval's format, with `tasks`: for each benchmark the scores of
        `scores.summarize`, and
        `metric`, `score`, `stderr`, `ci95`, `version`;
        `as_defined`: all questions, and the task file's k;
        `truncated` and `unreadable`: fractions of all completions;
        `timeouts`: comparisons that ran into the time limit;
        `tokens` (generated), `seconds`, `data_sha256`;
        `protocol`: the settings that the score depends on;
        `samples`: per question, in order, `{"id", "question", "reference", "group", "answer",
        "greedy", "answers", "correct", "majority", "maj"}`: the greedy answer and whether it is
        right, the k answers and whether each is right, their majority and whether it is right.
        Unreadable answers are None, and so are the values of a pass that was not run.

    Raises:
        RzeroError: the engine fails, or the journal is of other questions.
    """
    limits: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed, "stop": tuple(stop or ())}
    passes = []
    for benchmark in benchmarks:
        if benchmark.greedy:
            passes.append(Pass(benchmark, GREEDY, Sampling(1, 0.0, 1.0, 0, **limits)))
        if benchmark.k:
            sampled = Sampling(benchmark.k, temperature, top_p, top_k, **limits)
            passes.append(Pass(benchmark, SAMPLED, sampled))
    pass_named = {one.name: one for one in passes}
    timeouts = dict.fromkeys((benchmark.name for benchmark in benchmarks), 0)
    graded: dict[tuple[str, int], Verdict] = {}

    @cache
    def equal(answer: str | None, reference: str) -> bool:
        return answer is not None and equivalence.equal(answer, reference)

    def grade(request: Request, completions: Sequence[Completion]) -> int:
        one, before = pass_named[request.task], equivalence.timeouts
        reference = one.benchmark.questions[request.number].reference
        answers = [rules.read(completion.text) for completion in completions]
        if one.benchmark.choices:
            answers = [choice_letter(answer) for answer in answers]
        verdict = Verdict(answers, [equal(answer, reference) for answer in answers])
        if one.which == SAMPLED:
            majority = vote(answers, equivalence).answer
            verdict = verdict._replace(majority=majority, maj=equal(majority, reference))
        timeouts[one.benchmark.name] += equivalence.timeouts - before
        graded[request.task, request.number] = verdict
        return sum(verdict.correct)

    answered = Answers(
        engine, log=log, done=done, on_progress=on_progress, grade=grade, stopwatch=stopwatch
    )
    by_sampling: dict[Sampling, list[Pass]] = {}
    for one in passes:
        by_sampling.setdefault(one.sampling, []).append(one)
    for sampling, same in by_sampling.items():
        requests = [
            Request(one.name, number, prompt_for(prompt, question.text))
            for one in same
            for number, question in enumerate(one.benchmark.questions)
        ]
        answered.complete(requests, sampling)
    spent = answered.spent
    verdicts = {
        one.name: [graded[one.name, number] for number in range(len(one.benchmark.questions))]
        for one in passes
    }
    results = {}
    for benchmark in benchmarks:
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
        own = [one for one in passes if one.benchmark is benchmark]
        results[benchmark.name] = result_of(
            benchmark,
            {one.which: verdicts[one.name] for one in own},
            [spent[one.name] for one in own],
            timeouts=timeouts[benchmark.name],
            protocol=protocol,
        )
        if report is not None:
            for one in own:
                for record in reports(one, prompt, verdicts[one.name], spent[one.name]):
                    report(record)
    return {**as_lm_eval(benchmarks, passes, verdicts), "tasks": results}
