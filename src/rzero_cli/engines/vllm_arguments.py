"""vLLM's engine arguments: defaults, adapters, and the use of all GPUs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines.devices import spread
from rzero_cli.engines.loadable import has_tokenizer
from rzero_cli.engines.shapes import read_model
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.system.processes import local_world_size, world_size

PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_CPU_KV_CACHE = 2 << 30  # bytes for all ranks of a machine


def engine_arguments(
    model: str, given: Mapping[str, Any], *, batch_size: int | None, seed: int
) -> dict[str, Any]:
    """Return the arguments of vLLM's engine.

    Args:
        model: checkpoint or adapter directory, or hub name.
        given: the user's arguments. Without any of `PARALLEL` and without a launcher, the engine
            uses all GPUs.
        batch_size: vLLM's `max_num_seqs`; None is vLLM's default.
        seed: the engine's seed.

    Raises:
        UsageError: vLLM has no such engine argument.
    """
    from vllm import AsyncEngineArgs

    base = adapter_base(model)
    found = _defaults(seed)
    if world_size() == 1 and not given.keys() & {*PARALLEL}:
        found |= _all_gpus(model)
    if batch_size:
        found["max_num_seqs"] = batch_size
    if base:
        rank = json.loads((Path(model) / "adapter_config.json").read_text("utf-8"))["r"]
        # vLLM accepts only these maximum ranks.
        room = next((r for r in (8, 16, 32, 64, 128, 256, 320) if r >= rank), 512)
        found |= {"enable_lora": True, "max_lora_rank": room}
    found |= given
    own = has_tokenizer(Path(model))
    found |= {"model": base, "tokenizer": model if own else base} if base else {"model": model}
    if (found.get("data_parallel_size") or 1) > 1:
        found["worker_cls"] = "rzero_cli.engines.vllm_copies.SeededWorker"
    known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    for name in found:
        if name not in known:
            near = " or ".join(get_close_matches(name, known))
            hint = f"; did you mean {near}?" if near else ""
            raise UsageError(f"--engine-arg {name}: vLLM has no such engine argument{hint}")
    return found


def _defaults(seed: int) -> dict[str, Any]:
    """Return the default engine arguments."""
    from vllm.platforms import current_platform

    common = {
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
        on_cpu["kv_cache_memory_bytes"] = _CPU_KV_CACHE // local_world_size()
    return common | on_cpu


def _all_gpus(model: str) -> dict[str, int]:
    """Return the arguments that use all GPUs, if there are several."""
    from vllm.platforms import current_platform

    gpus = 1 if current_platform.is_cpu() else current_platform.device_count()
    if gpus < 2:
        return {}
    try:
        weights = 2 * read_model(model).parameters  # in 16 bits
    except (RzeroError, AttributeError):  # vLLM supports more architectures
        weights = 0
    memory = min(map(current_platform.get_device_total_memory, range(gpus)))
    size, copies = spread(weights, memory, gpus)
    return {"tensor_parallel_size": size, "data_parallel_size": copies}
