"""The vLLM engine: `AsyncLLM` in this process, on GPUs or on the CPU.

A request is one prompt with all its n completions, so its prompt is prefilled once. vLLM batches
requests continuously over the whole input. `AsyncLLM` is the engine of vLLM's server; unlike
`vllm.LLM`, it supports data parallelism within one process.

The engine is seeded once. A seed per request would slow down a GPU (vLLM then samples row by row)
and can crash the engine on the CPU (a generator cannot be rewound after chunked prefill). So a
repeated run writes each record once, but its completions differ. With VLLM_BATCH_INVARIANT=1,
vLLM's mode for some GPUs in which a completion does not depend on the rest of the batch, each
request is seeded by its position, and a continued run equals an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import IO, Any

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines import (
    Completed,
    Completion,
    Engine,
    K,
    Keep,
    Prompts,
    Sampling,
    chat,
    derived_seed,
)
from rzero_cli.engines.in_flight import EventLoop, as_they_finish
from rzero_cli.engines.loadable import has_tokenizer
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.processes import ended_with_us

# Prompts read ahead, in multiples of what fills the engine, so that a slow one blocks nothing.
_FULL = 16
_CPU_KV_CACHE = 2 << 30
_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",  # without it, vLLM reports usage statistics to its developers
    "VLLM_CONFIGURE_LOGGING": "1",
    # As on the CPU: a fork would copy our threads' locks and keep `ended_with_us`'s pipes open.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "TOKENIZERS_PARALLELISM": "false",
}
_ERROR = re.compile(r"(?:^|\s)(\w*(?:Error|Exception)): (.+)")
# Messages that only report that a process of vLLM's has failed, not why.
_EMPTY_REASONS = ("Engine core init", "WorkerProc init", "EngineCore ", "Engine process failed")


class VllmEngine(Engine):
    """A model in vLLM; the module's docstring describes requests and seeds.

    Args:
        model: checkpoint or adapter directory, or hub name.
        batch_size: vLLM's `max_num_seqs`; None is vLLM's default.
        template_args: arguments of the chat template.
        arguments: vLLM's engine arguments, by their own names.
        seed: the engine's seed.
        notify: called once with a line if raw prompts are truncated.

    Raises:
        UsageError: vLLM has no such engine argument.
        RzeroError: vLLM cannot start with the model; the message is one line.
    """

    def __init__(
        self,
        model: str,
        *,
        batch_size: int | None = None,
        template_args: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        seed: int = 0,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        self._template_args = dict(template_args or {})
        self._notify_once = cache(notify)
        with ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            stack.enter_context(ended_with_us())
            self._start(model, batch_size, seed, dict(arguments or {}))
            self._to_close = stack.pop_all()

    def _start(
        self, model: str, batch_size: int | None, seed: int, arguments: dict[str, Any]
    ) -> None:
        with _printing_to(self._log, model):
            from vllm import AsyncEngineArgs, SamplingParams, envs
            from vllm.lora.request import LoRARequest
            from vllm.platforms import current_platform
            from vllm.sampling_params import RequestOutputKind

            from rzero_cli.engines.transformers import load_tokenizer

            if envs.VLLM_BATCH_INVARIANT and current_platform.is_cpu():
                raise UsageError("VLLM_BATCH_INVARIANT: vLLM supports it on GPUs only: unset it")
            base = adapter_base(model)
            self._adapter = LoRARequest("adapter", 1, model) if base else None
            made_with = _defaults(model, seed) | arguments
            if batch_size:
                made_with.setdefault("max_num_seqs", batch_size)
            if base:
                rank = json.loads((Path(model) / "adapter_config.json").read_text("utf-8"))["r"]
                # vLLM accepts only these maximum ranks.
                room = next((r for r in (8, 16, 32, 64, 128, 256, 320) if r >= rank), 512)
                made_with = {"enable_lora": True, "max_lora_rank": room} | made_with
                own = has_tokenizer(Path(model))
                made_with |= {"model": base, "tokenizer": model if own else base}
            known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
            for name in made_with:
                if name not in known:
                    near = " or ".join(get_close_matches(name, known))
                    hint = f"; did you mean {near}?" if near else ""
                    raise UsageError(f"--engine-arg {name}: vLLM has no such engine argument{hint}")
            own_code = bool(made_with["trust_remote_code"])
            self.tokenizer = load_tokenizer(model, own_code=own_code)
            self._loop = EventLoop()
            try:
                self._engine = self._loop.run(_start(made_with))
            except BaseException:
                self._loop.close()
                raise
        config = self._engine.vllm_config
        self._longest = config.model_config.max_model_len
        self._sequences = config.scheduler_config.max_num_seqs
        self._declared = self._engine.model_config.try_get_generation_config().get("eos_token_id")
        self._params = SamplingParams
        self._final = RequestOutputKind.FINAL_ONLY
        self._requests = 0
        self._invariant = bool(envs.VLLM_BATCH_INVARIANT)

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.shutdown(timeout=0)
        self._loop.close()
        # Otherwise its finalizer would run during the interpreter's shutdown.
        del self._engine
        gc.collect()
        self._to_close.close()

    def complete(
        self,
        prompts: Prompts[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts; see `Engine.complete`.

        A conversation that exceeds the model's context gets empty, truncated completions.

        Raises:
            RzeroError: vLLM fails.
        """
        n = sampling.n if sampling.temperature else 1  # greedy completions are identical
        chats, raws = (
            self._params(
                n=n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=sampling.max_tokens,
                stop=list(chat.stop_strings(self.tokenizer, sampling.stop, raw=raw)),
                stop_token_ids=chat.end_tokens(
                    self.tokenizer, self._declared, sampling.stop, raw=raw
                ),
                output_kind=self._final,
            )
            for raw in (False, True)
        )

        def start(number: int, prompt: Prompt) -> Future[list[Completion]]:
            tokens = chat.encode(self.tokenizer, prompt, self._template_args)
            params = chats
            if isinstance(prompt, str):
                params, room = raws, chat.room_for_prompt(self._longest, sampling.max_tokens)
                if len(tokens) > room:
                    self._notify_once(chat.CUT)
                tokens = tokens[-room:]
            if self._invariant:
                params = params.clone()
                params.seed = derived_seed(sampling.seed, number) & 0x7FFFFFFF
            return self._loop.submit(self._complete(tokens, params))

        times, window = sampling.n // n, _FULL * max(1, self._sequences // n)
        yield from as_they_finish(prompts, start, window=window, times=times, done=done, keep=keep)

    async def _complete(self, tokens: list[int], params: Any) -> list[Completion]:
        if len(tokens) >= self._longest:
            return [Completion("", 0, truncated=True)] * params.n
        self._requests += 1
        prompt = {"prompt_token_ids": tokens}
        name = str(self._requests)
        try:
            async for output in self._engine.generate(
                prompt, params, name, lora_request=self._adapter
            ):
                final = output
        except Exception as error:
            reason = _reason(self._log) or f"{type(error).__name__}: {error}"
            raise RzeroError(
                f"vLLM failed: {' '.join(reason.split())[:300]}; finished records are kept. If "
                "memory ran out, lower --gpu-memory-utilization, --max-model-len or --batch-size"
            ) from error
        return [
            Completion(c.text, len(c.token_ids), truncated=c.finish_reason == "length")
            for c in final.outputs
        ]


