"""`rzero guard`: is it time to stop, and which Solver to ship (`analysis/collapse.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rzero_cli.analysis.collapse import GUARDS, LEAST_FALL, judge, sources
from rzero_cli.analysis.drift import LEAST_DISTINCT
from rzero_cli.commands import _options as opt
from rzero_cli.commands._output import hashed
from rzero_cli.commands._run import Clock, print_json, settings_of
from rzero_cli.data.provenance import describe
from rzero_cli.data.whole_files import check_new_file, write_json
from rzero_cli.errors import UsageError
from rzero_cli.method.rewards import check_tokenizer
from rzero_cli.system.terminal import printable

BLEU, TAU_BLEU = opt.distance("guard")


def guard(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN_DIR", help="The folder of a run.")],
    guard: Annotated[
        str,
        typer.Option(
            "--guard", help=f"What to look at: {' or '.join(GUARDS)}, or both with a comma."
        ),
    ] = GUARDS[0],
    iteration: Annotated[
        int | None,
        typer.Option(
            "--iteration",
            help="Look at the iterations up to this one.",
            show_default="all that are there",
            min=1,
        ),
    ] = None,
    least_fall: Annotated[
        float,
        typer.Option(
            "--least-fall",
            help="probe: below the best score by more than this, a share of 1, and by more than "
            "its noise.",
            min=0.0,
            max=1.0,
        ),
    ] = LEAST_FALL,
    least_share: Annotated[
        float,
        typer.Option(
            "--least-share",
            help="diversity: so much must be left of what differed in the first iteration.",
            min=0.0,
            max=1.0,
        ),
    ] = LEAST_DISTINCT,
    bleu: Annotated[str, BLEU] = opt.PRESET,
    tau_bleu: Annotated[float, TAU_BLEU] = opt.PRESET,
    seed: opt.Seed = opt.PRESET,
    as_json: opt.Json = False,
    output: opt.Out = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    preset: opt.Preset = opt.PRESET,
    config: opt.Config = None,
) -> None:
    """Say whether a run has begun to collapse, and which of its Solvers to ship.

    The loop's Makefile calls it after each iteration where GUARD is set. `probe`: the Solver's
    score on a held-out file, iter-K/probe.json, fell below the best one before by more than the
    noise of their difference, paired by question. `diversity`: iter-K/labeled.jsonl has fewer
    different answers or questions than that of iteration 1, as `rzero stats` warns of it, or none.
    Prints one line; ends with status 0 either way.

    [bold]Examples[/]

      rzero guard runs/demo

      rzero guard runs/demo --guard probe,diversity --least-share 0.6 --json | jq .tripped
    """
    clock = Clock()
    names = [name.strip() for name in guard.split(",")]
    for name in names:
        if name not in GUARDS:
            raise UsageError(f"--guard {name}: unknown; known: {', '.join(GUARDS)}")
    check_tokenizer("--bleu", bleu)
    target = Path(output) if output and output != "-" else None
    if target:
        check_new_file(target, force=force)
    read = [str(path) for files in sources(Path(run), names, iteration) for path in files]
    parents = hashed(*read) if target else []
    found = judge(
        Path(run),
        names,
        iteration,
        least_fall=least_fall,
        least_share=least_share,
        seed=seed,
        tau_bleu=tau_bleu,
        bleu=bleu,
    )
    if target:
        record = describe(
            "guard",
            output=str(output),
            settings=settings_of(ctx),
            parents=parents,
            seconds=clock.seconds,
            metrics={name: found[name] for name in ("iteration", "tripped", "best")},
        )
        write_json(target, found | {"origin": record})
    if as_json or output == "-":
        print_json(found)
    elif not quiet:
        typer.echo(printable(found["verdict"]))
