"""`rzero tiny-base`: a small base model trained on this machine (`world/`)."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from rzero_cli.data.provenance import write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, open_directory
from rzero_cli.engines.models import require
from rzero_cli.errors import UsageError
from rzero_cli.fields import option
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Messages, NewCheckpoint
from rzero_cli.options.stage_progress import progress
from rzero_cli.options.target import origin_of
from rzero_cli.system.processes import importing

SIZES = ("small", "demo")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Base:
    """The size and seeds of the base model."""

    PANEL: ClassVar = None
    size: str = option(
        "Model size: small (seconds, for tests) or demo (two minutes).", default="demo", unset=True
    )
    heldout_seed: int | None = option(
        "Seed of the held-out questions, instead of --seed.", default=None
    )
    no_cache: bool = option("Train again even if this base is in the cache.", default=False)
    seed: int = option(
        "Seed of the base and its questions.", default=0, unset=True, envvar="RZERO_SEED"
    )


@command("tiny-base", Messages)
def tiny_base(call: Call, base: Base, target: NewCheckpoint) -> None:
    """Pre-train a small base model on this machine, with held-out questions.

    The base is a Hugging Face checkpoint of a small Llama with a chat template. It generates and
    answers questions about the digits of numbers: some well, some about half the time, some badly.
    DIR/heldout.jsonl has held-out questions with true answers, and DIR/probe.jsonl has others for
    early stopping. A different --seed gives a different base and different questions. A base is
    cached in $RZERO_CACHE (default ~/.cache/rzero) and copied from there next time.

    [bold]Examples[/]

      rzero tiny-base -o base

      rzero tiny-base -o base-7 --seed 7 --size small
    """
    if base.size not in SIZES:
        raise UsageError(f"--size {base.size}: unknown; known: {', '.join(SIZES)}")
    output = Path(target.output)
    check_new_directory(output, force=target.force)
    require("train", "torch", "transformers")
    name = f"{base.size}-{base.seed}-{base.heldout_seed}-{_fingerprint()}"
    cached = cache_folder() / "tiny-base" / name
    with open_directory(output) as part:
        if cached.is_dir() and not base.no_cache:
            shutil.copytree(cached, part, dirs_exist_ok=True)
            call.say(f"copied from {cached}")
        else:
            _make(call, base, target.output, part)
            with suppress(OSError):  # a cache is never required
                _keep(part, cached)
            call.say(f"trained in {call.seconds:.0f} s")


def _make(call: Call, base: Base, output: str, part: Path) -> None:
    with importing():
        from transformers.utils import logging as transformers_logging

        from rzero_cli.world.pretrain import SIZES, make_tiny_base

    transformers_logging.disable_progress_bar()
    seen: dict[str, float] = {}
    with progress(call, SIZES[base.size].steps, lambda: seen, unit="steps"):

        def on_progress(steps: int, total: int, loss: float) -> None:
            nonlocal seen
            seen = {"done": steps, "loss": loss}

        metrics = make_tiny_base(
            part,
            seed=base.seed,
            size=base.size,
            heldout_seed=base.heldout_seed,
            on_progress=on_progress,
        )
    write_checkpoint_meta(part, origin_of(call, output, [], metrics))


def cache_folder() -> Path:
    """Return the cache folder: $RZERO_CACHE, or rzero in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RZERO_CACHE") or user / "rzero")


def _fingerprint() -> str:
    """Return a hash of what else a base depends on: the code that makes it, and torch."""
    digest = hashlib.sha256(version("torch").encode())
    for source in sorted(files("rzero_cli.world").iterdir(), key=lambda f: f.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _keep(made: Path, kept: Path) -> None:
    """Copy into the cache under a unique name, then rename: another run may do the same."""
    mine = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.copytree(made, mine)
    try:
        mine.rename(kept)
    except OSError:
        shutil.rmtree(mine)
