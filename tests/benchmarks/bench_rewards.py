"""The Challenger's rewards of a batch, against the libraries' own pairwise loops.

The loops are timed at 256 questions and scaled by pairs; ours is timed at the paper's 2,048.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from rzero_cli.core.rewards import challenger_rewards

WORDS = """find the number of positive integers less than such that sum digits divisible by let be a
triangle with side lengths and area what is remainder when divided how many ways can people sit
around table so no two adjacent function satisfies for all real compute largest smallest prime
factor polynomial roots probability exactly heads coin sequence defined by term circle radius
tangent line intersects at points distance between value of expression integer solutions""".split()  # noqa: SIM905
SMALL, LARGE = 256, 2048


def questions(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [
        " ".join(rng.choices(WORDS, k=rng.randint(15, 45))) + f" {rng.randint(2, 9999)} ?"
        for _ in range(n)
    ]


def nltk_loop(texts: Sequence[str]) -> np.ndarray:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    tokens = [text.split() for text in texts]
    distances = np.zeros((len(texts), len(texts)))
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            score = sentence_bleu([tokens[j]], tokens[i], smoothing_function=smooth)
            distances[i, j] = distances[j, i] = 1 - score
    return distances


def sacrebleu_loop(texts: Sequence[str]) -> np.ndarray:
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True)
    distances = np.zeros((len(texts), len(texts)))
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            both = sum(
                metric.sentence_score(a, [b]).score
                for a, b in ((texts[i], texts[j]), (texts[j], texts[i]))
            )
            distances[i, j] = distances[j, i] = 1 - both / 200
    return distances


def loop_rewards(
    texts: Sequence[str], p_hats: Sequence[float], distances: Callable[[Sequence[str]], np.ndarray]
) -> list[float]:
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=0.5
    )
    labels = list(model.fit_predict(distances(texts)))
    return [
        1 - 2 * abs(p - 0.5) - labels.count(label) / len(texts)
        for p, label in zip(p_hats, labels, strict=True)
    ]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("preset", "bleu", "loop"),
    [("official", "nltk", nltk_loop), ("paper", "13a", sacrebleu_loop)],
)
def bench_rewards(preset: str, bleu: str, loop: Callable[[Sequence[str]], np.ndarray]) -> None:
    large, small = questions(LARGE), questions(SMALL)
    p_hats = [0.5] * LARGE
    challenger_rewards(small, p_hats[:SMALL], rule="paper", bleu=bleu)  # imports
    ours = min(
        seconds(lambda: challenger_rewards(large, p_hats, rule="paper", bleu=bleu))
        for _ in range(3)
    )
    pairs = LARGE * (LARGE - 1) / (SMALL * (SMALL - 1))
    reference = pairs * seconds(lambda: loop_rewards(small, p_hats[:SMALL], loop))
    print(
        f"\nrewards of {LARGE} questions, {preset}: {ours:.2f} s; library loop, scaled from "
        f"{SMALL}: {reference:.0f} s; {reference / ours:.0f} times faster"
    )


def bench_memory() -> None:
    """Peak memory of a process that scores one batch: it grows with the square of the batch."""
    for size in (1024, 4096):
        code = (
            "import resource; from bench_rewards import questions;"
            "from rzero_cli.core.rewards import challenger_rewards;"
            f"challenger_rewards(questions({size}), [0.5] * {size});"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        print(f"\nrewards of {size} questions, paper: {float(done.stdout):.1f} GiB at the peak")
