"""One interface to whatever generates text: prompts and sampling settings in, completions out.

`open_engine` opens an engine, which has one method. Each engine is one module, imported only when
it is used.
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
"""Completions per batch with transformers, in its engine and in training."""

NO_VLLM = "there is a GPU but vLLM is not installed: pip install '.[vllm]' in the clone, or "
ENGINES = ("auto", "transformers", "vllm", "openai")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling settings."""

    n: int = 1
    """Completions per prompt."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    max_tokens: int = 4096
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Strings that end a completion; they are not part of it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion of a prompt."""

    text: str
    tokens: int
    truncated: bool
    """It reached `max_tokens`."""


Prompts = Iterable[tuple[K, Prompt]]
"""Prompts, each with an item of the caller's that is returned with its completions."""
Completed = Iterator[tuple[K, list[Completion]]]
Keep = Callable[[int, list[Completion]], None]


class Engine(Protocol):
    """A model that completes prompts. An engine implements `complete` and inherits `generate`."""

    def complete(
        self,
        prompts: Prompts[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts, read lazily with bounded look-ahead, and yield each as it finishes.

        Args:
            prompts: (item, prompt) pairs: all prompts of the stage, from the first. A conversation
                is rendered with the model's chat template. A text is a raw prompt, handled as
                lm-eval does (`chat.encode`, `chat.end_tokens`, `chat.room_for_prompt`).
            sampling: `sampling.n` completions per prompt.
            done: indices in `prompts`, from 0, of prompts that an earlier run has completed; they
                are skipped. The others are completed as if none had been skipped. An index is
                looked up after its prompt has been read.
            keep: called from any thread with the index and the completions of a prompt whose
                result has to wait because the caller is busy with others.

        Yields:
            The item of a prompt, with its `sampling.n` completions. An error of `prompts` is raised
            after the results of the prompts before it.
        """
        ...

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[list[Completion]]:
        """Complete prompts and yield `sampling.n` completions for each, in order."""
        return in_turn(self.complete(enumerate(prompts), sampling))


def in_turn(results: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Yield results in the order of their numbers, which start at 0, as early as possible."""
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
        name: one of `ENGINES`; "auto" is a server if there are endpoints, else vLLM on a machine
            with a GPU, else transformers.
        model: a checkpoint or adapter that `models.check_model` has accepted. For a server, the
            model's name there, or None if it serves only one.
        batch_size: completions generated at a time; None is the engine's default.
        endpoints: base URLs of servers.
        template_args: arguments of the model's chat template.
        arguments: engine arguments by their own names: vLLM's engine arguments, additional fields
            of each request to a server, or `dtype` for transformers, which ignores all others.
        seed: vLLM's engine seed; the other engines use `Sampling.seed`.
        notify: called with one-line notices for the user.

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
    if chosen == "auto":
        chosen = engine_here()
    if chosen == "vllm":
        from rzero_cli.engines.vllm import VllmEngine

        return VllmEngine(model, arguments=arguments, seed=seed, **shared)
    with importing():
        from rzero_cli.engines.transformers import TransformersEngine

    return TransformersEngine(model, dtype=(arguments or {}).get("dtype"), **shared)


def check_engine(name: str, endpoints: Sequence[str] = ()) -> str:
    """Return the engine that `name` selects, loading nothing; "auto" may remain "auto".

    Raises:
        UsageError: the name is unknown, its packages are not installed, or endpoints are missing
            or unused.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: unknown; known: {', '.join(ENGINES)}")
    if name == "auto" and endpoints:
        name = "openai"
    if (name == "openai") != bool(endpoints):
        raise UsageError(
            "--engine openai needs --endpoint URL"
            if name == "openai"
            else f"--endpoint requires --engine openai, not {name}"
        )
    from rzero_cli.engines.models import require  # deferred: commands without a model skip it

    if name in ("vllm", "openai"):  # each package has an extra of the same name
        require(name, name)
    return name


def engine_here() -> str:
    """Return the engine of "auto" without a server: vLLM on a machine with a GPU, else
    transformers.

    Raises:
        UsageError: there is a GPU, but vLLM is not installed. transformers would take days.
    """
    with importing():
        import torch
    if not torch.cuda.is_available():
        return "transformers"
    if find_spec("vllm") is None:
        raise UsageError(NO_VLLM + "--engine transformers")
    return "vllm"


def derived_seed(*place: int) -> int:
    """Return a seed in [0, 2^63) for one part of a run, unrelated to its neighbours' and the same
    on every machine."""
    import hashlib  # deferred: `filter` starts faster without it

    digest = hashlib.sha256(repr(place).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
