"""Precision of a training whose weights are sharded by PyTorch's FSDP2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch


def sum_in_float32(accelerator: Any) -> None:
    """Let FSDP2 sum gradients, and return log-probabilities, in float32.

    accelerate's policy of mixed precision does both in the type of the passes: bfloat16 rounds a
    log-probability by more than an update moves it, and drops the small gradients of a long sum.

    Without FSDP2 this does nothing; under accelerate's DDP both are in float32 anyway.
    """
    if not accelerator.is_fsdp2:
        return
    plugin = accelerator.state.fsdp_plugin
    if (policy := plugin.mixed_precision_policy) is not None:  # None in float32
        # TRL returns log-probabilities in float32, so outputs need no cast. A cast to float32 would
        # also apply to every block's output, and double what gradient checkpointing keeps.
        plugin.mixed_precision_policy = replace(
            policy, reduce_dtype=torch.float32, output_dtype=None
        )
    # Each pass's gradients are reduced and sharded at once. Otherwise each GPU would keep the whole
    # model's until the last pass of an update.
    accelerator.gradient_state.plugin_kwargs["sync_each_batch"] = True
