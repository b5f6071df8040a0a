"""Checkpoint directories of trainings: `DIR.part` until complete, then renamed to `DIR`.

The record is written last, so an unfinished directory that has one only needs to be renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rzero_cli.data.journal import SETTINGS, can_continue, held_to_make
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import part_of, put_in_place
from rzero_cli.system.processes import importing, rank
from rzero_cli.system.write_errors import named
from rzero_cli.training.ranks import on_first, wait

STATES = "checkpoints"
"""The trainer's resumable states, in the unfinished directory."""


@contextmanager
def open_checkpoint(
    target: Path, *, settings: dict[str, Any], resume: bool, force: bool
) -> Iterator[tuple[Path, bool]]:
    """Open the directory `TARGET.part` and rename it to `target` when the block succeeds.

    Rank 0 creates it before any process continues.

    Args:
        target: the finished directory.
        settings: options that a resumed run must share.
        resume: continue an unfinished directory.
        force: replace an existing target.

    Yields:
        The directory, and whether an earlier run has completed its content.

    Raises:
        UsageError: as `data.journal.open_output`.
        AlreadyDone: with `resume`, if the target is complete.
    """
    part = part_of(target)

    def kept() -> str:
        return "; its last state is kept, continue with --resume" if last_state(part) else ""

    with named(part, kept), ExitStack() as stack:

        def start() -> bool:
            stack.enter_context(held_to_make(target, force=force, resume=resume))
            with named(part, kept):  # here, too, or the other ranks would not get the error
                if can_continue(target, part / SETTINGS, settings, force=force, resume=resume):
                    for left in part.glob(".tmp*"):  # safetensors', killed while it saved
                        left.unlink()
                    return _is_finished(part)
                _make_part(part, settings)
                return False

        finished = on_first(start)
        try:
            yield part, finished
        except BaseException:
            if not (rank() or last_state(part) or _is_finished(part)):  # nothing to resume
                shutil.rmtree(part, ignore_errors=True)
            raise
        wait()
        if not rank():
            shutil.rmtree(part / STATES, ignore_errors=True)
            put_in_place(part, target)
            (target / SETTINGS).unlink()


def _make_part(part: Path, settings: dict[str, Any]) -> None:
    """Create the unfinished directory, which never exists without its settings."""
    shutil.rmtree(part, ignore_errors=True)
    new = part.with_name(f".{part.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        (new / SETTINGS).write_text(json.dumps(settings), "utf-8")
        new.replace(part)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _is_finished(part: Path) -> bool:
    """Return whether the directory is complete: the record is written last."""
    return (part / CHECKPOINT_META).is_file()


def last_state(part: Path) -> Path | None:
    """Return the newest complete state in an unfinished directory."""
    return max(filter(_is_whole, _states(part)), key=_step, default=None)


def only_state(part: Path) -> None:
    """Remove all states but the newest complete one, after flushing that to disk."""
    if (newest := last_state(part)) is None:
        return
    for path in newest.iterdir():
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    for state in _states(part):
        if _step(state) < _step(newest):
            shutil.rmtree(state)


def _states(part: Path) -> list[Path]:
    return list((part / STATES).glob("checkpoint-*"))


def _step(state: Path) -> int:
    return int(state.name.split("-")[1])


def _is_whole(state: Path) -> bool:
    """Return whether a state is complete: the trainer writes `trainer_state.json` last."""
    with suppress(OSError, ValueError):
        written = json.loads((state / "trainer_state.json").read_text("utf-8"))
        return bool(written.get("global_step") == _step(state))
    return False


def save_as_it_is(model: str, folder: Path) -> None:
    """Write `model` into `folder` untrained, an adapter merged into its base.

    In float32, as in training: bfloat16 would round away what the adapter has learned.

    Raises:
        RzeroError: as `engines.transformers.load_model`.
    """
    with importing():
        from rzero_cli.engines.transformers import load_model, load_tokenizer

    load_model(model, training=True).save_pretrained(folder)
    load_tokenizer(model).save_pretrained(folder)
