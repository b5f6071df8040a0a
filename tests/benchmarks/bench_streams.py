"""`rzero filter` against a bare loop of reading and writing, and its start against python's."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

RECORDS = 200_000
LOOP = """
import json, sys
for line in sys.stdin.buffer:
    if 0.25 <= json.loads(line)["p_hat"] <= 0.75:
        sys.stdout.buffer.write(line)
"""


def seconds(command: list[str], source: Path | None = None) -> float:
    stdin = source.open("rb") if source else subprocess.DEVNULL
    start = time.perf_counter()
    subprocess.run(command, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def bench_filter(tmp_path: Path) -> None:
    rng = random.Random(0)
    source = tmp_path / "labeled.jsonl"
    with source.open("w") as stream:
        for i in range(RECORDS):
            p_hat = rng.randint(1, 10) / 10
            record = {"id": i, "question": "x" * 300, "answer": str(i), "p_hat": p_hat, "m": 10}
            stream.write(json.dumps(record) + "\n")
    ours = [sys.executable, "-m", "rzero_cli", "filter", "--quiet"]
    bare = [sys.executable, "-c", LOOP]
    pairs = [(seconds(ours, source), seconds(bare, source)) for _ in range(3)]
    ratio = median(loop / rzero for rzero, loop in pairs)
    rate = RECORDS / median(rzero for rzero, _ in pairs)
    print(f"\nfilter: {rate:,.0f} records/s, {ratio:.2f} of the rate of a bare json loop")


def bench_start(tmp_path: Path) -> None:
    record = tmp_path / "one.jsonl"
    record.write_text('{"answer": "1", "p_hat": 0.5}\n')
    ours = [sys.executable, "-m", "rzero_cli", "filter", "--quiet", str(record)]
    extra = median(seconds(ours) - seconds([sys.executable, "-c", "pass"]) for _ in range(11))
    print(f"\nstart of filter: {1000 * extra:.0f} ms more than python's own")
