"""Make the runs of the plan by the package's recipe, several base models at a time.

`make -n` lists the commands that are left to run; those of `rzero` are forked from a process with
the imports done, which saves seconds for each stage.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from tests.helpers.forkserver import Forked, ForkServer

from .collect import write_collected
from .declared_plan import Part, Plan

__all__ = ["Failed", "run", "steps"]

ROOT = Path(__file__).parents[2]

# Variables of the caller's environment that would change what the recipe does.
_RECIPE = ("GUARD", "PROBE", "DEDUP", "LOG_FILE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


class Failed(Exception):
    """A step of the study failed; its message is for the user."""


_RZERO = f"{sys.executable} -m rzero_cli "


class Makes:
    """Run the commands of make in several threads, and end all of them when one fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Forked | subprocess.Popen[bytes]] = set()
        self._stopped = False
        os.environ["OMP_NUM_THREADS"] = "1"  # as the stages have it
        self._forks = ForkServer()

    def make(self, arguments: Sequence[str], log: Path) -> None:
        """Run what make would run; the output of the commands is appended to `log`.

        Raises:
            Failed: a command exited with another status than 0, or was stopped.
        """
        if self._stopped:
            raise Failed("stopped")
        with log.open("ab") as stream:
            for command in commands(arguments):
                with self._lock:
                    if self._stopped:
                        raise Failed("stopped")
                    process = self._start(command, stream.fileno())
                    self._running.add(process)
                status = process.wait()
                with self._lock:
                    self._running.remove(process)
                    stopped = self._stopped
                if status:
                    self.stop()
                    name = command.removeprefix(_RZERO).split()[0]
                    why = f"{name} ended with status {status}: see {log}"
                    raise Failed("stopped" if stopped else why)

    def _start(self, command: str, output: int) -> Forked | subprocess.Popen[bytes]:
        env = _environment()
        simple = command.startswith(_RZERO) and not re.search(r"[|&;<>$`]", command)
        if simple and self._forks.suits(env):
            words = shlex.split(command.removeprefix(_RZERO))
            return self._forks.start(words, cwd=ROOT, env=env, stdout=output, stderr=output)
        words = ["sh", "-c", command]
        return subprocess.Popen(words, cwd=ROOT, env=env, stdout=output, stderr=output)

    def stop(self) -> None:
        """End the running commands, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)


def commands(arguments: Sequence[str]) -> list[str]:
    """List the commands that make would run, in order.

    Raises:
        Failed: make cannot tell; the message is its own.
    """
    words = ["make", "-n", "-s", "-f", "src/rzero_cli/recipes/loop.mk", *arguments]
    done = subprocess.run(words, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr.strip())
    return done.stdout.replace("\\\n", " ").splitlines()


def _environment() -> dict[str, str]:
    """The caller's environment without what changes a stage or the recipe; one core a stage."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _RECIPE
        and not name.endswith("_FLAGS")
        and (not name.startswith("RZERO_") or name == "RZERO_CACHE")
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
        # The guard and its questions are always these, so that what was asked stays as it is.
        common += [f"-o{folder}/guarded-with", f"-o{folder}/probed-with"]
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
