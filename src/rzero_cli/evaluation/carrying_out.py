"""A whole evaluation: benchmarks and lm-eval tasks, answered, scored, and optionally judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import Rules
from rzero_cli.data.journal import Journal
from rzero_cli.engines import open_engine
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.errors import RzeroError
from rzero_cli.evaluation.benchmark import Benchmark
from rzero_cli.evaluation.judge import cases_of, judge, judged, prompt_sha256
from rzero_cli.evaluation.passes import evaluate_benchmarks
from rzero_cli.evaluation.results import averages, joined
from rzero_cli.method.prompts import Messages
from rzero_cli.system.messages import say
from rzero_cli.system.progress import means
from rzero_cli.system.progress_display import Look
from rzero_cli.system.stopwatch import Stopwatch

Watch = Callable[[int | None, Look, str | None], AbstractContextManager[Any]]
"""Opens a progress display: from a total, a `Look` and a title."""


def evaluate(
    engine: Any,
    judge_engine: Any,
    benchmarks: Sequence[Benchmark],
    others: dict[str, Any],
    *,
    sampling: SamplingOptions,
    seed: int,
    rules: Rules,
    prompt: Messages,
    stop: Sequence[str] | None,
    own_k: int | None,
    own_max_tokens: int | None,
    num_fewshot: int | None,
    limit: int | None,
    chat: bool | None,
    journal: Journal,
    report: Any,
    watch: Watch,
    stopwatch: Stopwatch,
) -> dict[str, Any]:
    """Evaluate a model on benchmarks and on lm-eval's tasks.

    Args:
        engine: the model.
        judge_engine: the judge's engine; None without a judge.
        benchmarks: rzero's benchmarks.
        others: lm-eval's tasks, `loading.Named.others`.
        sampling, seed, stop: sampling of the answers.
        rules: extract answers from completions.
        prompt: the Solver's prompt, for the benchmarks.
        own_k, own_max_tokens: for lm-eval's tasks; None keeps each task's own.
        num_fewshot, limit, chat: for lm-eval's tasks, as in `tasks.evaluate_tasks`.
        journal: the journal that an interrupted evaluation continues from.
        report: called with the records of --log-samples; None for none.
        watch: opens the progress display.
        stopwatch: counts the time of generating and of grading.

    Returns:
        lm-eval's results with `tasks`, results by task, and `averages`.

    Raises:
        UsageError, RzeroError: as `tasks.evaluate_tasks`; or an engine fails.
    """
    seen = _Answers()
    how: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": seed,
        "done": journal,
        "log": journal.write,
        "report": report,
        "on_progress": seen.add,
        "stopwatch": stopwatch,
    }
    answers = sum(len(one.questions) * (one.greedy + one.k) for one in benchmarks)
    requests = sum(len(one.questions) * (one.greedy + (one.k > 0)) for one in benchmarks)
    parts = []
    with watch(None if others.get("tasks") else answers, seen.look, None):
        if benchmarks:
            with Equivalence(conventions=rules.conventions) as equivalence:
                parts.append(
                    evaluate_benchmarks(
                        engine,
                        benchmarks,
                        max_tokens=sampling.max_tokens,
                        equivalence=equivalence,
                        rules=rules,
                        prompt=prompt,
                        stop=stop,
                        **how,
                    )
                )
        if others.get("tasks"):
            from rzero_cli.evaluation.tasks import evaluate_tasks  # imports lm-eval and datasets

            parts.append(
                evaluate_tasks(
                    engine,
                    others,
                    k=own_k or 0,
                    max_tokens=own_max_tokens,
                    num_fewshot=num_fewshot,
                    limit=limit,
                    chat=chat,
                    first=requests,
                    **how,
                )
            )
    results = joined(parts)
    for result in results["tasks"].values():
        result["protocol"]["engine"] = name_of(engine)
    if judge_engine is not None:
        chosen = [results["tasks"][one.name] for one in benchmarks if not one.choices]
        _judge_answers(judge_engine, chosen, journal, watch)
    return results | {"averages": averages(results["tasks"])}


class _Answers:
    """Counts of the answers so far, for the progress display."""

    def __init__(self) -> None:
        self.done = self.before = self.tokens = self.graded = self.right = 0

    def add(self, answered: Any) -> None:
        self.done += answered.answers
        self.before += answered.answers if answered.earlier else 0
        self.tokens += 0 if answered.earlier else answered.tokens
        if answered.right is not None:
            self.right += answered.right
            self.graded += answered.answers

    def look(self) -> dict[str, float]:
        counts = {"done": self.done, "before": self.before, "tokens": self.tokens}
        return counts | means(self.graded, right=self.right)


def open_judge(name: str | None, endpoints: Sequence[str]) -> AbstractContextManager[Any]:
    """Open the judge's engine; without endpoints there is no judge, and the engine is None.

    Raises:
        UsageError, RzeroError: as `engines.open_engine`, with the judge's options.
    """
    if not endpoints:
        return nullcontext()
    try:
        return open_engine("openai", name, endpoints=endpoints, notify=say)
    except RzeroError as error:  # its message names the options of the model's server
        message = str(error).replace("--endpoint", "--judge-endpoint")
        raise type(error)(message.replace("--model", "--judge-model")) from error


def judged_by(engine: Any) -> dict[str, Any]:
    """Return the judge's settings, which a journal must share: it contains the verdicts."""
    if engine is None:
        return {}
    return {"judge": engine.model, "judge_prompt": prompt_sha256()}


def _judge_answers(
    engine: Any,
    results: Sequence[dict[str, Any]],
    journal: Journal,
    watch: Watch,
) -> None:
    """Add the scores with the judge's verdicts next to the grader's scores."""
    cases = [case for result in results for case in cases_of(result["samples"])]
    seen = _Answers()
    earlier = [record for record in journal.values() if "reply" in record]
    with watch(len(set(cases)), seen.look, "judge"):
        verdicts = judge(
            engine,
            cases,
            on_progress=seen.add,
            done=earlier,
            # Numbered after all requests.
            log=lambda record: journal.write(len(journal), record),
        )
    verdict_of = dict(zip(cases, verdicts, strict=True))
    for result in results:
        samples = result.pop("samples")
        by = {"model": engine.model, "prompt_sha256": prompt_sha256()}
        result["judged"] = by | judged(samples, verdict_of)
        result["samples"] = samples


def name_of(engine: Any) -> str:
    """Return an engine's name, such as "vllm", also of one that "auto" has selected."""
    return type(engine).__name__.removesuffix("Engine").lower()
