"""Near-duplicates by the index: rate, recall and memory for growing numbers of questions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SIZES = [5_000, 50_000] + ([1_000_000] if os.environ.get("RZERO_BENCH_FULL") else [])
CODE = """
import sys, time
from pathlib import Path
from bench_rewards import questions
from rzero_cli.analysis.near_duplicates import near_duplicates
texts = questions(int(sys.argv[1]))
def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
before, start = memory(), time.perf_counter()
found = list(near_duplicates(texts))
seconds = time.perf_counter() - start
share = sum(number is not None for number in found) / len(texts)
print(f"{len(texts) / seconds:,.0f} questions/s, {share:.0%} have an earlier near-duplicate, "
      f"{(memory() - before) * 1024 / len(texts):.1f} kB a question")
"""


def bench_near() -> None:
    for size in SIZES:
        command = [sys.executable, "-c", CODE, str(size)]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        print(f"\nnear-duplicates among {size:,}: {done.stdout.strip()}")
