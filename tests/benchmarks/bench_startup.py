"""The start-up time of commands: the help of each, and the stages on a tiny model.

Prints a Markdown table of wall-clock and CPU seconds (user and system) of fresh processes, the
median of several rounds.

    RZERO_BENCH_AGAINST=OTHER/src    another version's code: both run in turn
    RZERO_BENCH_ROUNDS=9             rounds; 5 by default
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
AGAINST = os.environ.get("RZERO_BENCH_AGAINST")
ROUNDS = int(os.environ.get("RZERO_BENCH_ROUNDS", "5"))
COMMANDS = (
    *("challenge", "sample", "label", "filter", "train-solver", "eval", "score", "vote", "grade"),
    *("oracle", "merge", "stats", "compare", "report", "guard", "lineage", "tiny-base", "init"),
    "env",
)
FEW = ("--max-tokens", "4", "--preset", "tiny", "--quiet", "--force")


def stages(model: Path) -> dict[str, Sequence[str]]:
    """Return commands that load a model and do almost nothing with it."""
    return {
        "sample": ("sample", "--challenger", str(model), "-n", "2", "-o", "out.jsonl", *FEW),
        "label": ("label", "q.jsonl", "--solver", str(model), "-o", "out.jsonl", *FEW),
        "score": ("score", "q.jsonl", "--solver", str(model), "-o", "out.jsonl", *FEW),
        "eval": ("eval", "--model", str(model), "--data", "q.jsonl", "-o", "out.json", *FEW),
        "train-solver": (
            *("train-solver", "q.jsonl", "--solver", str(model), "-o", "out", *FEW),
            *("--steps", "1", "--prompts", "2", "--batch", "2", "--group", "2"),
            *("--per-device", "4"),
        ),
    }


def spent(source: Path, words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Return wall-clock and CPU seconds of one command with the code in `source`."""
    env = dict(os.environ, PYTHONPATH=str(source))
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=env,
    )
    assert process.stderr
    errors = process.stderr.read()
    # The process's own rusage, including its children's; `subprocess` does not give it.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, errors.decode()
    return wall, used.ru_utime + used.ru_stime


def bench_startup(tmp_path: Path, tiny_model: Path) -> None:
    rows = [{"question": f"copy the number {n}", "answer": "1", "reference": "1"} for n in (7, 8)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured: dict[str, Sequence[str]] = {"rzero --help": ("--help",)}
    measured |= {f"rzero {name} --help": (name, "--help") for name in COMMANDS}
    measured |= {f"rzero {name}": words for name, words in stages(tiny_model).items()}
    sources = {"this": ROOT / "src"}
    if AGAINST:
        sources["other"] = Path(AGAINST).resolve()
    found = defaultdict(list)
    for number in range(ROUNDS + 1):
        for what, words in measured.items():
            for name in sorted(sources, reverse=bool(number % 2)):
                seconds = spent(sources[name], words, tmp_path)
                shutil.rmtree(tmp_path / "out", ignore_errors=True)
                if number:  # the first round fills caches, of files and of compiled modules
                    found[what, name].append(seconds)
    print(f"\nSeconds, median of {ROUNDS} rounds:\n")
    heads = [f"{kind}, {name}" for name in sources for kind in ("wall", "CPU")]
    print(f"| command | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}")
    for what in measured:
        medians = [median(one) for name in sources for one in zip(*found[what, name], strict=True)]
        print(f"| `{what}` | {' | '.join(f'{seconds:.2f}' for seconds in medians)} |")
