"""Evaluation results as `rzero eval` writes them, made from verdicts."""

from __future__ import annotations

from random import Random
from typing import Any

Json = dict[str, Any]


def some(journal: dict[int, Any], count: int) -> dict[int, Any]:
    """Return `count` random entries of a journal."""
    return {number: journal[number] for number in Random(count).sample(sorted(journal), count)}


def sample(name: str, greedy: float | None, correct: list[bool] | None = None, **keys: Any) -> Json:
    correct = correct or []
    maj = sum(correct) * 2 > len(correct) if correct else None
    plain = {"id": name, "question": f"what is {name}?", "greedy": greedy}
    return plain | {"correct": correct, "maj": maj} | keys


def task(*samples: Json, **keys: Any) -> Json:
    k = len(samples[0]["correct"]) if samples else 0
    protocol = {"prompt_sha256": "ab" * 32, "temperature": 1.0, "stop": []}
    plain = {"metric": "greedy", "version": 1.0, "k": k, "data_sha256": "cd" * 32}
    return plain | {"protocol": protocol, "samples": list(samples)} | keys


def evaluation(averages: Json | None = None, **tasks: Json) -> Json:
    versions = {"rzero-cli": "0.1.0", "torch": "2.13.0", "python": "3.11"}
    origin = {"stage": "eval", "versions": versions}
    return {"tasks": tasks, "averages": averages or {}, "origin": origin}


def verdicts(right: str, **keys: Any) -> Json:
    """Return a task with greedy verdicts: `1` is a right answer, `0` a wrong one."""
    return task(*(sample(f"q{i}", c == "1") for i, c in enumerate(right)), **keys)
