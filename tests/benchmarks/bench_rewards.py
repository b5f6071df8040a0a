"""The Challenger's rewards of a batch, compared with loops over the libraries' functions.

The reference is the authors' method: nltk's sentence BLEU of each pair and sklearn's clustering. It
is timed at 512 questions and scaled by pairs; RZERO_BENCH_FULL=1 runs all 2,048 (seven minutes).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from rzero_cli.method.rewards import challenger_rewards, cluster_questions
from rzero_cli.method.similarity import NLTK

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
SMALL, PAPER, LARGE = 512, 2048, 8192
FULL = bool(os.environ.get("RZERO_BENCH_FULL"))
VERBS = ["find", "compute", "determine", "evaluate"]
WORDS = """the of a and is in to that with for let number such integers positive all sum are real
value by be function triangle two polynomial points what which set circle side prime if each length
product probability sequence area least divisible angle area plane digits root line greatest common
largest ways distinct radius sphere matrix vertices coefficients sequence term rational modulo graph
edges permutation""".split()  # noqa: SIM905


def questions(n: int, seed: int = 0) -> list[str]:
    """Return real questions if available, else random ones; a quarter are edited copies."""
    rng = random.Random(seed)
    texts = []
    for name, key in (("gsm8k_test", "question"), ("amc23", "problem"), ("aime24", "problem")):
        if (path := DATA / f"{name}.jsonl").exists():
            lines = path.read_text("utf-8").splitlines()
            texts += [json.loads(line)[key] for line in lines]
    weights = [1 / rank for rank in range(1, len(WORDS) + 1)]
    while len(texts) < 3 * n // 4:
        words = rng.choices(WORDS, weights, k=rng.randint(15, 60))
        words[rng.randrange(len(words))] = str(rng.randint(2, 9999))
        texts.append(f"{rng.choice(VERBS).capitalize()} {' '.join(words)}.")
    texts = rng.sample(texts, 3 * n // 4)
    for text in rng.choices(texts, k=n - len(texts)):
        words = text.split()
        for _ in range(rng.randint(0, 4)):
            words[rng.randrange(len(words))] = str(rng.randint(2, 99))
        texts.append(" ".join(words))
    return rng.sample(texts, n)


def authors_clusters(texts: Sequence[str]) -> list[int]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    distances = np.zeros((len(texts), len(texts)))
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            score = sentence_bleu([texts[j].split()], texts[i].split(), smoothing_function=smooth)
            distances[i, j] = distances[j, i] = 1 - score
    model = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=0.5
    )
    labels = model.fit_predict(np.maximum(distances, 0)).tolist()
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(texts: Sequence[str], bleu: str, tries: int = 3) -> float:
    p_hats = [0.5] * len(texts)
    return min(seconds(lambda: challenger_rewards(texts, p_hats, bleu=bleu)) for _ in range(tries))


@pytest.fixture(scope="module")
def authors_seconds() -> float:
    """The seconds of the authors' method on the paper's batch, whose clusters must equal ours."""
    texts = questions(PAPER if FULL else SMALL)
    start = time.perf_counter()
    theirs = authors_clusters(texts)
    taken = time.perf_counter() - start
    assert cluster_questions(texts, bleu=NLTK) == theirs
    pairs = PAPER * (PAPER - 1) / (len(texts) * (len(texts) - 1))
    print(f"\nthe authors' method: {taken:.1f} s for {len(texts)} questions; same clusters as ours")
    return taken * pairs


@pytest.mark.parametrize(("preset", "bleu"), [("official", NLTK), ("paper", "13a")])
def bench_rewards(preset: str, bleu: str, authors_seconds: float) -> None:
    best(questions(64), bleu, tries=1)  # imports
    paper, large = questions(PAPER), questions(LARGE)
    ours, more = best(paper, bleu), best(large, bleu, tries=1)
    print(
        f"\nrewards of {PAPER:,} questions, {preset}: {ours:.3f} s; the authors' method "
        f"{authors_seconds:.0f} s: {authors_seconds / ours:,.0f} times faster; {LARGE:,} questions "
        f"take {more:.2f} s, {more / ours:.1f} times as long for {(LARGE / PAPER) ** 2:.0f} times "
        "the pairs"
    )


def bench_memory() -> None:
    """The peak memory of a process that scores one batch, quadratic in the batch."""
    for size in (PAPER, LARGE):
        code = (
            "from pathlib import Path; from bench_rewards import questions;"
            "from rzero_cli.method.rewards import challenger_rewards;"
            f"challenger_rewards(questions({size}), [0.5] * {size});"
            # Not getrusage, whose peak includes that of the parent process.
            "lines = Path('/proc/self/status').read_text().splitlines();"
            "print(next(int(x.split()[1]) for x in lines if x.startswith('VmHWM')) / 2**20)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        print(f"\nrewards of {size:,} questions, paper: {float(done.stdout):.2f} GiB at the peak")
