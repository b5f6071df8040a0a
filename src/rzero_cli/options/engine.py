"""The choice of a command's engine, checked before anything heavy is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from rzero_cli.answers.rules import Rules
from rzero_cli.engines import Engine, Sampling, check_engine, open_engine
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import Messages
from rzero_cli.options.command import Call
from rzero_cli.options.model_groups import AnyEngine, Batching, ServerOptions, SolverEngine
from rzero_cli.options.precedence import TO_THE_ENVIRONMENT
from rzero_cli.system.secrets import key_named_in
from rzero_cli.system.stopwatch import Stopwatch

if TYPE_CHECKING:
    from rzero_cli.engines.answering import Solver


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine to open: the arguments of `engines.open_engine`."""

    name: str
    endpoints: list[str]
    batch_size: int | None
    template_args: dict[str, Any]
    arguments: dict[str, Any]
    notify: Callable[[str], None]

    @property
    def is_server(self) -> bool:
        return bool(self.endpoints)

    def check(self, option: str, model: str | None, *, shape_only: bool = False) -> str | None:
        """Check a MODEL before it is opened.

        A server's model names are not checked, and the name may be omitted if there is only one.

        Args:
            option: the option that names the model, for the message.
            model: its value.
            shape_only: only the model's shape will be used.

        Raises:
            UsageError, RzeroError: as `engines.models.check_model`.
        """
        from rzero_cli.engines.models import check_model, require  # slow; `filter` avoids it

        if self.is_server:
            return model
        if model is not None:
            require("train", "torch", "transformers")
        return check_model(option, model, shape_only=shape_only, engine=self.name)

    def with_defaults(self, arguments: Mapping[str, Any]) -> EngineChoice:
        """Return the choice with additional engine arguments, unless they are given."""
        return replace(self, arguments={**arguments, **self.arguments})

    def parents(self, model: str | None) -> list[str]:
        """Return the model's name in a record of origin."""
        if self.is_server:
            return [f"{model or 'the only model'} at {self.endpoints[0]}"]
        return [str(model)]

    def open(self, model: str | None, *, seed: int = 0) -> AbstractContextManager[Engine]:
        """Load the model. Raises as `engines.open_engine`."""
        return open_engine(model=model, seed=seed, **self._arguments())

    def open_solver(
        self,
        model: str | None,
        sampling: Sampling,
        prompt: Messages,
        rules: Rules,
        *,
        seed: int = 0,
        spent: Stopwatch,
    ) -> AbstractContextManager[Solver]:
        """Load a Solver. Raises as `engines.answering.open_solver`."""
        from rzero_cli.engines.answering import open_solver  # slow import that `filter` avoids

        return open_solver(
            model=model,
            sampling=sampling,
            prompt=prompt,
            rules=rules,
            seed=seed,
            spent=spent,
            **self._arguments(),
        )

    def serve(self, model: str, gpus: list[str], *, seed: int) -> AbstractContextManager[None]:
        """Serve the model with vLLM. Arguments and errors as for `engines.served.served`."""
        from rzero_cli.engines.served import served

        return served(
            model, gpus, self.arguments, batch_size=self.batch_size, seed=seed, notify=self.notify
        )

    def at_server(self, model: str, stop: tuple[str, ...]) -> EngineChoice:
        """Return the engine that uses the server of `serve`, in this process or one it started."""
        from rzero_cli.engines.served import request_fields, server_url

        return replace(
            self,
            name="openai",
            endpoints=[server_url()],
            # Each process sends enough to fill the server.
            batch_size=(self.batch_size or 256) * self.arguments["data_parallel_size"],
            arguments=request_fields(
                model, stop, own_code=self.arguments.get("trust_remote_code", False)
            ),
        )

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


_VLLM_OPTIONS = (
    "tensor_parallel_size",
    "data_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "quantization",
)


def choose_engine(call: Call, engine: AnyEngine) -> EngineChoice:
    """Return the engine that the options select.

    An option that the engine does not have is ignored if a preset sets it, and refused if typed.

    Raises:
        UsageError: an engine, an endpoint or an option of the engine is invalid.
    """
    typed = call.typed
    # A typed engine wins over a server named in the environment.
    takes_servers = engine.engine in ("auto", "openai") or engine.ENDPOINT in typed
    option = "--" + engine.ENDPOINT.replace("_", "-")
    urls = getattr(engine, engine.ENDPOINT) if takes_servers else None
    endpoints = [_url(text, option) for text in urls or ()]
    name = check_engine(engine.engine, endpoints)
    own = {key: getattr(engine, key) for key in _VLLM_OPTIONS}
    own = {key: value for key, value in own.items() if value is not None}
    dtype = {"dtype": engine.dtype} if engine.dtype else {}
    given = key_values("--engine-arg", engine.engine_arg)
    if name == "auto" and (given or own.keys() & typed):
        name = check_engine("vllm")
    foreign = {"openai": own | dtype, "transformers": own | given}.get(name, {})
    for key in foreign:
        if key in given or key in typed:
            option = f"--engine-arg {key}" if key in given else "--" + key.replace("_", "-")
            raise UsageError(f"{option} requires --engine vllm, not {name}")
    if name == "openai":
        _check_fields(given)
    arguments = {k: v for k, v in (own | dtype | given).items() if k not in foreign}
    return _choice(call, engine, name, endpoints, arguments)


