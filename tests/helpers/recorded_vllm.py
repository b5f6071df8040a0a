"""A stand-in for vLLM that records how it is started and used; it completes with one token."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, make_dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

_NAMES = (
    *("model", "tokenizer", "seed", "dtype", "disable_log_stats", "use_tqdm_on_load"),
    *("trust_remote_code", "load_format", "enable_prefix_caching", "enforce_eager"),
    *("kv_cache_memory_bytes", "max_num_seqs", "worker_cls", "enable_sleep_mode"),
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
)
Arguments = make_dataclass("Arguments", [(name, Any, field(default=None)) for name in _NAMES])


@dataclass
class Recorded:
    """What the stand-in was given."""

    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """Of the processes that it would have started."""
    calls: list[str] = field(default_factory=list)
    errored: bool = False


class _AsyncLLM:
    recorded: Recorded

    @classmethod
    def from_engine_args(cls, arguments: Any) -> _AsyncLLM:
        given = {name: value for name, value in vars(arguments).items() if value is not None}
        cls.recorded.arguments = given
        cls.recorded.environment = dict(os.environ)
        os.environ["LOCAL_WORLD_SIZE"] = "1"  # as vLLM does
        cls.recorded.calls.append("start")
        return cls()

    model_config = SimpleNamespace(try_get_generation_config=dict)
    vllm_config = SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=256),
        scheduler_config=SimpleNamespace(max_num_seqs=8),
    )

    @property
    def errored(self) -> bool:
        return self.recorded.errored

    async def sleep(self, level: int) -> None:
        self.recorded.calls.append(f"sleep {level}")

    async def wake_up(self) -> None:
        self.recorded.calls.append("wake_up")

    async def generate(
        self, prompt: Any, params: Any, name: str, lora_request: Any
    ) -> AsyncIterator[Any]:
        self.recorded.calls.append("generate")
        if self.errored:
            raise RuntimeError("out of memory")
        answer = SimpleNamespace(text="7", token_ids=[7], finish_reason="stop")
        yield SimpleNamespace(outputs=[answer] * params.n)

    def shutdown(self, timeout: int) -> None:
        self.recorded.calls.append("shutdown")


def record_vllm(patch: pytest.MonkeyPatch, *, gpus: int = 1, memory: float = 80e9) -> Recorded:
    """Replace vLLM by the stand-in, on a machine with `gpus` GPUs of `memory` bytes, or a CPU."""
    _AsyncLLM.recorded = Recorded()
    platform = SimpleNamespace(
        is_cpu=lambda: not gpus,
        device_count=lambda: gpus,
        get_device_total_memory=lambda number: memory,
    )
    contents: dict[str, dict[str, Any]] = {
        "vllm": {
            "AsyncEngineArgs": Arguments,
            "SamplingParams": SimpleNamespace,
            "envs": SimpleNamespace(VLLM_BATCH_INVARIANT=False),
        },
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": SimpleNamespace},
        "vllm.platforms": {"current_platform": platform},
        "vllm.sampling_params": {"RequestOutputKind": SimpleNamespace(FINAL_ONLY=2)},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": _AsyncLLM},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(values)
        patch.setitem(sys.modules, name, module)
    return _AsyncLLM.recorded
