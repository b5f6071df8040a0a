"""The options of models and engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rzero_cli.engines import ENGINES
from rzero_cli.fields import option
from rzero_cli.options.panels import MODEL, VLLM


def model_option(whose: str) -> Any:
    """Declare a field that names a model; RZERO_NAME of the environment does, too."""
    return option(
        f"Checkpoint directory or hub name of the {whose}.",
        default=None,
        envvar=f"RZERO_{whose.upper()}",
        metavar="MODEL",
    )


def servers_option(help: str, **more: Any) -> Any:
    """Declare a field of the URLs of servers, on which no result depends."""
    return option(help, default=None, metavar="URL", recorded=False, **more)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChallengerModel:
    """The Challenger."""

    PANEL: ClassVar = MODEL
    challenger: str | None = model_option("Challenger")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverModel:
    """The Solver."""

    PANEL: ClassVar = MODEL
    solver: str | None = model_option("Solver")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Batching:
    """What every engine, and the trainer, can be told."""

    PANEL: ClassVar = MODEL
    batch_size: int | None = option(
        "Completions generated at a time; at each endpoint of a server.",
        unset="64 (transformers), 256 (a server), vLLM's own",
        resamples=True,
        min=1,
    )
    chat_template_arg: list[str] | None = option(
        "Passed to the model's chat template, e.g. enable_thinking=false. May be repeated.",
        default=None,
        metavar="KEY=VALUE",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ServerOptions(Batching):
    """What a server can be told as well."""

    engine_arg: list[str] | None = option(
        "Any other argument of vLLM's engine, or field of a request to a server (null leaves "
        "one of ours out). May be repeated.",
        default=None,
        metavar="KEY=VALUE",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnyEngine(ServerOptions):
    """Which engine generates, and how it is set up. `options/engine.py` makes the choice."""

    ENDPOINT: ClassVar[str]
    """The option that names servers."""
    engine: str = option(
        f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}; auto is a server where one is named, "
        "else vllm where it is installed and a GPU is there, else transformers.",
        default="auto",
        envvar="RZERO_ENGINE",
    )
    dtype: str | None = option(
        "Precision of the weights; by default float32 on a CPU, else the checkpoint's own.",
        default=None,
    )
    tensor_parallel_size: int | None = option(
        "GPUs a model is spread over.", default=None, panel=VLLM, recorded=False
    )
    data_parallel_size: int | None = option(
        "Copies of the model that share the work.", default=None, panel=VLLM, recorded=False
    )
    gpu_memory_utilization: float | None = option(
        "Share of a GPU's memory to take.", default=None, panel=VLLM, recorded=False
    )
    max_model_len: int | None = option(
        "Longest prompt and completion together.", default=None, panel=VLLM, min=1
    )
    quantization: str | None = option(
        "How weights are quantised, as vLLM names it.", default=None, panel=VLLM
    )

    @property
    def servers(self) -> list[str] | None:
        """The URLs that were named."""
        named: list[str] | None = getattr(self, self.ENDPOINT)
        return named


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EngineOptions(AnyEngine):
    """The engine of a stage that generates."""

    ENDPOINT: ClassVar = "endpoint"
    endpoint: list[str] | None = servers_option(
        "Base URL of an OpenAI-compatible server; several share the work.",
        envvar="RZERO_ENDPOINT",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverEngine(AnyEngine):
    """The engine of the frozen Solver in `challenge`."""

    ENDPOINT: ClassVar = "solver_endpoint"
    solver_endpoint: list[str] | None = servers_option(
        "Base URL of a server with the frozen Solver; several share the work.",
        envvar="RZERO_ENDPOINT",
    )
