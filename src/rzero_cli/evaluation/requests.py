"""Requests of an evaluation, answered by an engine and kept in its journal.

Whatever an engine has answered is told to `log` at once, so that an interrupted evaluation, sampled
ones included, goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.engines.ahead import Ahead
from rzero_cli.errors import RzeroError
from rzero_cli.evaluation.scores import Answered
from rzero_cli.method.prompts import Prompt

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt of a task."""

    task: str
    number: int
    """Of the question in its task."""
    prompt: Prompt


@dataclass(slots=True)
class Spent:
    """What the answers of one task came to."""

    completions: list[list[Completion]] = field(default_factory=list)
    """In the order of the requests; none for log-likelihoods."""
    seconds: float = 0.0


def cost(spent: Iterable[Spent]) -> dict[str, Any]:
    """The tokens and seconds of several passes, and the share of completions that are truncated."""
    spent = list(spent)
    completions = [c for one in spent for drawn in one.completions for c in drawn]
    return {
        "truncated": sum(c.truncated for c in completions) / max(1, len(completions)),
        "tokens": sum(c.tokens for c in completions),
        "seconds": round(sum(one.seconds for one in spent), 3),
    }


class Answers:
    """The answers of an engine, and of its journal, to requests in a fixed order.

    Args:
        engine: an open engine.
        log: called with each finished request: `{"task", "id", "completions", "tokens",
            "truncated"}`, the last three lists, or `{"task", "id", "scores"}`.
        done: what `log` was given in an interrupted run of the same requests; it is neither
            answered nor logged again.
        ahead: what is answered before its turn is kept there; see `Engine.generate`.
        on_progress: called for each request.
        right: how many of the completions of a request are right.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        log: Callable[[Record], None] | None = None,
        done: Iterable[Mapping[str, Any]] = (),
        ahead: Ahead | None = None,
        on_progress: Callable[[Answered], None] | None = None,
        right: Callable[[Request, Sequence[Completion]], int] | None = None,
    ) -> None:
        self.engine, self.log, self.on_progress = engine, log, on_progress
        self._done, self._ahead, self._right = iter(done), ahead or Ahead(None), right
        self.spent: dict[str, Spent] = {}
        """By the name of the task."""

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield `sampling.n` completions for each request, in order."""
        known = [_completions(record) for record in self.earlier(requests)]
        prompts = (request.prompt for request in requests)
        new = self.engine.generate(prompts, sampling, start=len(known), ahead=self._ahead)
        self._ahead = self._ahead.after(len(requests))
        now = time.monotonic()
        for number, (request, completions) in enumerate(
            zip(requests, chain(known, new), strict=True)
        ):
            before, now = now, time.monotonic()
            spent = self.spent.setdefault(request.task, Spent())
            spent.completions.append(completions)
            spent.seconds += now - before
            if number >= len(known):
                self.tell(
                    request,
                    completions=[c.text for c in completions],
                    tokens=[c.tokens for c in completions],
                    truncated=[c.truncated for c in completions],
                )
            if self.on_progress is not None:
                right = self._right(request, completions) if self._right else None
                spent_tokens = sum(c.tokens for c in completions)
                earlier = number < len(known)
                self.on_progress(Answered(len(completions), spent_tokens, right, earlier))
            yield completions

    def earlier(self, requests: Sequence[Request]) -> Iterator[Mapping[str, Any]]:
        """What the journal has of these requests, from the first.

        Raises:
            RzeroError: it is of others: the hub's data has changed in between.
        """
        for request, record in zip(requests, islice(self._done, len(requests)), strict=False):
            if (record.get("task"), record.get("id")) != (request.task, request.number):
                raise RzeroError(
                    f"the journal has question {record.get('id')} of {record.get('task')} where "
                    f"{request.number} of {request.task} is asked: begin again with --force"
                )
            yield record

    def tell(self, request: Request, **answer: Any) -> None:
        """Put the answer to a request into the journal."""
        if self.log is not None:
            self.log({"task": request.task, "id": request.number, **answer})


def _completions(record: Mapping[str, Any]) -> list[Completion]:
    rows = zip(record["completions"], record["tokens"], record["truncated"], strict=True)
    return [Completion(*row) for row in rows]
