"""Make the runs of the plan with the package's recipe, several base models in parallel.

`make -n` lists the commands left to run. `rzero` commands are forked from a process that has done
the imports, which saves seconds per stage.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from tests.helpers.forkserver import Forked, ForkServer

from .collect import AS_THE_LOOP, write_collected
from .declared_plan import Part, Plan

__all__ = ["Failed", "run", "steps"]

ROOT = Path(__file__).parents[2]

# Variables of the caller's environment that would change the recipe.
_RECIPE = ("GUARD", "PROBE", "DEDUP", "LOG_FILE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


class Failed(Exception):
    """A failed step of the study; the message is for the user."""


_RZERO = f"{sys.executable} -m rzero_cli "


class Commands:
    """Run commands in several threads; when one fails, stop all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Forked | subprocess.Popen[bytes]] = set()
        self._stopped = False
        os.environ["OMP_NUM_THREADS"] = "1"  # as in the stages
        self._forks = ForkServer()

    def run(self, commands: Sequence[str], log: Path) -> None:
        """Run commands one after another, appending their output to `log`.

        Raises:
            Failed: a command failed or was stopped.
        """
        if self._stopped:
            raise Failed("stopped")
        with log.open("ab") as stream:
            for command in commands:
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
                    why = f"{name} exited with status {status}: see {log}"
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
        """Stop the running commands and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)


def commands(arguments: Sequence[str]) -> list[str]:
    """List the commands that make would run, in order.

    Raises:
        Failed: make failed; the message is make's.
    """
    words = ["make", "-n", "-s", "-f", "src/rzero_cli/recipes/loop.mk", *arguments]
    done = subprocess.run(words, cwd=ROOT, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr.strip())
    return done.stdout.replace("\\\n", " ").splitlines()


def _environment() -> dict[str, str]:
    """Return the caller's environment without settings of stages or recipe; one core per stage."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _RECIPE
        and not name.endswith("_FLAGS")
        and (not name.startswith("RZERO_") or name == "RZERO_CACHE")
    }
    return kept | {"OMP_NUM_THREADS": "1"}


def steps(plan: Plan, part: Part, base: int, runs: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the steps of a part on one base: the name and the commands left to run.

    The commands of a step are listed only after the steps before it have run.
    """
    model = runs / f"tiny-base-{plan.size}-{base}"
    common = [f"RZERO={sys.executable} -m rzero_cli", f"RUNS={runs}", f"SEED={base}"]
    yield "base", commands([*common, f"SIZE={plan.size}", f"{model}/rzero.json"])
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
        _share_first_iteration(ROOT / folder, chain)
        yield chain, commands([*common, "loop" if chain == "trained" else chain])
    if part.difficulty:
        yield "difficulty", commands([*common, "difficulty"])
    if part.guard:
        guard = ["GUARD=probe,diversity", f"PROBE={model}/probe.jsonl"]
        iterations = [f"{folder}/iter-{k}" for k in range(1, part.iterations + 1)]
        probes = [f"{at}/probe.json" for at in (f"{folder}/base", *iterations)]
        # The probe is always this one; `-o` keeps make from running its evaluations again.
        made = commands([*common, *guard, f"-o{folder}/probed-with", *probes])
        judge = f"{_RZERO}guard {folder} --guard probe,diversity --preset tiny --quiet --force"
        made += [
            f"{judge} --iteration {k} -o {at}/guard.json"
            for k, at in enumerate(iterations, 1)
            if not (ROOT / at / "guard.json").is_file()
        ]
        yield "guard", made


def _share_first_iteration(run: Path, chain: str) -> None:
    """Link the loop's first Challenger, questions and labels into a chain that shares them."""
    loop, own = run / "iter-1", run / chain / "iter-1"
    if chain not in AS_THE_LOOP or not (loop / "labeled.jsonl").is_file():
        return
    own.mkdir(parents=True, exist_ok=True)
    if not (own / "challenger").is_dir():
        shutil.rmtree(own / "linking", ignore_errors=True)
        shutil.copytree(loop / "challenger", own / "linking", copy_function=os.link)
        (own / "linking").rename(own / "challenger")
    for name in ("questions.jsonl", "labeled.jsonl"):
        for file in (f"{name}.meta.json", name):
            if not (own / file).exists():
                (own / file).hardlink_to(loop / file)


def _run_folder(runs: Path, base: int, part: Part | None = None) -> Path:
    """Return the folder of a base's run; a part with solver flags has a separate one."""
    apart = f"-{part.name}" if part and part.solver_flags else ""
    return runs / f"evidence-{base}{apart}"


def run(
    plan: Plan, *, jobs: int, runs: Path, into: Path, only: Sequence[int], parts: Sequence[str]
) -> None:
    """Make the parts of the plan, several bases in parallel, and collect each run after each part.

    Args:
        runs: the folder of the runs, relative to the root of the repository.
        into: the folder of the collected files.
        only: bases to run; all if empty. `parts` likewise.

    Raises:
        Failed: a step failed. Results are kept, and another call continues from there.
    """
    running = Commands()
    locks = {base: threading.Lock() for part in plan.parts for base in part.bases}

    def make(part: Part, base: int) -> None:
        with locks[base]:  # two makes in one folder would write the same file
            folder = ROOT / _run_folder(runs, base, part)
            folder.mkdir(parents=True, exist_ok=True)
            for name, left in steps(plan, part, base, runs):
                start = time.monotonic()
                try:
                    running.run(left, folder / "study.log")
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
        finally:  # also after Ctrl-C
            for future in made:
                future.cancel()
            if not all(future.done() for future in made):
                running.stop()
    # Report the command that failed first; the others were stopped because of it.
    errors = [future.exception() for future in made if not future.cancelled()]
    for error in sorted(filter(None, errors), key=lambda e: "stopped" in str(e)):
        raise error
