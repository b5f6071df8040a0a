"""`rzero tiny-base`: a base model made on this machine, for trying things out (`world/`)."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._progress import progress
from rzero_cli.commands._run import Clock, say, settings_of
from rzero_cli.data.provenance import describe, write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, open_directory
from rzero_cli.engines.models import require
from rzero_cli.errors import UsageError
from rzero_cli.system.processes import importing

SIZES = ("small", "demo")


def tiny_base(
    ctx: typer.Context,
    output: opt.OutDir,
    size: Annotated[
        str,
        typer.Option("--size", help="small (seconds, for tests) or demo (two minutes)."),
    ] = "demo",
    heldout_seed: Annotated[
        int | None,
        typer.Option(
            "--heldout-seed", help="Draw held-out questions by this seed instead of --seed."
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Make it anew even if the same one was made before.")
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", help="Another seed is another base.", envvar="RZERO_SEED")
    ] = 0,
    force: opt.Force = False,
    log_file: opt.LogFile = None,
    quiet: opt.Quiet = False,
) -> None:
    """Make a small base model by pre-training it here, with its held-out questions.

    An ordinary Hugging Face checkpoint of a Llama with a chat template: it writes questions about
    the digits of numbers and answers them, some well, some about half the time, some badly.
    DIR/heldout.jsonl holds questions it was not trained on, with true answers, DIR/probe.jsonl
    others for the loop to stop by. Another --seed gives another base and other draws of both. Made
    once, a base is kept in $RZERO_CACHE (by default ~/.cache/rzero) and copied from there.

    [bold]Examples[/]

      rzero tiny-base -o base

      rzero tiny-base -o base-7 --seed 7 --size small
    """
    clock = Clock()
    if size not in SIZES:
        raise UsageError(f"--size {size}: unknown; known: {', '.join(SIZES)}")
    target = Path(output)
    check_new_directory(target, force=force)
    require("train", "torch", "transformers")
    with open_directory(target) as part:
        _fill(ctx, part, seed, size, heldout_seed, clock, no_cache=no_cache, quiet=quiet)


def _fill(
    ctx: typer.Context,
    part: Path,
    seed: int,
    size: str,
    heldout_seed: int | None,
    clock: Clock,
    *,
    no_cache: bool,
    quiet: bool,
) -> None:
    kept = cache_folder() / "tiny-base" / f"{size}-{seed}-{heldout_seed}-{_fingerprint()}"
    if kept.is_dir() and not no_cache:
        shutil.copytree(kept, part, dirs_exist_ok=True)
        say(f"tiny-base: copied from {kept}", quiet=quiet)
    else:
        _make(ctx, part, seed, size, heldout_seed, clock)
        with suppress(OSError):  # a cache is never required
            _keep(part, kept)
        say(f"tiny-base: made in {clock.seconds:.0f} s", quiet=quiet)


def _make(
    ctx: typer.Context,
    part: Path,
    seed: int,
    size: str,
    heldout_seed: int | None,
    clock: Clock,
) -> None:
    with importing():
        from transformers.utils import logging as transformers_logging

        from rzero_cli.world.pretrain import SIZES, make_tiny_base

    transformers_logging.disable_progress_bar()
    seen: dict[str, float] = {}
    with progress(ctx, SIZES[size].steps, lambda: seen, unit="steps"):

        def on_progress(steps: int, total: int, loss: float) -> None:
            nonlocal seen
            seen = {"done": steps, "loss": loss}

        metrics = make_tiny_base(
            part, seed=seed, size=size, heldout_seed=heldout_seed, on_progress=on_progress
        )
    record = describe(
        "tiny-base",
        output=ctx.params["output"],
        settings=settings_of(ctx),
        parents=[],
        seconds=clock.seconds,
        metrics=metrics,
    )
    write_checkpoint_meta(part, record)


def cache_folder() -> Path:
    """Where things made once are kept: $RZERO_CACHE, or rzero in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RZERO_CACHE") or user / "rzero")


def _fingerprint() -> str:
    """What a base depends on beside its seeds: the code that makes it, and torch."""
    digest = hashlib.sha256(version("torch").encode())
    for source in sorted(files("rzero_cli.world").iterdir(), key=lambda f: f.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _keep(made: Path, kept: Path) -> None:
    """Copy into the cache under a name of our own first, since another run may do the same."""
    mine = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.copytree(made, mine)
    try:
        mine.rename(kept)
    except OSError:
        shutil.rmtree(mine)
