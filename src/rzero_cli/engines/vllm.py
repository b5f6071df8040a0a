"""The vLLM engine: `AsyncLLM` in this process, on GPUs or on the CPU.

A request is one prompt with all its n completions, so its prompt is prefilled once. vLLM batches
requests continuously over the whole input. `AsyncLLM` is the engine of vLLM's server; unlike
`vllm.LLM`, it supports data parallelism within one process.

The engine is seeded once. A seed per request would slow down a GPU (vLLM then samples row by row)
and can crash the engine on the CPU (a generator cannot be rewound after chunked prefill). So a
repeated run writes each record once, but its completions differ. With VLLM_BATCH_INVARIANT=1,
vLLM's mode for some GPUs in which a completion does not depend on the rest of the batch, each
request is seeded by its position, and a continued run equals an uninterrupted one.

Next to a training the engine sleeps except while it completes prompts (vLLM's sleep mode, level 1):
its weights are in host memory, and the KV cache is dropped together with the prefix cache.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing import resource_tracker
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
from rzero_cli.engines.devices import engine_environment
from rzero_cli.engines.in_flight import EventLoop, as_they_finish
from rzero_cli.engines.vllm_arguments import engine_arguments
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import Prompt
from rzero_cli.system.processes import ended_with_us

# Prompts read ahead, in multiples of what fills the engine, so that a slow one blocks nothing.
_FULL = 16
QUIET = {
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
        arguments: vLLM's engine arguments, by their own names. Without any for parallelism, the
            engine uses all GPUs, or in a rank of a training that rank's. With enable_sleep_mode it
            sleeps except while it completes prompts.
        seed: the engine's seed.
        notify: called with a line if the engine uses several GPUs, and once if raw prompts are
            truncated.

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
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._template_args = dict(template_args or {})
        self._notify_once = cache(notify)
        with ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            stack.enter_context(ended_with_us())
            notice = self._start(model, batch_size, seed, dict(arguments or {}))
            self._to_close = stack.pop_all()
        if notice:
            notify(notice)

    def _start(
        self, model: str, batch_size: int | None, seed: int, arguments: dict[str, Any]
    ) -> str | None:
        """Start vLLM, and return a line for the user about the GPUs it uses."""
        with _printing_to(self._log, model):
            from vllm import SamplingParams, envs
            from vllm.lora.request import LoRARequest
            from vllm.platforms import current_platform
            from vllm.sampling_params import RequestOutputKind

            from rzero_cli.engines.transformers import load_tokenizer

            if envs.VLLM_BATCH_INVARIANT and current_platform.is_cpu():
                raise UsageError("VLLM_BATCH_INVARIANT: vLLM supports it on GPUs only: unset it")
            made_with = engine_arguments(model, arguments, batch_size=batch_size, seed=seed)
            adapted = adapter_base(model)
            self._adapter = LoRARequest("adapter", 1, model) if adapted else None
            own_code = bool(made_with["trust_remote_code"])
            self.tokenizer = load_tokenizer(model, own_code=own_code)
            copies = made_with.get("data_parallel_size") or 1
            self._loop = EventLoop()
            try:
                with engine_environment():
                    self._engine = self._loop.run(_start(made_with))
                self._sleeps = bool(made_with.get("enable_sleep_mode"))
                self._sleep()
            except BaseException:
                self._loop.close()
                raise
        config = self._engine.vllm_config
        self._longest = config.model_config.max_model_len
        self._sequences = copies * config.scheduler_config.max_num_seqs
        self._declared = self._engine.model_config.try_get_generation_config().get("eos_token_id")
        self._params = SamplingParams
        self._final = RequestOutputKind.FINAL_ONLY
        self._requests = 0
        self._invariant = bool(envs.VLLM_BATCH_INVARIANT)
        if "data_parallel_size" in arguments or "data_parallel_size" not in made_with:
            return None
        size = made_with["tensor_parallel_size"]
        return (
            f"vLLM uses all {copies * size} GPUs: "
            f"--tensor-parallel-size {size}, --data-parallel-size {copies}"
        )

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._sleeps = False  # an unfinished `complete` may be closed later
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
        with self._awake():
            yield from as_they_finish(
                prompts, start, window=window, times=times, done=done, keep=keep
            )

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """Wake the engine for the block, if it sleeps otherwise. Raises RzeroError."""
        if not self._sleeps:
            yield
            return
        import torch

        torch.cuda.empty_cache()  # memory that the training has freed, but torch keeps
        with self._failing():
            self._loop.run(self._engine.wake_up())
        try:
            yield
        finally:
            with self._failing():
                self._sleep()

    def _sleep(self) -> None:
        """Let the engine sleep, if it is started for that and works.

        vLLM aborts requests that still run, and forgets its cached prefixes: their keys and values
        are lost.
        """
        if self._sleeps and not self._engine.errored:
            self._loop.run(self._engine.sleep(level=1))

    async def _complete(self, tokens: list[int], params: Any) -> list[Completion]:
        if len(tokens) >= self._longest:
            return [Completion("", 0, truncated=True)] * params.n
        self._requests += 1
        prompt = {"prompt_token_ids": tokens}
        name = str(self._requests)
        with self._failing():
            async for output in self._engine.generate(
                prompt, params, name, lora_request=self._adapter
            ):
                final = output
            if any(c.finish_reason == "abort" for c in final.outputs):
                raise RuntimeError("a request was aborted")
        return [
            Completion(c.text, len(c.token_ids), truncated=c.finish_reason == "length")
            for c in final.outputs
        ]

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn an error of vLLM in the block into an RzeroError of one line."""
        try:
            yield
        except Exception as error:
            reason = reason_in(self._log) or f"{type(error).__name__}: {error}"
            raise RzeroError(
                f"vLLM failed: {' '.join(reason.split())[:300]}; finished records are kept. If "
                "memory ran out, lower --gpu-memory-utilization, --max-model-len or --batch-size"
            ) from error


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
        reason = reason_in(log) or f"{type(error).__name__}: {error}"
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


def reason_in(log: IO[bytes]) -> str | None:
    """Return the first error in vLLM's output that gives a reason."""
    log.seek(0)
    found = _ERROR.findall(log.read().decode("utf-8", "replace"))
    return next(
        (f"{kind}: {why}" for kind, why in found if not why.startswith(_EMPTY_REASONS)), None
    )
