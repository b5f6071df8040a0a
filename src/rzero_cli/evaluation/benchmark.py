"""Benchmarks: questions with known answers, and the passes that evaluate them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from rzero_cli.answers.references import AUTO, reference_reader
from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import group_of
from rzero_cli.data.references import reference_of
from rzero_cli.engines import Sampling
from rzero_cli.errors import DataError
from rzero_cli.method.question import question_id

GREEDY, SAMPLED = "greedy", "sampled"
"""The passes of a benchmark."""
_METRIC = {GREEDY: "greedy", SAMPLED: "mean_at_k"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its true answer."""

    id: Any
    text: str
    reference: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Questions, the number of answers to each, and the metric of the score."""

    name: str
    questions: Sequence[Question]
    k: int
    """Sampled answers per question; 0 is none."""
    greedy: bool = True
    """Add a greedy pass."""
    metric: str = GREEDY
    """The metric of the score: "greedy" or "mean_at_k"."""
    choices: bool = False
    """The answer is the letter of an option."""
    version: float | None = None
    config: Mapping[str, Any] | None = None
    """The configuration of its task file, if it has one."""
    original: int | None = None
    """The number of all questions, if these are only the first of them."""
    changed: bool = False
    """Its passes differ from the task file's."""

    def with_k(self, k: int) -> Benchmark:
        """Return a copy with another k; with k = 0, pass and score are greedy."""
        metric = self.metric if k else GREEDY
        other = metric != self.metric or (metric == "mean_at_k" and k != self.k)
        changed = self.changed or (self.config is not None and other)
        return replace(self, k=k, greedy=self.greedy or not k, metric=metric, changed=changed)

    def as_defined(self) -> bool:
        """Return whether it has all questions and the passes of its task file."""
        return not self.changed and self.original in (None, len(self.questions))

    def data_sha256(self) -> str:
        """Return a hash of the questions and references, independent of their source."""
        pairs = [[question.text, question.reference] for question in self.questions]
        return sha256(json.dumps(pairs).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a benchmark: greedy or sampled."""

    benchmark: Benchmark
    which: str
    sampling: Sampling

    @property
    def name(self) -> str:
        """The pass's name as a task: for the first pass, the benchmark's name."""
        second = self.which == SAMPLED and self.benchmark.greedy
        name = self.benchmark.name
        return f"{name}, {self.benchmark.k} draws" if second else name

    @property
    def metric(self) -> str:
        """The metric's name in lm-eval's results: `score`, as in the task files, for the pass of
        the benchmark's score."""
        metric = _METRIC[self.which]
        return "score" if metric == self.benchmark.metric else metric


def benchmark_of(
    lines: Iterable[Line],
    name: str,
    k: int,
    *,
    question_key: str = "question",
    reference_key: str = "reference",
    group_key: str = "group",
    reference_extract: Sequence[str] = (AUTO,),
) -> Benchmark:
    """Return the benchmark of a file's records; arguments as for `evaluate_data`.

    Raises:
        DataError: a record lacks a key or has a value of the wrong type, or there are no records.
    """
    questions, read = [], reference_reader(reference_extract)
    for line in lines:
        text, group = line.text(question_key), group_of(line, group_key)
        identity = line.record.get("id", question_id(text))
        reference = reference_of(line, reference_key, read)
        questions.append(Question(identity, text, reference, group))
    if not questions:
        raise DataError("no questions to evaluate")
    return Benchmark(name, questions, k=k, metric="mean_at_k" if k else GREEDY)
