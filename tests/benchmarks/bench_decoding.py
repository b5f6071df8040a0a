"""The decoding loop compared with `generate`'s own: CPU time in turns, a random model, 16
completions of geometric length for each prompt.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rzero_cli.engines.decoding import decode

PROMPTS, GROUP, TOKENS, ROUNDS = 8, 16, 128, 3


def sampled(model: Any, prompts: Any, **loop: Any) -> tuple[float, int]:
    """Return CPU seconds and the tokens of the longest completion."""
    torch.manual_seed(0)
    start = time.process_time()
    rows = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=True,
        top_k=0,
        max_new_tokens=TOKENS,
        **{"pad_token_id": 0, "eos_token_id": [1, 2], **loop},
    )
    return time.process_time() - start, rows.shape[1] - prompts.shape[1]


def bench_decoding() -> None:
    torch.manual_seed(0)
    # Nearly uniform, so that all 64 tokens, the two end tokens included, are about equally likely.
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
        )
    ).eval()
    prompts = torch.randint(3, 64, (PROMPTS, 32)).repeat_interleave(GROUP, dim=0)
    ratios = []
    for _ in range(ROUNDS):
        ours, length = sampled(model, prompts, custom_generate=decode)
        theirs, _ = sampled(model, prompts)
        ratios.append(ours / theirs)
    print(
        f"\n{PROMPTS} prompts x {GROUP}, up to {length} tokens, 32 on average: CPU time "
        f"{median(ratios):.3f} of generate's own ({min(ratios):.3f}-{max(ratios):.3f})"
    )
