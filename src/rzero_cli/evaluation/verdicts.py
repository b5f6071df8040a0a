"""From the verdicts on a benchmark's answers to its result, as result files have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rzero_cli.evaluation.benchmark import GREEDY, SAMPLED, Benchmark, Pass
from rzero_cli.evaluation.requests import Spent, cost
from rzero_cli.evaluation.scores import summarize
from rzero_cli.method.prompts import Messages, prompt_for

__all__ = ["Verdict", "reports", "result_of"]


class Verdict(NamedTuple):
    """The answers read from the completions of one question, and whether each is right."""

    answers: list[str | None]
    correct: list[bool]
    majority: str | None = None
    maj: bool | None = None


def result_of(
    benchmark: Benchmark,
    verdicts: Mapping[str, list[Verdict]],
    spent: Iterable[Spent],
    *,
    timeouts: int,
    protocol: Mapping[str, Any],
) -> dict[str, Any]:
    """The result of one benchmark, as `passes.evaluate_benchmarks` describes it."""
    none = [Verdict([], [])] * len(benchmark.questions)
    samples = [
        {
            "id": question.id,
            "question": question.text,
            "reference": question.reference,
            "group": question.group,
            "answer": greedy.answers[0] if greedy.answers else None,
            "greedy": greedy.correct[0] if greedy.correct else None,
            "answers": sampled.answers,
            "correct": sampled.correct,
            "majority": sampled.majority,
            "maj": sampled.maj,
        }
        for question, greedy, sampled in zip(
            benchmark.questions,
            verdicts.get(GREEDY, none),
            verdicts.get(SAMPLED, none),
            strict=True,
        )
    ]
    answers = [a for verdict in verdicts.values() for one in verdict for a in one.answers]
    spending = cost(spent)
    scores = summarize(samples, benchmark.k)
    return {
        "metric": benchmark.metric,
        **scores[benchmark.metric],
        "version": benchmark.version,
        "as_defined": benchmark.as_defined(),
        **scores,
        "truncated": spending["truncated"],
        "unreadable": answers.count(None) / len(answers),
        "timeouts": timeouts,
        "tokens": spending["tokens"],
        "seconds": spending["seconds"],
        "data_sha256": benchmark.data_sha256(),
        "protocol": protocol,
        "samples": samples,
    }


def reports(
    one: Pass, prompt: Messages, verdicts: Sequence[Verdict], spent: Spent
) -> Iterable[dict[str, Any]]:
    """A record of each question in one pass, as `passes.evaluate_benchmarks` describes it."""
    benchmark = one.benchmark
    for question, verdict, completions in zip(
        benchmark.questions, verdicts, spent.completions, strict=True
    ):
        yield {
            "task": benchmark.name,
            "pass": one.which,
            "id": question.id,
            "prompt": prompt_for(prompt, question.text),
            "reference": question.reference,
            "completions": [c.text for c in completions],
            "answers": verdict.answers,
            "correct": verdict.correct,
            "tokens": [c.tokens for c in completions],
            "truncated": [c.truncated for c in completions],
        }
