"""`rzero filter` with its guards on 100,000 labelled records: rate and memory of each.

Rates are per second of processor time, which depends least on other load.
"""

from __future__ import annotations

import json
import os
import random
import resource
from pathlib import Path
from statistics import median

from bench_rewards import questions
from bench_streams import FILTER, ended

RECORDS = 100_000
EARLIER = "earlier.jsonl"
NEAR = ("--max-per-cluster", "--dedup near")
GUARDS = (
    "",
    "--dedup exact",
    "--max-per-answer 100",
    "--max-per-cluster 3",
    "--dedup near",
    f"--dedup near --dedup-against {EARLIER}",
)


def labelled(path: Path, count: int, seed: int) -> Path:
    """Questions all within the interval, so that none is skipped; a quarter are edited copies."""
    rng = random.Random(seed)
    with path.open("w") as stream:
        for text in questions(count, seed):
            answer = str(int(rng.paretovariate(0.3)) % 10**6)  # 1 is the most frequent
            record = {"question": text, "answer": answer, "p_hat": rng.choice((0.3, 0.5, 0.7))}
            stream.write(json.dumps(record) + "\n")
    return path


def spent() -> float:
    """Return the processor time of all commands that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bench_guards(tmp_path: Path) -> None:
    source = labelled(tmp_path / "labeled.jsonl", RECORDS, 0)
    earlier = labelled(tmp_path / EARLIER, RECORDS // 10, 1)
    size = source.stat().st_size / RECORDS
    print(f"\n{RECORDS:,} lines of {size:.0f} bytes, {os.cpu_count()} cores:")
    for options in GUARDS:
        words = [str(earlier) if word == EARLIER else word for word in options.split()]
        rates, most = [], 0.0
        for _ in range(3 if not options.startswith(NEAR) else 1):  # one of these takes a minute
            before = spent()
            most = max(most, ended([*FILTER, *words], source)[1])
            rates.append(RECORDS / (spent() - before))
        spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
        name = options or "none"
        print(f"  {name:45} {median(rates):9,.0f} lines/s{spread}, {most:.0f} MiB", flush=True)
