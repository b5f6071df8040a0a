"""`rzero filter` with its guards on 100,000 labelled records: rate and memory of each."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from statistics import median

from bench_rewards import questions
from bench_streams import FILTER, ended

RECORDS = 100_000
HOW = {
    "none": "",
    "--dedup exact": "",
    "--max-per-answer 100": "",
    "--max-per-cluster 3": "",
    "--dedup near": "",
    "--dedup near --dedup-against": "EARLIER",
}


def labelled(path: Path, count: int, seed: int) -> Path:
    """All in the interval, so that each is looked at; a quarter are edited copies."""
    rng = random.Random(seed)
    with path.open("w") as stream:
        for text in questions(count, seed):
            answer = str(int(rng.paretovariate(0.3)) % 10**6)  # 1 is the most frequent
            record = {"question": text, "answer": answer, "p_hat": rng.choice((0.3, 0.5, 0.7))}
            stream.write(json.dumps(record) + "\n")
    return path


def bench_guards(tmp_path: Path) -> None:
    source = labelled(tmp_path / "labeled.jsonl", RECORDS, 0)
    earlier = labelled(tmp_path / "earlier.jsonl", RECORDS // 10, 1)
    size = source.stat().st_size / RECORDS
    print(f"\n{RECORDS:,} lines of {size:.0f} bytes, {os.cpu_count()} cores:")
    for options, file in HOW.items():
        words = [] if options == "none" else options.split()
        command = [*FILTER, *words, *([str(earlier)] if file else [])]
        rounds = [ended(command, source) for _ in range(3)]
        rates = sorted(RECORDS / seconds for seconds, _ in rounds)
        memory = median(memory for _, memory in rounds)
        print(
            f"  {options:30} {median(rates):9,.0f} lines/s ({rates[0]:,.0f} to {rates[-1]:,.0f}), "
            f"{memory:.0f} MiB"
        )
