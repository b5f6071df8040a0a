"""One interface to whatever generates text: prompts and sampling settings in, completions out.

An engine is opened by `open_engine` and has one method. Each engine is one module, imported only
when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.processes import importing

K = TypeVar("K")
T = TypeVar("T")

DEFAULT_BATCH_SIZE = 64
"""Completions that transformers generates at a time, in its engine and in training."""

ENGINES = ("auto", "transformers", "vllm", "openai")


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


Asked = Iterable[tuple[K, Prompt]]
"""Prompts, each with whatever it belongs to."""
Completed = Iterator[tuple[K, list[Completion]]]
Keep = Callable[[int, list[Completion]], None]


class Engine(Protocol):
    """Something that completes prompts. An engine has `complete` and inherits `generate`."""

    def complete(
        self,
        asked: Asked[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts, lazily read with bounded look-ahead, and yield each as it finishes.

        Args:
            asked: all prompts of the stage, from the first. A conversation is put to the model
                by its chat template; a text is given to it as it is, and treated as lm-eval
                treats one (`chat.encode`, `chat.end_tokens`, `chat.room_for_prompt`).
            sampling: n completions for each.
            done: places in `asked`, from 0, of prompts to leave out because an earlier run has
                completed them. The others are completed as if nothing had been left out.
                A place is looked up when its prompt has been read.
            keep: given the place and the completions of a prompt that has to wait to be yielded,
                since the caller is busy with others. From any thread.

        Yields:
            What a prompt belongs to, with its `sampling.n` completions. An error of `asked` comes
            after the results of the prompts before it.
        """
        ...

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[list[Completion]]:
        """Complete prompts, and yield the completions in the order of the prompts."""
        return in_turn(self.complete(enumerate(prompts), sampling))


def in_turn(results: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Yield numbered results in the order of their numbers, which begin at 0, as soon as it can."""
    waiting, turn = dict[int, T](), 0
    for number, result in results:
        waiting[number] = result
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1


def open_engine(
    name: str,
    model: str | None,
    *,
    batch_size: int | None = None,
    endpoints: Sequence[str] = (),
    template_args: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    notify: Callable[[str], None] = lambda message: None,
) -> AbstractContextManager[Engine]:
    """Load `model` into the engine called `name`.

    Args:
        name: one of `ENGINES`; "auto" is a server where endpoints are named, else vLLM where it is
            installed and a GPU is there, else transformers.
        model: a checkpoint or adapter, checked by `models.check_model`; for a server its name
            there, or None for the only one it has.
        batch_size: completions generated at a time; None is the engine's own choice.
        endpoints: base URLs of servers.
        template_args: for the model's chat template.
        arguments: the engine's own arguments by their own names: of vLLM's engine, or further
            fields of each request to a server; of the transformers engine `dtype` alone.
        seed: of an engine that has one of its own (vLLM); others draw by `Sampling.seed`.
        notify: told in one line what a person who waits should know.

    Raises:
        UsageError: the engine is unknown or its packages are not installed.
        RzeroError: the model cannot be loaded, or no server answers.
    """
    chosen = check_engine(name, endpoints)
    shared: dict[str, Any] = {
        "batch_size": batch_size,
        "template_args": template_args,
        "notify": notify,
    }
    if chosen == "openai":
        from rzero_cli.engines.openai import OpenAIEngine

        return OpenAIEngine(model, endpoints, arguments=arguments, **shared)
    if model is None:
        raise UsageError(f"--engine {chosen} needs a model")
    if chosen == "auto" and find_spec("vllm") is not None:
        import torch

        chosen = "vllm" if torch.cuda.is_available() else "transformers"
    if chosen == "vllm":
        from rzero_cli.engines.vllm import VllmEngine

        return VllmEngine(model, arguments=arguments, seed=seed, **shared)
    with importing():
        from rzero_cli.engines.transformers import TransformersEngine

    return TransformersEngine(model, dtype=(arguments or {}).get("dtype"), **shared)


def check_engine(name: str, endpoints: Sequence[str] = ()) -> str:
    """The engine meant by `name`, as far as that can be told without loading anything.

    Raises:
        UsageError: there is none of that name, its packages are not installed, or endpoints are
            missing or named for nothing.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: unknown; known: {', '.join(ENGINES)}")
    if name == "auto" and endpoints:
        name = "openai"
    if (name == "openai") != bool(endpoints):
        raise UsageError(
            "--engine openai needs --endpoint URL"
            if name == "openai"
            else f"--endpoint goes with --engine openai, not {name}"
        )
    from rzero_cli.engines.models import require  # so it does without this

    if name in ("vllm", "openai"):  # packages and extras of the same names
        require(name, name)
    return name


def derived_seed(*place: int) -> int:
    """A seed for one part of a run: far from its neighbours', the same on every machine."""
    import hashlib  # `filter` starts without

    digest = hashlib.sha256(repr(place).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
