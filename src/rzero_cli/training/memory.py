"""How much memory a training stage will want, estimated from the model's shape alone."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rzero_cli.core.plan import Plan
from rzero_cli.errors import RzeroError

__all__ = ["estimate"]

GIB = float(1 << 30)
# Float32 weights, gradients, and AdamW's two moments; and the float32 reference model.
_BYTES_TRAINED, _BYTES_REFERENCE, _BYTES_SOLVER = 16, 4, 2


def estimate(
    model: str, plan: Plan, *, batch_size: int, prompt_tokens: int = 256, solver: str | None = None
) -> dict[str, float]:
    """GiB on each device, by what it is for, when nothing is sharded.

    Args:
        model: its configuration is read, its weights are not.
        plan: for the rollouts of a pass and their length, which is taken to be the longest allowed.
        batch_size: rollouts generated at a time.
        prompt_tokens: assumed length of a prompt.
        solver: the frozen Solver that answers beside the training, if there is one.

    Raises:
        RzeroError: a configuration cannot be read.
    """
    config, parameters = _shape(model)
    length = prompt_tokens + plan.max_tokens
    # Logits and their log-softmax in float32 dominate the activations of a pass.
    logits = 2 * 4 * plan.per_device * plan.max_tokens * config.vocab_size
    parts = {
        "weights, gradients, optimizer (float32)": _BYTES_TRAINED * parameters,
        "reference model (float32)": _BYTES_REFERENCE * parameters,
        f"logits of {plan.per_device} rollouts in a pass": logits,
        f"KV cache of {batch_size} rollouts": batch_size * length * _kv_bytes(config),
    }
    if solver is not None:
        weights = _shape(solver)[1]
        parts["frozen Solver (16 bits)"] = _BYTES_SOLVER * weights
    return {name: size / GIB for name, size in (parts | {"total": sum(parts.values())}).items()}


def _shape(model: str) -> tuple[Any, int]:
    """A model's configuration and number of parameters."""
    try:
        config = AutoConfig.from_pretrained(model)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise RzeroError(f"cannot read the configuration of {model}: {reason}") from error
    return config, sum(parameter.numel() for parameter in empty.parameters())


def _kv_bytes(config: Any) -> int:
    """Bytes of keys and values a token, in 16 bits."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * 2 * config.num_hidden_layers * heads * size)
