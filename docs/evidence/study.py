"""The study of docs/evidence.md: its runs, and the tables and pictures of them.

    python docs/evidence/study.py run        or: make evidence, which also makes the tables
    python docs/evidence/study.py tables
    python docs/evidence/study.py check

`run` makes what `plan.toml` declares and collects each run into `runs/BASE.json`; from these files
alone `tables` rewrites the page's generated parts and its pictures. `tests/test_evidence.py` fails
when they are not what the files give.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from collect import collect, dump
from plan import Part, Plan, read_plan
from rzero_cli.errors import RzeroError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
COLLECTED = HERE / "runs"

# What of the caller's environment would change what the recipe does.
_RECIPE = ("GUARD", "PROBE", "DEDUP", "LOG_FILE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


class Failed(Exception):
    """A step of the study did not end well; its message is for the person."""


# ---------------------------------------------------------------- run


class Makes:
    """Runs make, in several threads, and ends all that run when one of them fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def make(self, arguments: Sequence[str], log: Path) -> None:
        """Run make to its end; what it and the stages say goes to the end of `log`.

        Raises:
            Failed: it ended with another status than 0, or was stopped.
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
        """End what runs, which ends its stages, and begin nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def _environment() -> dict[str, str]:
    """The caller's, without what changes a stage or the recipe; one core for each stage."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _RECIPE
        and not name.endswith("_FLAGS")
        and (not name.startswith("RZERO_") or name in ("RZERO_CACHE", "RZERO_WARM"))
    }
    return kept | {"OMP_NUM_THREADS": "1"}


def steps(plan: Plan, part: Part, base: int, runs: Path) -> Iterator[tuple[str, list[str]]]:
    """What is made of a part on one base: the name of each step, and the arguments of make."""
    model = runs / f"tiny-base-{plan.size}-{base}"
    common = [f"RZERO={sys.executable} -m rzero_cli", f"RUNS={runs}", f"SEED={base}"]
    yield "base", [*common, f"SIZE={plan.size}", f"{model}/rzero.json"]
    folder = run_of(runs, base, part)
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


def run_of(runs: Path, base: int, part: Part | None = None) -> Path:
    """The folder of a base's run; a part with options of its own has one of its own."""
    apart = f"-{part.name}" if part and part.solver_flags else ""
    return runs / f"evidence-{base}{apart}"


def _to(iterations: int) -> range:
    return range(1, iterations + 1)


def run(plan: Plan, *, jobs: int, runs: Path, only: Sequence[int], parts: Sequence[str]) -> None:
    """Make the parts of the plan, several bases at a time, and collect each run after each part.

    Args:
        runs: where the runs are kept, from the root of the repository.
        only: bases; all where it is empty. `parts` likewise.

    Raises:
        Failed: a step failed. What was made stays, and another call goes on from there.
    """
    makes = Makes()
    locks = {base: threading.Lock() for part in plan.parts for base in part.bases}

    def make(part: Part, base: int) -> None:
        with locks[base]:  # two makes in one folder would make the same file
            folder = ROOT / run_of(runs, base, part)
            folder.mkdir(parents=True, exist_ok=True)
            for name, arguments in steps(plan, part, base, runs):
                start = time.monotonic()
                try:
                    makes.make(arguments, folder / "study.log")
                except Failed as failed:
                    raise Failed(f"base {base}, {part.name}, {name}: {failed}") from None
                minutes = (time.monotonic() - start) / 60
                print(f"base {base}, {part.name}, {name}: {minutes:.1f} min", flush=True)
            if (whole := ROOT / run_of(runs, base) / "base" / "eval.json").is_file():
                write_collected(plan, whole.parent.parent, COLLECTED)

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


def write_collected(plan: Plan, folder: Path, into: Path) -> Path:
    """Collect a run, with those apart beside it, into a file of its base's number; gives it."""
    apart = {part.name: folder.with_name(f"{folder.name}-{part.name}") for part in plan.parts}
    found = collect(folder, {name: path for name, path in apart.items() if path.is_dir()})
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{found['base']}.json"
    part = path.with_suffix(".part")
    part.write_text(dump(found), "utf-8")
    part.replace(path)
    return path


# ---------------------------------------------------------------- the command line


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="make the runs of the plan, and collect them")
    runner.add_argument("--jobs", type=int, default=2, help="bases at a time (2)")
    runner.add_argument("--runs-dir", type=Path, default=Path("runs"), help="from the root (runs)")
    runner.add_argument("--only", type=int, nargs="+", default=[], metavar="BASE")
    runner.add_argument("--parts", nargs="+", default=[], metavar="PART")
    collector = commands.add_parser("collect", help="collect runs into a small file each")
    collector.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    collector.add_argument("--into", type=Path, default=COLLECTED, help="(docs/evidence/runs)")
    commands.add_parser("tables", help="rewrite the page's generated parts and its pictures")
    commands.add_parser("check", help="fail where they are not what the collected files give")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the makes end with us
    try:
        plan = read_plan(HERE / "plan.toml")
        if given.command == "run":
            if unknown := {*given.parts} - {part.name for part in plan.parts}:
                parser.error(f"--parts: not in plan.toml: {', '.join(sorted(unknown))}")
            planned = {base for part in plan.parts for base in part.bases}
            if others := {*given.only} - planned:
                parser.error(f"--only: not in plan.toml: {', '.join(map(str, sorted(others)))}")
            options = {"only": given.only, "parts": given.parts}
            run(plan, jobs=given.jobs, runs=given.runs_dir, **options)
        elif given.command == "collect":
            for folder in given.runs:
                print(write_collected(plan, folder, given.into))
        else:
            return _page(plan, write=given.command == "tables")
    except (Failed, RzeroError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _page(plan: Plan, *, write: bool) -> int:
    """Write, or else check, the page and the pictures; gives the exit status."""
    # Blocks of pages are filled as docs/generate.py fills them.
    sys.path.append(str(HERE.parent))
    from page import pages

    stale = 0
    for path, text in pages(plan, COLLECTED).items():
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if write:
            path.write_text(text, "utf-8")
        print(path if write else f"{path}: out of date: python docs/evidence/study.py tables")
    return int(stale > 0 and not write)


if __name__ == "__main__":
    sys.exit(main())
