"""The mismatch between the probabilities of vLLM, which samples the rollouts, and the trainer.

Both should give a sampled token the same probability. Kernels and rounding differ a little; a
failed weight transfer shows as a difference that grows with each update.
"""

from __future__ import annotations

from typing import Any

import torch


def differences(trainer: torch.Tensor, vllm: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the trainer's log-probability minus vLLM's for each sampled token.

    Args:
        trainer, vllm: rollouts x tokens; vLLM's is NaN where it has none.
        mask: 0 at padding.
    """
    found = (trainer - vllm)[mask.bool()]
    return found[~found.isnan()]


def mismatch(differences: torch.Tensor, accelerator: Any) -> dict[str, float]:
    """Return the metrics over the tokens of all processes, with TRL's names where it has one.

    `sampling/kl` estimates KL(vLLM || trainer) with k3, mean of r - 1 - log r, where r is the
    trainer's probability divided by vLLM's. Unlike the mean absolute difference it is hardly
    affected by top-p, which raises vLLM's probabilities by one factor (0.99: 5e-5 at most).
    """
    absolute = differences.abs()
    # Beyond e^20 the estimate says no more, and would overflow.
    k3 = differences.clamp(max=20.0).expm1() - differences
    counted = torch.stack([absolute.sum(), k3.sum(), k3.new_tensor(float(len(k3)))])
    difference, kl, tokens = accelerator.reduce(counted, reduction="sum").tolist()
    largest = torch.cat([absolute, absolute.new_zeros(1)]).max()  # a rank may have no token
    return {
        "sampling/sampling_logp_difference/mean": difference / max(tokens, 1.0),
        "sampling/sampling_logp_difference/max": float(accelerator.gather(largest).max()),
        "sampling/kl": kl / max(tokens, 1.0),
    }
