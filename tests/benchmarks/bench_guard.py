"""The rate at which the loop's probe guard stops runs without a fall and runs with one.

Each question has a probability of a right answer, sampled once for all models, uniformly from easy
to hard. Equally good models answer independently with the same probabilities. A run is a base model
and `ITERATIONS` Solvers.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from rzero_cli.analysis.collapse import judge

RUNS, ITERATIONS, K = 200, 3, 8


def stopped(questions: int, fall: float, rng: np.random.Generator) -> bool:
    """Return True if a run is stopped whose last Solver is worse by `fall` than the others."""
    chances = rng.random(questions)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ITERATIONS + 1):
            lower = fall if number == ITERATIONS else 0.0
            right = rng.random((questions, K)) < np.clip(chances - lower, 0, 1)[:, None]
            samples = [
                {"id": n, "question": str(n), "correct": row}
                for n, row in enumerate(right.tolist())
            ]
            task = {"samples": samples, "k": K, "mean_at_k": {"score": float(right.mean())}}
            place = Path(folder) / (f"iter-{number}" if number else "base")
            place.mkdir()
            (place / "probe.json").write_text(json.dumps({"tasks": {"probe": task}}))
        return bool(judge(Path(folder), ["probe"])["tripped"])


def bench_probe() -> None:
    print(f"\nof {RUNS} runs of {ITERATIONS} iterations, mean@{K}, stopped:")
    for questions, fall in ((200, 0.0), (200, 0.05), (700, 0.02)):
        rng = np.random.default_rng(questions)
        count = sum(stopped(questions, fall, rng) for _ in range(RUNS))
        print(f"  {questions} questions, last Solver worse by {100 * fall:.0f} points: {count}")