def choose_served(call: Call, engine: SolverEngine) -> EngineChoice:
    """Return the engine of a Solver that --solver-gpus serves: vLLM, with a copy per GPU.

    A server that RZERO_ENDPOINT or rzero.toml names is ignored.

    Raises:
        UsageError: as `choose_engine`; or options contradict each other.
    """
    from rzero_cli.engines.models import require  # slow imports that `filter` avoids
    from rzero_cli.engines.served import gpu_numbers

    require("openai", "openai")
    gpus, each = str(engine.solver_gpus), engine.tensor_parallel_size or 1
    count = len(gpu_numbers(gpus)) or 1
    if "solver_endpoint" in call.typed:
        raise UsageError("--solver-gpus starts its own server: leave out --solver-endpoint")
    if engine.engine not in ("auto", "vllm"):
        raise UsageError(f"--solver-gpus requires --engine vllm, not {engine.engine}")
    if count % each:
        raise UsageError(f"--tensor-parallel-size {each} does not divide --solver-gpus {gpus}")
    copies = engine.data_parallel_size or count // each
    return choose_engine(
        call,
        replace(
            engine,
            engine="vllm",
            solver_endpoint=None,
            data_parallel_size=copies,
        ),
    )


def choose_servers(
    call: Call, engine: ServerOptions, option: str, urls: Sequence[str]
) -> EngineChoice:
    """Return the servers that one option of a command names.

    Raises:
        UsageError: an endpoint is invalid, or a package is missing.
    """
    given = key_values("--engine-arg", engine.engine_arg)
    _check_fields(given)
    endpoints = [_url(text, option) for text in urls]
    return _choice(call, engine, check_engine("openai", endpoints), endpoints, given)


def _choice(
    call: Call, engine: Batching, name: str, endpoints: list[str], arguments: dict[str, Any]
) -> EngineChoice:
    return EngineChoice(
        name, endpoints, engine.batch_size, template_args(engine), arguments, call.say
    )


def _check_fields(given: Mapping[str, Any]) -> None:
    """Raise UsageError for request fields that rzero sets itself."""
    for name in given:
        if name in ("n", "stream", "model", "messages", "prompt"):
            raise UsageError(f"--engine-arg {name}: is set by rzero itself")


# Parameters of `apply_chat_template` itself.
_TEMPLATES_OWN = {
    *("conversation", "messages", "tools", "documents", "chat_template", "add_generation_prompt"),
    *("continue_final_message", "tokenize", "padding", "truncation", "max_length"),
    *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
}


def template_args(engine: Batching) -> dict[str, Any]:
    """Return the values of --chat-template-arg. Raises UsageError."""
    found = key_values("--chat-template-arg", engine.chat_template_arg)
    for name in _TEMPLATES_OWN & found.keys():
        raise UsageError(f"--chat-template-arg {name}: is set by rzero, not by the template")
    return found


def key_values(option: str, texts: Sequence[str] | None) -> dict[str, Any]:
    """Return KEY=VALUE options as a dictionary; values are parsed as JSON if possible, else text.

    Raises:
        UsageError: `=` is missing, or the option holds an API key, which `ps` would show.
    """
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{option} {text}: must be KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    if name := key_named_in(found):
        raise UsageError(f"{option} {name}: {TO_THE_ENVIRONMENT}")
    return found


def _url(text: str, option: str) -> str:
    """Return the base URL of a server, with /v1 if it has no path. Raises UsageError."""
    parts = check_url(text, option)
    return text if parts.path.strip("/") else text.rstrip("/") + "/v1"


def check_url(text: str, option: str) -> SplitResult:
    """Return the parts of a server's URL, which must not contain a key. Raises UsageError."""
    if any(sign in text for sign in "@?#"):
        raise UsageError(f"{option}: put the API key in OPENAI_API_KEY, not in the URL")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a bad port, or a bad address in brackets
        good = False
    if not good:
        raise UsageError(f"{option} {text}: not a URL such as http://127.0.0.1:8000/v1")
    return parts
