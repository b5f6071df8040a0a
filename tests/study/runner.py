"""Make the runs of the plan: `make` on the package's recipe, several base models at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from .collect import write_collected
from .declared_plan import Part, Plan

__all__ = ["Failed", "run", "steps"]

ROOT = Path(__file__).parents[2]

# Variables of the caller's environment that would change what the recipe does.
_RECIPE = ("GUARD", "PROBE", "DEDUP", "LOG_FILE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


class Failed(Exception):
    """A step of the study failed; its message is for the user."""


class Makes:
    """Run make in several threads, and end all of them when one fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def make(self, arguments: Sequence[str], log: Path) -> None:
        """Run make to its end; its output and that of the stages is appended to `log`.

        Raises:
            Failed: make exited with another status than 0, or was stopped.
        """
        command = ["make", "-s", "-f", "src/rzero_cli/recipes/loop.mk", *arguments]
        with log.open("ab") as stream:
            with self._lock:
                if self._stopped:
                    raise Failed("stopped")
                process = subprocess.Popen(
                    command, cwd=ROOT, env=_environment(), stdout=stream, stderr=stream
                )
                self._running.add(process)
            status = process.wait()
            with self._lock:
                self._running.remove(process)
                stopped = self._stopped
        if status and stopped:
            raise Failed("stopped")
        if status:
            raise Failed(f"make ended with status {status}: see {log}")

    def stop(self) -> None:
        """End the running makes, which end their stages, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def _environment() -> dict[str, str]:
    """The caller's environment without what changes a stage or the recipe; one core a stage."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _RECIPE
        and not name.endswith("_FLAGS")
        and (not name.startswith("RZERO_") or name in ("RZERO_CACHE", "RZERO_WARM"))
    }
    return kept | {"OMP_NUM_THREADS": "1"}


def steps(plan: Plan, part: Part, base: int, runs: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the steps of a part on one base: the name of each, and the arguments of make."""
    model = runs / f"tiny-base-{plan.size}-{base}"
    common = [f"RZERO={sys.executable} -m rzero_cli", f"RUNS={runs}", f"SEED={base}"]
    yield "base", [*common, f"SIZE={plan.size}", f"{model}/rzero.json"]
    folder = _run_folder(runs, base, part)
    common += [
        f"RUN={folder.name}",
        f"SOLVER_FLAGS={part.solver_flags}",
        f"ITERATIONS={part.iterations}",
        "PRESET=tiny",
        "TRUTH=1",
    ]
    common += [f"MODEL={model}", f"HELDOUT={model}/heldout.jsonl"]
    for chain in part.chains:
        yield chain, [*common, "chains", f"CHAINS={chain}"]
    if part.difficulty:
        yield "difficulty", [*common, "difficulty"]
    if part.guard:
        guards = [f"{folder}/iter-{k}/guard.json" for k in _to(part.iterations)]
        yield "guard", [*common, "GUARD=probe,diversity", f"PROBE={model}/probe.jsonl", *guards]


def _run_folder(runs: Path, base: int, part: Part | None = None) -> Path:
    """The folder of a base's run; a part with flags of its own has a run of its own."""
    apart = f"-{part.name}" if part and part.solver_flags else ""
    return runs / f"evidence-{base}{apart}"


def _to(iterations: int) -> range:
    return range(1, iterations + 1)


def run(
    plan: Plan, *, jobs: int, runs: Path, into: Path, only: Sequence[int], parts: Sequence[str]
) -> None:
    """Make the parts of the plan, several bases at a time, and collect each run after each part.

    Args:
        runs: where the runs are kept, from the root of the repository.
        into: where the collected files are kept.
        only: bases; all if empty. `parts` likewise.

    Raises:
        Failed: a step failed. Its results stay, and another call continues from there.
    """
    makes = Makes()
    locks = {base: threading.Lock() for part in plan.parts for base in part.bases}

    def make(part: Part, base: int) -> None:
        with locks[base]:  # two makes in one folder would make the same file
            folder = ROOT / _run_folder(runs, base, part)
            folder.mkdir(parents=True, exist_ok=True)
            for name, arguments in steps(plan, part, base, runs):
                start = time.monotonic()
                try:
                    makes.make(arguments, folder / "study.log")
                except Failed as failed:
                    raise Failed(f"base {base}, {part.name}, {name}: {failed}") from None
                minutes = (time.monotonic() - start) / 60
                print(f"base {base}, {part.name}, {name}: {minutes:.1f} min", flush=True)
            if (whole := ROOT / _run_folder(runs, base) / "base" / "eval.json").is_file():
                write_collected(plan, whole.parent.parent, into)

    wanted = [
        (part, base)
        for part in plan.parts
        for base in part.bases
        if (not parts or part.name in parts) and (not only or base in only)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        made = [pool.submit(make, part, base) for part, base in wanted]
        try:
            wait(made, return_when=FIRST_EXCEPTION)
        finally:  # also at Ctrl-C
            for future in made:
                future.cancel()
            if not all(future.done() for future in made):
                makes.stop()
    # What failed first is what is wrong; the others were stopped for it.
    errors = [future.exception() for future in made if not future.cancelled()]
    for error in sorted(filter(None, errors), key=lambda e: "stopped" in str(e)):
        raise error
