"""`rzero guard`: detect collapse and pick the Solver to ship (`analysis/collapse.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import typer

from rzero_cli.analysis.collapse import GUARDS, LEAST_FALL, judge, sources
from rzero_cli.analysis.drift import LEAST_DISTINCT
from rzero_cli.data.whole_files import check_new_file, write_json
from rzero_cli.errors import UsageError
from rzero_cli.fields import argument, option
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Json, Seed, Target
from rzero_cli.options.general import General
from rzero_cli.options.method_groups import Distance
from rzero_cli.options.target import hashed, origin_of
from rzero_cli.system.messages import print_json
from rzero_cli.system.terminal import printable


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Guarded:
    """A run and the guards to apply."""

    PANEL: ClassVar = None
    run: str = argument("Folder of the run.", metavar="RUN_DIR")
    guard: str = option(
        f"Guard to apply: {' or '.join(GUARDS)}, or both separated by a comma.",
        default=GUARDS[0],
        unset=True,
    )
    iteration: int | None = option(
        "Last iteration to include.",
        default=None,
        unset="the last in RUN_DIR",
        min=1,
    )
    least_fall: float = option(
        "probe: trip only if the whole 95 % interval of the drop exceeds this, from 0 to 1.",
        default=LEAST_FALL,
        unset=True,
        min=0.0,
        max=1.0,
    )
    least_share: float = option(
        "diversity: minimum fraction of iteration 1's distinct answers and questions.",
        default=LEAST_DISTINCT,
        unset=True,
        min=0.0,
        max=1.0,
    )


@command("guard", General)
def guard(
    call: Call,
    guarded: Guarded,
    distance: Distance,
    seeded: Seed,
    form: Json,
    target: Target,
) -> None:
    """Check whether a run has started to collapse, and which Solver to ship.

    The loop's Makefile calls it after each iteration if GUARD is set. `probe` trips if the Solver's
    score on the probe file (iter-K/probe.json) falls below the best earlier score by more than the
    noise of their paired difference. `diversity` trips if iter-K/labeled.jsonl has fewer distinct
    answers or questions than iteration 1, by the thresholds of `rzero stats`, or none at all.
    Prints one line; the exit status is 0 either way.

    [bold]Examples[/]

      rzero guard runs/demo

      rzero guard runs/demo --guard probe,diversity --least-share 0.6 --json | jq .tripped
    """
    names = [name.strip() for name in guarded.guard.split(",")]
    for name in names:
        if name not in GUARDS:
            raise UsageError(f"--guard {name}: unknown; known: {', '.join(GUARDS)}")
    distance.check()
    run, output = Path(guarded.run), target.output
    file = Path(output) if output and output != "-" else None
    if file:
        check_new_file(file, force=target.force)
    read = [str(path) for files in sources(run, names, guarded.iteration) for path in files]
    parents = hashed(*read) if file else []
    found = judge(
        run,
        names,
        guarded.iteration,
        least_fall=guarded.least_fall,
        least_share=guarded.least_share,
        seed=seeded.seed,
        **vars(distance),
    )
    if file:
        metrics = {name: found[name] for name in ("iteration", "tripped", "best")}
        write_json(file, found | {"origin": origin_of(call, str(output), parents, metrics)})
    if form.as_json or output == "-":
        print_json(found)
    elif not call.quiet:
        typer.echo(printable(found["verdict"]))
