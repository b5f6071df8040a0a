"""The shapes of the paper's models (`models.toml`), and what follows from a shape alone.

Nothing here needs the weights, a hub or torch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from rzero_cli.core.settings import packaged

__all__ = ["flops_per_token", "kv_bytes", "parameters", "published"]

Shape = dict[str, Any]
"""A model's configuration under transformers' names."""


@lru_cache(maxsize=1)
def published() -> dict[str, Shape]:
    """The shapes of the paper's four models, by hub name."""
    return packaged("models.toml")


def parameters(shape: Shape) -> int:
    """Number of parameters of a Llama or Qwen3 (dense, no biases), a tied head counted once."""
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    query, key = (
        shape["head_dim"] * shape[f"num_{kind}_heads"] for kind in ("attention", "key_value")
    )
    norms = 2 * hidden + (2 * shape["head_dim"] if shape["model_type"] == "qwen3" else 0)
    block = hidden * (2 * query + 2 * key + 3 * shape["intermediate_size"]) + norms
    ends = (1 if shape["tie_word_embeddings"] else 2) * shape["vocab_size"] * hidden + hidden
    return int(layers * block + ends)


def kv_bytes(shape: Shape) -> int:
    """Bytes of keys and values a token, in 16 bits."""
    width = shape["num_key_value_heads"] * shape["head_dim"]
    return int(2 * 2 * shape["num_hidden_layers"] * width)


def flops_per_token(shape: Shape, context: int = 0) -> int:
    """Floating-point operations of one token's forward pass, with `context` tokens before it.

    Two for each parameter that multiplies (all but an untied table of embeddings, which is only
    looked up), and for attention four for each head dimension and earlier token. A backward pass
    takes twice as many.
    """
    looked_up = 0 if shape["tie_word_embeddings"] else shape["vocab_size"] * shape["hidden_size"]
    width = shape["num_attention_heads"] * shape["head_dim"]
    attention = 4 * shape["num_hidden_layers"] * width * context
    return int(2 * (parameters(shape) - looked_up) + attention)