async def _start(made_with: dict[str, Any]) -> Any:
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    # Ctrl-C reaches every process of the terminal's group. vLLM's processes would end and look like
    # a failure, perhaps before we handle the signal, or although we ignore it as a background job.
    # So this thread blocks SIGINT, and the processes it starts inherit that. The resource tracker
    # starts before: on its own start it would unblock the signal.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**made_with))


def _defaults(model: str, seed: int) -> dict[str, Any]:
    """Return the default engine arguments."""
    from vllm.platforms import current_platform

    common = {
        "model": model,
        "seed": seed & 0x7FFFFFFF,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "trust_remote_code": False,
        "load_format": "safetensors",  # "auto" falls back to pickles
        "enable_prefix_caching": True,
    }
    if not current_platform.is_cpu():
        return common
    # As in the transformers engine: bfloat16 is slow on processors without instructions for it.
    # Compiling takes longer than most runs on a CPU.
    on_cpu = {"dtype": "float32", "enforce_eager": True}
    if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        on_cpu["kv_cache_memory_bytes"] = _CPU_KV_CACHE
    return common | on_cpu


@contextmanager
def _printing_to(log: IO[bytes], model: str) -> Iterator[None]:
    """Redirect the output of vLLM and its processes to `log`, and report a failure in one line.

    They write to file descriptors 1 and 2 regardless of settings until they exit, so both are
    redirected while they start. With RZERO_DEBUG nothing is redirected.

    Raises:
        RzeroError: vLLM cannot start.
    """
    if os.environ.get("RZERO_DEBUG") or "--debug" in sys.argv:
        yield
        return
    kept = {number: os.dup(number) for number in (1, 2)}
    _redirect({1: log.fileno(), 2: log.fileno()})
    try:
        yield
    except RzeroError:
        raise
    except Exception as error:
        reason = _reason(log) or f"{type(error).__name__}: {error}"
        raise RzeroError(
            f"vLLM cannot start with {model}: {' '.join(reason.split())[:400]} "
            "(RZERO_DEBUG=1 shows its full output)"
        ) from error
    finally:
        # It would report its normal shutdown as an error.
        logging.getLogger("vllm").setLevel(logging.CRITICAL)
        _redirect(kept)
        for number in kept.values():
            os.close(number)


def _redirect(descriptors: Mapping[int, int]) -> None:
    """Redirect each file descriptor to another one."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    for number, other in descriptors.items():
        os.dup2(other, number)


def _reason(log: IO[bytes]) -> str | None:
    """Return the first error in vLLM's output that gives a reason."""
    log.seek(0)
    found = _ERROR.findall(log.read().decode("utf-8", "replace"))
    return next(
        (f"{kind}: {why}" for kind, why in found if not why.startswith(_EMPTY_REASONS)), None
    )
