"""Print, as JSON, what vLLM says that models take, after loading them on the CPU.

    python tests/helpers/vllm_accounting.py TOKENS MODEL...

The last line has for each model: `weights`, their bytes in 16 bits; `cache`, the bytes of a token's
keys and values; and `least`, the tokens of the smallest KV cache with which vLLM starts if the
longest sequence has TOKENS. vLLM's engine runs in this process.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
BLOCK = 32  # tokens; 16 on a GPU


def numbers(model: str, tokens: int) -> dict[str, float]:
    """Start an engine and return its numbers."""
    from vllm import LLM
    from vllm.model_executor.model_loader import base_loader
    from vllm.v1.core.kv_cache_utils import check_enough_kv_cache_memory

    loaded: list[Any] = []
    pack = base_loader.process_weights_after_loading

    def counted(module: Any, *given: Any, **named: Any) -> None:
        # Before the CPU's kernels pack the weights.
        loaded.append(sum(weight.nbytes for weight in module.parameters()))
        pack(module, *given, **named)

    base_loader.process_weights_after_loading = counted
    try:
        options = {"max_model_len": tokens, "block_size": BLOCK, "enforce_eager": True}
        engine = LLM(model, dtype="bfloat16", **options).llm_engine
    finally:
        base_loader.process_weights_after_loading = pack
    (layers,) = engine.model_executor.collective_rpc("get_kv_cache_spec")

    def starts(blocks: int) -> bool:
        try:
            check_enough_kv_cache_memory(engine.vllm_config, dict(layers), blocks * page)
        except ValueError:
            return False
        return True

    page = sum(layer.page_size_bytes for layer in layers.values())
    least = next(blocks for blocks in range(tokens) if starts(blocks))
    return {"weights": loaded[0], "cache": page / BLOCK, "least": least * BLOCK}


if __name__ == "__main__":
    print(json.dumps([numbers(name, int(sys.argv[1])) for name in sys.argv[2:]]))
