"""An engine whose answers come from a script."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rzero_cli.data.jsonl import Line
from rzero_cli.engines import Completed, Completion, Engine, K, Prompts, Sampling


class Scripted(Engine):
    """An engine with scripted answers: per question the greedy one, then the sampled ones."""

    def __init__(self, script: dict[str, list[str]], truncated: str = "no such text") -> None:
        self.script, self.truncated, self.asked = script, truncated, 0

    def complete(
        self, prompts: Prompts[K], sampling: Sampling, *, done: Collection[int] = (), **more: Any
    ) -> Completed[K]:
        for number, (item, messages) in enumerate(prompts):
            if number in done:
                continue
            self.asked += 1
            texts = self.script[messages[-1]["content"]]
            chosen = texts[1 : 1 + sampling.n] if sampling.temperature > 0 else texts[:1]
            yield item, [Completion(text, 5, self.truncated in text) for text in chosen]


def records(*rows: dict[str, Any]) -> list[Line]:
    return [Line("held.jsonl", i, b"", row) for i, row in enumerate(rows, 1)]


DEFAULTS: dict[str, Any] = {
    "k": 4,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 6,
    "seed": 0,
}


def texts(result: dict[str, Any], which: str) -> list[list[str]]:
    return [record["completions"] for record in result["shown"] if record["pass"] == which]
