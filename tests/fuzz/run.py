"""`make fuzz`: run every target on random input and print the results.

    python tests/fuzz/run.py --seconds 600          all targets, each for an equal part of the time
    python tests/fuzz/run.py --examples 200 --seed 7 --only keys

A target is a strategy and a check that every example must pass (`TARGETS` in `fuzz_*.py`). An
example that takes longer than `SLOWEST` or more memory than `MEMORY`, a kernel limit, also fails.
Failures are shrunk and printed; the status is then 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning

SLOWEST = 30.0  # seconds of wall-clock time; a comparison that times out takes a few
MEMORY = 4 << 30  # bytes of address space
ROUND = 100  # examples between checks of the time


def fuzz(strategy: Any, check: Any, *, seconds: float, examples: int, first: int) -> dict[str, Any]:
    """Run one target until its time or its examples run out or it fails."""
    count, longest, slowest = 0, 0.0, ""
    failure = None
    started = time.monotonic()

    def timed(example: Any) -> None:
        nonlocal count, longest, slowest
        start = time.monotonic()
        check(example)
        took = time.monotonic() - start
        count += 1
        if took > longest:
            longest, slowest = took, repr(example)
        assert took < SLOWEST, f"took {took:.1f} s"

    number = first
    while failure is None and count < examples and time.monotonic() - started < seconds:
        run = given(strategy)(timed)
        run = settings(
            max_examples=min(ROUND, examples - count),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )(run)
        try:
            seed(number)(run)()
        except Exception as error:
            lines = "".join(traceback.format_exception(error)).splitlines()
            failure = "\n".join(f"    {line[:300]}" for line in lines[-40:])
        number += 1
    return {
        "examples": count,
        "seconds": time.monotonic() - started,
        "seeds": (first, number - 1),
        "longest": longest,
        "slowest": slowest,
        "failure": failure,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for all targets")
    parser.add_argument("--examples", type=int, default=sys.maxsize, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="the first one; others follow")
    parser.add_argument("--only", default="", help="targets whose name contains this")
    given_ = parser.parse_args()
    if given_.seconds == float("inf") and given_.examples == sys.maxsize:
        parser.error("give --seconds or --examples")
    warnings.filterwarnings("ignore", category=HypothesisWarning)  # of long examples
    os.environ["RZERO_CONFIG"] = os.devnull  # no rzero.toml of the folder
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # The code under test redirects standard output.
    out = os.fdopen(os.dup(1), "w")
    names = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))
    targets = {k: v for name in names for k, v in importlib.import_module(name).TARGETS.items()}
    targets = {name: target for name, target in targets.items() if given_.only in name}
    out.write(
        f"{'target':<40}{'examples':>9}{'a second':>10}{'seeds':>12}{'slowest':>10}  failures\n"
    )
    failed = False
    for name, (strategy, check) in targets.items():
        found = fuzz(
            strategy,
            check,
            seconds=given_.seconds / len(targets),
            examples=given_.examples,
            first=given_.seed,
        )
        rate = found["examples"] / found["seconds"]
        seeds = "{}-{}".format(*found["seeds"])
        out.write(
            f"{name:<40}{found['examples']:>9,}{rate:>10,.0f}{seeds:>12}{found['longest']:>8.2f} s"
            f"  {'1' if found['failure'] else '0'}\n"
        )
        if found["longest"] > 1:
            out.write(f"    the slowest: {found['slowest'][:200]}\n")
        if found["failure"]:
            failed = True
            out.write(found["failure"] + "\n")
        out.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out.write(f"at most {peak:,.0f} MiB\n")
    out.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
