"""The study of docs/evidence.md: make its runs, tables and pictures.

    python -m tests.study run        or: make evidence, which also writes the tables
    python -m tests.study tables
    python -m tests.study check

`run` makes the runs declared in `docs/evidence/plan.toml` and collects each one into
`docs/evidence/runs/BASE.json`. `tables` rewrites the page's generated parts and its pictures from
these files alone. `test_evidence_page.py` fails when they are out of date.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rzero_cli.errors import RzeroError

from .collect import write_collected
from .declared_plan import Plan, read_plan
from .evidence_page import EVIDENCE, pages
from .runner import Failed, run

COLLECTED = EVIDENCE / "runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the study and return its exit status."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m tests.study", description=summary)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="make the runs of the plan and collect them")
    runner.add_argument("--jobs", type=int, default=2, help="bases to run in parallel (2)")
    runner.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), help="relative to the repository root (runs)"
    )
    runner.add_argument("--only", type=int, nargs="+", default=[], metavar="BASE")
    runner.add_argument("--parts", nargs="+", default=[], metavar="PART")
    collector = commands.add_parser("collect", help="collect each run into one small file")
    collector.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    collector.add_argument("--into", type=Path, default=COLLECTED, help="(docs/evidence/runs)")
    commands.add_parser("tables", help="rewrite the page's generated parts and its pictures")
    commands.add_parser("check", help="fail if `tables` would change anything")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: ends the makes, too
    try:
        plan = read_plan(EVIDENCE / "plan.toml")
        if given.command == "run":
            if unknown := {*given.parts} - {part.name for part in plan.parts}:
                parser.error(f"--parts: not in plan.toml: {', '.join(sorted(unknown))}")
            planned = {base for part in plan.parts for base in part.bases}
            if others := {*given.only} - planned:
                parser.error(f"--only: not in plan.toml: {', '.join(map(str, sorted(others)))}")
            folders = {"runs": given.runs_dir, "into": COLLECTED}
            run(plan, jobs=given.jobs, only=given.only, parts=given.parts, **folders)
        elif given.command == "collect":
            for folder in given.runs:
                print(write_collected(plan, folder, given.into))
        else:
            return _update_page(plan, write=given.command == "tables")
    except (Failed, RzeroError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study: interrupted; run it again to continue", file=sys.stderr)
        return 130
    return 0


def _update_page(plan: Plan, *, write: bool) -> int:
    """Write or check the page and the pictures; return the exit status."""
    stale = 0
    for path, text in pages(plan, COLLECTED).items():
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if write:
            path.write_text(text, "utf-8")
        print(path if write else f"{path}: out of date; run: python -m tests.study tables")
    return int(stale > 0 and not write)


if __name__ == "__main__":
    sys.exit(main())
