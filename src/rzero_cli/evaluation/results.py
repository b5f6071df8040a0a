"""The results that `rzero eval` writes, built from verdicts: lm-eval's, and rzero's in `tasks`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rzero_cli.analysis.intervals import average
from rzero_cli.evaluation.benchmark import GREEDY, SAMPLED, Benchmark, Pass
from rzero_cli.evaluation.requests import Spent, cost
from rzero_cli.evaluation.scores import score, summarize
from rzero_cli.evaluation.suite import GENERAL, MATH, PAPER
from rzero_cli.method.prompts import Messages, prompt_for

_PER_TASK = ("configs", "versions", "n-shot", "n-samples")
_NAMES = ("name", "alias")


class Verdict(NamedTuple):
    """The answers extracted from one question's completions, and whether each is right."""

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
    """Return the result of one benchmark, as `passes.evaluate_benchmarks` describes it."""
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
    """Yield a record of each question in one pass, as `passes.evaluate_benchmarks` describes it."""
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


def as_lm_eval(
    benchmarks: Sequence[Benchmark],
    passes: Sequence[Pass],
    verdicts: Mapping[str, Sequence[Verdict]],
) -> dict[str, Any]:
    """Return the benchmarks' results in the format of lm-eval's `evaluate`, each as one task."""
    names = [benchmark.name for benchmark in benchmarks]
    size = {benchmark.name: len(benchmark.questions) for benchmark in benchmarks}
    results: dict[str, dict[str, Any]] = {
        name: {"name": name, "alias": name, "sample_len": count} for name, count in size.items()
    }
    better: dict[str, dict[str, bool]] = {name: {} for name in names}
    configs = {}
    for one in passes:
        benchmark, found = one.benchmark, verdicts[one.name]
        n, name = one.sampling.n, benchmark.name
        values = {one.metric: [sum(v.correct) / n for v in found]}
        values["unreadable"] = [v.answers.count(None) / n for v in found]
        if one.which == SAMPLED:
            values["maj_at_k"] = [float(bool(v.maj)) for v in found]
        for metric, each in values.items():
            error = score(each)["stderr"]  # None for a single question, "N/A" in lm-eval
            results[name][f"{metric},none"] = sum(each) / len(each)
            results[name][f"{metric}_stderr,none"] = "N/A" if error is None else error
            better[name][metric] = metric != "unreadable"
        if one.metric == "score":
            configs[name] = _plain({**(benchmark.config or {}), **_config(one)})
    return {
        "results": results,
        "group_subtasks": {},
        "higher_is_better": better,
        "configs": configs,
        "versions": {benchmark.name: benchmark.version for benchmark in benchmarks},
        "n-shot": dict.fromkeys(names, 0),
        "n-samples": {
            one.name: {"original": one.original or size[one.name], "effective": size[one.name]}
            for one in benchmarks
        },
    }


def _config(one: Pass) -> dict[str, Any]:
    """Return the configuration of a pass in lm-eval's format."""
    sampling = one.sampling
    settings = {"do_sample": False, "temperature": 0.0}
    if one.which == SAMPLED:
        settings = {"do_sample": True, "temperature": sampling.temperature}
        settings |= {"top_p": sampling.top_p, "top_k": sampling.top_k}
    limits = {"max_gen_toks": sampling.max_tokens, "until": list(sampling.stop)}
    first = {"function": "take_first_k", "k": sampling.n}
    return {
        "output_type": "generate_until",
        "num_fewshot": 0,
        "generation_kwargs": settings | limits,
        "repeats": sampling.n,
        "filter_list": [{"name": "none", "filter": [first]}],
        "task": one.benchmark.name,
    }


def merged(found: Mapping[str, Any], owners: Mapping[str, str]) -> dict[str, Any]:
    """Return lm-eval's results with all passes of a task merged into one.

    Args:
        found: the result of lm-eval's `evaluate`.
        owners: task names by pass name.
    """
    results: dict[str, dict[str, Any]] = {}
    better: dict[str, dict[str, Any]] = {}
    for name, metrics in found["results"].items():
        owner = owners.get(name, name)
        into = results.setdefault(owner, {"name": owner, "alias": owner})
        into |= {key: value for key, value in metrics.items() if key not in _NAMES}
        better.setdefault(owner, {}).update(found["higher_is_better"].get(name, {}))
    own = {
        key: {name: value for name, value in found[key].items() if owners.get(name, name) == name}
        for key in _PER_TASK
    }
    own["configs"] = {name: _plain(config) for name, config in own["configs"].items()}
    rest = {key: value for key, value in found.items() if key not in own}
    return {**rest, **own, "results": results, "higher_is_better": better}


def _plain(value: Any) -> Any:
    """Return a task's configuration for JSON, with names in place of functions.

    The path of its file is removed, since the file of a task with --data-file is temporary.
    """
    if callable(value):
        return f"{value.__module__.rpartition('/')[2]}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if k != "config_source"}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge the loaded tasks, or the results, of several calls of lm-eval with different tasks."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = {**whole.get(key, {}), **value}
    return whole


def averages(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the paper's averages of those suites whose tasks were all evaluated.

    Args:
        tasks: results by task name.

    Returns:
        `rzero_math`, the mean of its seven benchmarks; `rzero_general`, of its three; and
        `rzero_overall`, the paper's "Overall AVG": the mean of four numbers, `rzero_math` and the
        three benchmarks of `rzero_general`. Each is a score (`intervals.average`) with `of`, the
        names it averages; `as_defined`; and `paper`, the version of the paper, or None if a task
        was not evaluated as defined: in part, or with another k.
    """
    found: dict[str, Any] = {}
    for name, members in (
        ("rzero_math", MATH),
        ("rzero_general", GENERAL),
        ("rzero_overall", ("rzero_math", *GENERAL)),
    ):
        known = {**tasks, **found}
        if all(member in known for member in members):
            mean = average([known[member] for member in members])
            whole = all(known[member].get("as_defined", True) for member in members)
            of = {"of": list(members), "as_defined": whole, "paper": PAPER if whole else None}
            found[name] = mean | of
    return found
