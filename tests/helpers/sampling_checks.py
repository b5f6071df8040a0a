"""Checks that an engine samples: k answers are k samples, not one answer k times."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

from rzero_cli.answers import extract_boxed
from rzero_cli.engines import Completion, Engine, Sampling
from rzero_cli.method.prompts import SOLVER, prompt_for


def answers_differ(results: list[list[Completion]]) -> bool:
    """Return True if the answers to one prompt differ within each of several requests, and between
    any two requests at the same position."""
    rows = [[completion.text for completion in sampled] for sampled in results]
    k = len(rows[0])
    among = all(len(set(row)) > k / 2 for row in rows)
    between = all(
        sum(x == y for x, y in zip(a, b, strict=True)) < k / 2 for a, b in combinations(rows, 2)
    )
    return among and between


def assert_k_answers_are_k_samples(engine: Engine, base: Path) -> None:
    """Send `engine`, with the small base, a chat and a raw prompt several times each.

    Then evaluate held-out questions, some of which must be right in only part of the samples.
    """
    rows = [json.loads(line) for line in (base / "heldout.jsonl").read_text().splitlines()[:24]]
    prompts = [prompt_for(SOLVER, row["question"]) for row in rows]
    for prompt in (prompts[0], "turn around 4"):
        hot = Sampling(n=8, temperature=2.0, max_tokens=12)
        assert answers_differ(list(engine.generate([prompt] * 5, hot)))
        greedy = Sampling(n=8, temperature=0, max_tokens=12)
        assert not answers_differ(list(engine.generate([prompt] * 2, greedy)))
    k = 8
    results = engine.generate(prompts, Sampling(n=k, max_tokens=24))
    right = [
        sum(extract_boxed(completion.text) == row["reference"] for completion in sampled)
        for row, sampled in zip(rows, results, strict=True)
    ]
    assert sum(0 < share < k for share in right) > len(rows) / 4, right
