"""`rzero filter` with its guards on 100,000 labelled records: rate and memory of each.

The rate is by the processor's time, which what else the machine does disturbs less.
"""

from __future__ import annotations

import json
import os
import random
import resource
from pathlib import Path

from bench_rewards import questions
from bench_streams import FILTER, ended

RECORDS = 100_000
EARLIER = "earlier.jsonl"
GUARDS = (
    "",
    "--dedup exact",
    "--max-per-answer 100",
    "--max-per-cluster 3",
    "--dedup near",
    f"--dedup near --dedup-against {EARLIER}",
)


def labelled(path: Path, count: int, seed: int) -> Path:
    """All in the interval, so that each is looked at; a quarter are edited copies."""
    rng = random.Random(seed)
    with path.open("w") as stream:
        for text in questions(count, seed):
            answer = str(int(rng.paretovariate(0.3)) % 10**6)  # 1 is the most frequent
            record = {"question": text, "answer": answer, "p_hat": rng.choice((0.3, 0.5, 0.7))}
            stream.write(json.dumps(record) + "\n")
    return path


def spent() -> float:
    """Seconds of processor that the commands which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bench_guards(tmp_path: Path) -> None:
    source = labelled(tmp_path / "labeled.jsonl", RECORDS, 0)
    earlier = labelled(tmp_path / EARLIER, RECORDS // 10, 1)
    size = source.stat().st_size / RECORDS
    print(f"\n{RECORDS:,} lines of {size:.0f} bytes, {os.cpu_count()} cores:")
    for options in GUARDS:
        words = [str(earlier) if word == EARLIER else word for word in options.split()]
        command = [*FILTER, *words]
        rates, most = [], 0.0
        for _ in range(3):
            before = spent()
            most = max(most, ended(command, source)[1])
            rates.append(RECORDS / (spent() - before))
        low, middle, high = sorted(rates)
        print(
            f"  {options or 'none':45} {middle:9,.0f} lines/s ({low:,.0f} to {high:,.0f})", end=""
        )
        print(f", {most:.0f} MiB")
