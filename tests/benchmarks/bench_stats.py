"""`rzero stats` on a million labelled records: rate, and memory compared with a tenth of them."""

from __future__ import annotations

import os
import random
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from bench_rewards import VERBS, WORDS
from bench_streams import ended

RECORDS = 1_000_000
M = 10
STATS = [sys.executable, "-m", "rzero_cli", "stats", "--quiet", "--json"]


def answer(rng: random.Random) -> str:
    """Return a whole number, mostly a small one, or in one case of ten a fraction."""
    number = int(rng.paretovariate(0.4)) % 10**7
    return f"\\frac{{{number}}}{{{rng.randint(2, 99)}}}" if rng.random() < 0.1 else str(number)


def labelled() -> Iterator[dict[str, Any]]:
    """Yield records like those of `label`, about 500 bytes each, with a tenth of them repeated."""
    rng = random.Random(0)
    weights = [1 / rank for rank in range(1, len(WORDS) + 1)]
    earlier: list[str] = []
    while True:
        words = rng.choices(WORDS, weights, k=rng.randint(10, 50))
        words[rng.randrange(len(words))] = str(rng.randint(2, 9999))
        question = f"{rng.choice(VERBS).capitalize()} {' '.join(words)}."
        if len(earlier) < 1000:
            earlier.append(question)
        elif rng.random() < 0.1:
            question = rng.choice(earlier)
        choices = [answer(rng) for _ in range(rng.randint(1, 5))]
        answers = rng.choices(choices, range(2 * len(choices), 0, -2), k=M)
        votes = Counter(answers).most_common()
        yield {
            "id": f"{rng.getrandbits(64):016x}",
            "question": question,
            "proposed_answer": choices[0],
            "answer": votes[0][0],
            "p_hat": votes[0][1] / M,
            "m": M,
            "majority": votes[0][1],
            "answers": answers,
            "votes": dict(votes),
        }


def bench_stats(tmp_path: Path) -> None:
    many, few = tmp_path / "many.jsonl", tmp_path / "few.jsonl"
    with many.open("wb") as stream:
        stream.writelines(orjson.dumps(row) + b"\n" for row in islice(labelled(), RECORDS))
    with few.open("wb") as stream, many.open("rb") as whole:
        stream.writelines(islice(whole, RECORDS // 10))
    print(
        f"\nrecords of {many.stat().st_size / RECORDS:.0f} bytes, m = {M}, {os.cpu_count()} cores"
    )
    for path, count in ((few, RECORDS // 10), (many, RECORDS)):
        rounds = [measured([*STATS, str(path)]) for _ in range(3)]
        walls, processor = (sorted(count / one[k] for one in rounds) for k in (0, 1))
        print(
            f"  {count:9,} records: {median(walls):,.0f} records/s ({walls[0]:,.0f} to "
            f"{walls[-1]:,.0f}); {median(processor):,.0f} a second of processor time "
            f"({processor[0]:,.0f} to {processor[-1]:,.0f}); "
            f"{max(one[2] for one in rounds):.0f} MiB at the peak"
        )
    seconds, processor_seconds, memory = measured([*STATS, str(few), str(many)])
    print(
        f"  both, side by side: {seconds:.1f} s, {processor_seconds:.1f} of processor time; "
        f"{memory:.0f} MiB"
    )


def measured(command: list[str]) -> tuple[float, float, float]:
    """Return wall-clock seconds, processor seconds and peak memory in MiB of a command.

    On a busy machine, processor time is the better measure of the code.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, memory = ended(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory
