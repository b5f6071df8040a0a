"""The cost of progress reports: `rzero vote` and `rzero score` with a bar on a terminal, or with
lines and a log, compared with --quiet.
"""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

RECORDS, ROUNDS = 60_000, 5
BATCH = 64  # of score: small, so that records dominate the time


def seconds(command: list[str], *, terminal: bool) -> float:
    ours, theirs = pty.openpty()

    def drain() -> None:
        try:
            while os.read(ours, 65_536):
                pass
        except OSError:  # the other end is closed
            os.close(ours)

    reader = threading.Thread(target=drain)
    reader.start()
    start = time.perf_counter()
    stderr = theirs if terminal else subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr) as child:
        os.close(theirs)
        assert child.wait() == 0, command
    taken = time.perf_counter() - start
    reader.join()
    return taken


def bench_progress(tmp_path: Path) -> None:
    rng = random.Random(0)
    source = tmp_path / "answers.jsonl"
    with source.open("w") as stream:
        for n in range(RECORDS):
            answers = [str(rng.choice([n, n, n + 1])) for _ in range(10)]
            record = {"question": f"{n} and {rng.random()}", "answers": answers, "p_hat": 0.5}
            stream.write(json.dumps(record) + "\n")
    rzero = [sys.executable, "-m", "rzero_cli"]
    log = ["--log-file", str(tmp_path / "log.jsonl")]
    for stage in (["vote"], ["score", "--batch", str(BATCH)]):
        command = [*rzero, *stage, str(source)]
        ways = {
            "nobody looks (--quiet)": ([*command, "--quiet"], False),
            "lines and a log": ([*command, *log], False),
            "a bar and a log": ([*command, *log], True),
        }
        rounds = [
            {name: seconds(how, terminal=terminal) for name, (how, terminal) in ways.items()}
            for _ in range(ROUNDS)
        ]
        quiet = "nobody looks (--quiet)"
        print(f"\n{' '.join(stage)}, {RECORDS:,} records, median of {ROUNDS}:")
        for name in ways:
            rate = RECORDS / median(one[name] for one in rounds)
            ratios = sorted(one[name] / one[quiet] for one in rounds)
            print(
                f"  {name:24}{rate:9,.0f} records/s; {median(ratios):.3f} of the time "
                f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
            )
