"""The directory a training leaves: unfinished as `DIR.part`, then whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rzero_cli.core.processes import rank
from rzero_cli.core.streams import can_continue, part_of, write_json
from rzero_cli.errors import AlreadyDone
from rzero_cli.training.ranks import on_first, wait

__all__ = ["STATES", "last_state", "open_checkpoint", "save_as_it_is"]

STATES = "checkpoints"
"""In the unfinished directory: the trainer's states, to go on from."""

_SETTINGS = ".settings.json"


@contextmanager
def open_checkpoint(
    target: Path, *, settings: dict[str, Any], resume: bool, force: bool
) -> Iterator[Path]:
    """The unfinished directory `TARGET.part`, which becomes `target` when the block ends well.

    Of several processes the first one makes it, before any of them goes on.

    Raises:
        UsageError: as `core.streams.open_output`.
        AlreadyDone: with `resume`, when the target is complete.
    """
    part = part_of(target)
    on_first(lambda: _begin(target, part, settings, resume=resume, force=force))
    try:
        yield part
    except BaseException:
        if not rank() and last_state(part) is None:  # nothing to go on from
            shutil.rmtree(part, ignore_errors=True)
        raise
    wait()
    if not rank():
        shutil.rmtree(part / STATES, ignore_errors=True)
        (part / _SETTINGS).unlink()
        if target.exists():
            shutil.rmtree(target)
        part.replace(target)


def _begin(
    target: Path, part: Path, settings: dict[str, Any], *, resume: bool, force: bool
) -> None:
    if resume and target.exists() and not force:
        raise AlreadyDone(f"{target} is complete already")
    if not can_continue(target, part, part / _SETTINGS, settings, force=force, resume=resume):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        write_json(part / _SETTINGS, settings)


def last_state(part: Path) -> Path | None:
    """The newest whole state in an unfinished directory."""
    states = (part / STATES).glob("checkpoint-*")
    found = [path for path in states if (path / "trainer_state.json").is_file()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def save_as_it_is(model: str, folder: Path) -> None:
    """Write `model` into `folder`, untrained; an adapter merged into its base. In float32, like
    what is trained: bfloat16 would round what the adapter has learned away."""
    from rzero_cli.engines.transformers import load_model, load_tokenizer

    load_model(model, training=True).save_pretrained(folder)
    load_tokenizer(model).save_pretrained(folder)
