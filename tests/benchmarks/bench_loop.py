"""The time of one iteration of the miniature by stage and part, in CPU seconds.

The recipe's own stages run in one process each. CPU seconds depend least on other load.

    RZERO_BENCH_AGAINST=OTHER/src    another version's code: both run in turn, and the ratio is this
                                     one's time to the other's
    RZERO_BENCH_ROUNDS=5             rounds; 1 by default
    RZERO_BENCH_ITERATIONS=3         iterations in a round; 1 by default
    RZERO_BENCH_BASE=DIR             an existing base model
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
STAGES = ("challenge", "sample", "label", "filter", "train-solver")
START = "start-up"
AGAINST = os.environ.get("RZERO_BENCH_AGAINST")
ROUNDS = int(os.environ.get("RZERO_BENCH_ROUNDS", "1"))
ITERATIONS = int(os.environ.get("RZERO_BENCH_ITERATIONS", "1"))
BASE = os.environ.get("RZERO_BENCH_BASE")


def spent(source: Path, base: Path, runs: Path) -> dict[tuple[str, str], float]:
    """Return (stage, part) -> CPU seconds of a run's first iterations with the code in `source`."""
    env = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(source))
    file = runs / "spent.jsonl"
    stage = f"{sys.executable} {ROOT / 'tests' / 'helpers' / 'time_stage.py'} {file}"
    recipe = source / "rzero_cli" / "recipes" / "loop.mk"
    given = {"RUNS": runs, "RUN": "run", "PRESET": "tiny", "MODEL": base, "RZERO": stage}
    wanted = runs / "run" / f"iter-{ITERATIONS}" / "solver" / "rzero.json"
    command = ["make", "-s", "-f", recipe, *(f"{k}={v}" for k, v in given.items()), wanted]
    subprocess.run(list(map(str, command)), env=env, check=True, stderr=subprocess.DEVNULL)
    found: dict[tuple[str, str], float] = defaultdict(float)
    for line in map(json.loads, file.read_text().splitlines()):
        found[line["stage"], "wall"] += line["wall"]
        found[line["stage"], "children"] += line["children"]
        for part, seconds in line["parts"].items():
            found[line["stage"], part] += seconds
    return found


def total(found: dict[tuple[str, str], float], stages: tuple[str, ...] = STAGES) -> float:
    """Return the sum of all parts except start-up."""
    return sum(s for (stage, part), s in found.items() if stage in stages) - sum(
        found[stage, part] for stage in stages for part in (START, "wall")
    )


def show(rounds: list[dict[tuple[str, str], float]]) -> None:
    parts = sorted({part for one in rounds for _, part in one if part not in ("wall", START)})
    print(f"\n{'CPU seconds':20}" + "".join(f"{stage:>14}" for stage in STAGES))
    for part in (START, *parts):
        row = [median(one[stage, part] for one in rounds) for stage in STAGES]
        print(f"{part:20}" + "".join(f"{seconds:14.2f}" for seconds in row))
    row = [median(total(one, (stage,)) for one in rounds) for stage in STAGES]
    print(f"{'all but start-up':20}" + "".join(f"{seconds:14.2f}" for seconds in row))
    row = [median(one[stage, "wall"] for one in rounds) for stage in STAGES]
    print(f"{'wall seconds':20}" + "".join(f"{seconds:14.2f}" for seconds in row))


def bench_loop(tmp_path: Path) -> None:
    sources = {"this": ROOT / "src"}
    if AGAINST:
        sources["other"] = Path(AGAINST).resolve()
    base = Path(BASE or tmp_path / "base").resolve()
    if not base.is_dir():
        command = [sys.executable, "-m", "rzero_cli", "tiny-base", "-o", str(base)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    rounds = []
    for number in range(ROUNDS):
        found = {}
        for name in sorted(sources, reverse=bool(number % 2)):
            (runs := tmp_path / f"{name}-{number}").mkdir()
            found[name] = spent(sources[name], base, runs)
        rounds.append(found)
    for name in sources:
        print(f"\n{name}, {ITERATIONS} iterations, median of {len(rounds)} rounds:", end="")
        show([found[name] for found in rounds])
    if AGAINST:
        for what, of in (
            ("all but start-up", total),
            (START, lambda found: sum(found[stage, START] for stage in STAGES)),
        ):
            ratios = sorted(of(found["this"]) / of(found["other"]) for found in rounds)
            print(f"{what}: {median(ratios):.3f} of the other's ({ratios[0]:.3f}-{ratios[-1]:.3f})")
