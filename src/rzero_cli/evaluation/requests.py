"""Requests of an evaluation, answered by an engine and kept in a journal.

Each answer is passed to `log` at once, so that an interrupted evaluation, even a sampled one, can
continue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.errors import RzeroError
from rzero_cli.evaluation.scores import Answered
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.stopwatch import GENERATING, VOTES, Stopwatch

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt of a task."""

    task: str
    number: int
    """Index of the question in its task."""
    prompt: Prompt


@dataclass(slots=True)
class Spent:
    """The completions of one task and the time they took."""

    completions: list[list[Completion]] = field(default_factory=list)
    """In the order of the requests; empty for log-likelihoods."""
    seconds: float = 0.0


def cost(spent: Iterable[Spent]) -> dict[str, Any]:
    """Return the tokens and seconds of several passes, and the fraction of truncated
    completions."""
    spent = list(spent)
    completions = [c for one in spent for drawn in one.completions for c in drawn]
    return {
        "truncated": sum(c.truncated for c in completions) / max(1, len(completions)),
        "tokens": sum(c.tokens for c in completions),
        "seconds": round(sum(one.seconds for one in spent), 3),
    }


class Answers:
    """Answers to requests in a fixed order, from an engine and its journal.

    Args:
        engine: an open engine.
        log: called with each finished request: its number among all requests, and `{"task", "id",
            "completions", "tokens", "truncated"}`, the last three of which are lists, or
            `{"task", "id", "scores"}`.
        done: records that `log` got in an interrupted run of the same requests, by number; they
            are neither answered nor logged again.
        first: number of the first request.
        on_progress: called for each request.
        grade: called with each request and its completions; returns how many are right.
        stopwatch: counts the time of generating and of grading.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        log: Callable[[int, Record], None] | None = None,
        done: Mapping[int, Mapping[str, Any]] = {},
        first: int = 0,
        on_progress: Callable[[Answered], None] | None = None,
        grade: Callable[[Request, Sequence[Completion]], int] | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.engine, self.log, self.on_progress = engine, log, on_progress
        self._done, self._first, self._next, self._grade = done, first, first, grade
        self.stopwatch = stopwatch or Stopwatch()
        self.spent: dict[str, Spent] = {}
        """By task name."""

    def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Return `sampling.n` completions for each request, in order.

        Raises:
            RzeroError: the engine fails, or the journal is of other requests.
        """
        known = self.earlier(requests)
        prompts = ((place, request.prompt) for place, request in enumerate(requests))
        new = self.stopwatch.each(GENERATING, self.engine.complete(prompts, sampling, done=known))
        results, now = dict[int, list[Completion]](), time.monotonic()
        for place, completions in chain(
            ((place, _completions(record)) for place, record in known.items()), new
        ):
            before, now = now, time.monotonic()
            request, results[place] = requests[place], completions
            self.spent.setdefault(request.task, Spent()).seconds += now - before
            if place not in known:
                self.record(
                    place,
                    request,
                    completions=[c.text for c in completions],
                    tokens=[c.tokens for c in completions],
                    truncated=[c.truncated for c in completions],
                )
            with self.stopwatch.during(VOTES):
                right = self._grade(request, completions) if self._grade else None
            if self.on_progress is not None:
                tokens = sum(c.tokens for c in completions)
                self.on_progress(Answered(len(completions), tokens, right, place in known))
        for place, request in enumerate(requests):
            self.spent[request.task].completions.append(results[place])
        return [results[place] for place in range(len(requests))]

    def earlier(self, requests: Sequence[Request]) -> dict[int, Mapping[str, Any]]:
        """Number the next requests and return their records in the journal by index.

        Raises:
            RzeroError: the journal is of other requests, because the hub's data has changed.
        """
        self._first, self._next = self._next, self._next + len(requests)
        found = {}
        for place, request in enumerate(requests):
            if (record := self._done.get(self._first + place)) is None:
                continue
            if (record.get("task"), record.get("id")) != (request.task, request.number):
                raise RzeroError(
                    f"the journal has question {record.get('id')} of {record.get('task')} instead "
                    f"of {request.number} of {request.task}: start again with --force"
                )
            found[place] = record
        return found

    def record(self, place: int, request: Request, **answer: Any) -> None:
        """Write the answer to the request with this index to the journal."""
        if self.log is not None:
            self.log(self._first + place, {"task": request.task, "id": request.number, **answer})


def _completions(record: Mapping[str, Any]) -> list[Completion]:
    rows = zip(record["completions"], record["tokens"], record["truncated"], strict=True)
    return [Completion(*row) for row in rows]
