"""The options of models and engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rzero_cli.engines import ENGINES
from rzero_cli.fields import option
from rzero_cli.options.panels import MODEL, VLLM


def model_option(whose: str) -> Any:
    """Declare a field that names a model; the environment variable RZERO_NAME also sets it."""
    return option(
        f"Checkpoint directory or hub name of the {whose}.",
        default=None,
        envvar=f"RZERO_{whose.upper()}",
        metavar="MODEL",
    )


def servers_option(help: str, **more: Any) -> Any:
    """Declare a field of server URLs, which do not affect the result."""
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
    """The options of every engine and of the trainer."""

    PANEL: ClassVar = MODEL
    batch_size: int | None = option(
        "Completions generated at once, per endpoint.",
        unset="64 (transformers), 256 (servers), vLLM's own",
        resamples=True,
        min=1,
    )
    chat_template_arg: list[str] | None = option(
        "Argument of the model's chat template, e.g. enable_thinking=false. May be repeated.",
        default=None,
        metavar="KEY=VALUE",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ServerOptions(Batching):
    """The options of servers."""

    engine_arg: list[str] | None = option(
        "Any other vLLM engine argument, or request field for a server (null removes one that "
        "rzero sends). May be repeated.",
        default=None,
        metavar="KEY=VALUE",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnyEngine(ServerOptions):
    """The choice and settings of the engine, evaluated in `options/engine.py`."""

    ENDPOINT: ClassVar[str]
    """The option that names servers."""
    engine: str = option(
        f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}. auto is a server if one is named, else "
        "vllm on a machine with a GPU, else transformers.",
        default="auto",
        envvar="RZERO_ENGINE",
    )
    dtype: str | None = option(
        "Data type of the weights. Default: float32 on CPUs, bfloat16 on GPUs.",
        default=None,
    )
    tensor_parallel_size: int | None = option(
        "GPUs per copy of the model (tensor parallelism).",
        default=None,
        panel=VLLM,
        recorded=False,
    )
    data_parallel_size: int | None = option(
        "Copies of the model (data parallelism).", default=None, panel=VLLM, recorded=False
    )
    gpu_memory_utilization: float | None = option(
        "Fraction of GPU memory for vLLM, from 0 to 1.", default=None, panel=VLLM, recorded=False
    )
    max_model_len: int | None = option(
        "Maximum tokens of prompt plus completion.", default=None, panel=VLLM, min=1
    )
    quantization: str | None = option(
        "Quantisation method, by vLLM's name for it.", default=None, panel=VLLM
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EngineOptions(AnyEngine):
    """The engine of a stage that generates."""

    ENDPOINT: ClassVar = "endpoint"
    endpoint: list[str] | None = servers_option(
        "Base URL of an OpenAI-compatible server; repeat it to balance the load.",
        envvar="RZERO_ENDPOINT",
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverEngine(AnyEngine):
    """The engine of the frozen Solver in `challenge`."""

    ENDPOINT: ClassVar = "solver_endpoint"
    solver_endpoint: list[str] | None = servers_option(
        "Base URL of a server with the frozen Solver; repeat it to balance the load.",
        envvar="RZERO_ENDPOINT",
    )
    solver_gpus: str | None = option(
        "Serve the frozen Solver with vLLM on these GPUs, such as 4-7, and train on the others.",
        default=None,
        panel=VLLM,
        metavar="GPUS",
        recorded=False,
    )
