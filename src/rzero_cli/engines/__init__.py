"""One interface to whatever generates text: prompts and sampling settings in, completions out.

An engine is opened by `open_engine` and has one method. Each engine is one module, imported only
when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from rzero_cli.core.prompts import Messages
from rzero_cli.errors import UsageError

__all__ = [
    "ENGINES",
    "Completion",
    "Engine",
    "Sampling",
    "check_engine",
    "derived_seed",
    "open_engine",
]

ENGINES = ("auto", "transformers")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn."""

    n: int = 1
    """Completions for each prompt."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    max_tokens: int = 4096
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Texts that end a completion; they are not a part of it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model."""

    text: str
    tokens: int
    truncated: bool
    """Cut off at `max_tokens`."""


class Engine(Protocol):
    """Something that completes prompts."""

    def generate(
        self, prompts: Iterable[Messages], sampling: Sampling, *, start: int = 0
    ) -> Iterator[list[Completion]]:
        """Complete prompts, lazily read with bounded look-ahead, in their order.

        Args:
            prompts: all prompts of the stage, from the first.
            sampling: n completions for each.
            start: how many results to leave out, because an earlier run has them. The others
                come out as if nothing had been left out.

        Yields:
            `sampling.n` completions for each prompt from number `start` on, as they finish.
        """
        ...


def open_engine(name: str, model: str, *, batch_size: int = 64) -> AbstractContextManager[Engine]:
    """Load `model` (a local directory or a hub name) into the engine called `name`.

    Args:
        name: "transformers", or "auto", which takes the best one there is.
        model: a checkpoint, checked by `models.check_model`.
        batch_size: completions generated at a time.

    Raises:
        UsageError: the engine is unknown or its packages are not installed.
        RzeroError: the model cannot be loaded.
    """
    check_engine(name)
    from rzero_cli.engines.transformers import TransformersEngine

    return TransformersEngine(model, batch_size=batch_size)


def check_engine(name: str) -> None:
    """Raise UsageError unless there is an engine called `name`."""
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: unknown; known: {', '.join(ENGINES)}")


def derived_seed(*place: int) -> int:
    """A seed for one part of a run: far from its neighbours', the same on every machine."""
    digest = hashlib.sha256(repr(place).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
