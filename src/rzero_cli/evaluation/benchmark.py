"""Benchmarks: questions with known answers, and how the answers to them become a score."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from rzero_cli.data.jsonl import Line
from rzero_cli.data.records import group_of
from rzero_cli.engines import Sampling
from rzero_cli.errors import DataError
from rzero_cli.method.question import question_id

GREEDY, SAMPLED = "greedy", "sampled"
"""The passes in which a benchmark is answered."""
_METRIC = {GREEDY: "greedy", SAMPLED: "mean_at_k"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer."""

    id: Any
    text: str
    reference: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Questions, and how the answers to them become a score."""

    name: str
    questions: Sequence[Question]
    k: int
    """Sampled answers of a question; 0 is none."""
    greedy: bool = True
    """Answer greedily, too."""
    metric: str = GREEDY
    """What the score is: "greedy" or "mean_at_k"."""
    choices: bool = False
    """The answer is the letter of an option."""
    version: float | None = None
    config: Mapping[str, Any] | None = None
    """Of the task file that says all this, where one does."""
    original: int | None = None
    """How many questions there are, where these are only the first of them."""
    changed: bool = False
    """Its questions are asked in another way than the task file says."""

    def with_k(self, k: int) -> Benchmark:
        """The same with another k; without draws its answers are greedy, and so is its score."""
        metric = self.metric if k else GREEDY
        other = metric != self.metric or (metric == "mean_at_k" and k != self.k)
        changed = self.changed or (self.config is not None and other)
        return replace(self, k=k, greedy=self.greedy or not k, metric=metric, changed=changed)

    def as_defined(self) -> bool:
        """Whether all its questions are asked as the task file says."""
        return not self.changed and self.original in (None, len(self.questions))

    def data_sha256(self) -> str:
        """Names the questions and references, wherever they were read."""
        pairs = [[question.text, question.reference] for question in self.questions]
        return sha256(json.dumps(pairs).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pass:
    """A benchmark answered greedily or by sampling."""

    benchmark: Benchmark
    which: str
    sampling: Sampling

    @property
    def name(self) -> str:
        """The benchmark's own name for its first pass."""
        second = self.which == SAMPLED and self.benchmark.greedy
        name = self.benchmark.name
        return f"{name}, {self.benchmark.k} draws" if second else name

    @property
    def metric(self) -> str:
        """What lm-eval calls the share that is right: `score`, as in the task files, for the pass
        that the benchmark's score is of."""
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
) -> Benchmark:
    """The benchmark of a file's records; arguments as for `evaluate_data`.

    Raises:
        DataError: a record lacks a key or has one of the wrong type; or there are no records.
    """
    questions = []
    for line in lines:
        text, group = line.text(question_key), group_of(line, group_key)
        identity = line.record.get("id", question_id(text))
        questions.append(Question(identity, text, line.text(reference_key), group))
    if not questions:
        raise DataError("no questions to evaluate")
    return Benchmark(name, questions, k=k, metric="mean_at_k" if k else GREEDY)
