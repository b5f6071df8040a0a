"""Shapes of models, and the memory and FLOPs that follow from them.

The paper's four models are in `models.toml`. No weights are loaded; only `read_model` needs torch
or the hub, for any other model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rzero_cli.data.provenance import adapter_base
from rzero_cli.data.toml_files import read_toml
from rzero_cli.errors import RzeroError


@dataclass(frozen=True, slots=True)
class Model:
    """The dimensions of a model that determine memory and time; widths are feature counts."""

    parameters: int
    """A head that is tied to the embeddings counts once."""
    block: int
    """Parameters of one block."""
    layers: int
    hidden: int
    intermediate: int
    query: int
    """Total width of the query heads."""
    key: int
    """Total width of the key heads; the value heads have the same."""
    vocabulary: int
    tied: bool
    query_norm: bool
    """Queries and keys are normalised, as in Qwen3."""
    linear: dict[str, int]
    """By layer name: the sum of input and output features over the model; without the head."""
    positions: int | None = None
    """The longest context, in tokens."""

    @property
    def kv_bytes(self) -> int:
        """Bytes of one token's keys and values in 16 bits."""
        return 2 * 2 * self.layers * self.key

    def flops(self, context: float = 0) -> float:
        """Return the floating-point operations of one token's forward pass.

        Two per parameter that multiplies (untied embeddings are only looked up), plus four per
        earlier token and feature of the query heads for attention. A backward pass takes twice as
        many.

        Args:
            context: tokens before it.
        """
        looked_up = 0 if self.tied else self.vocabulary * self.hidden
        return 2 * (self.parameters - looked_up) + 4 * self.layers * self.query * context

    def adapter(self, r: int, targets: str = "all-linear") -> int:
        """Return the parameters of a LoRA adapter of rank `r`; `targets` as `--lora-targets`."""
        names = {name.strip() for name in targets.split(",")}
        wanted = [n for name, n in self.linear.items() if targets == "all-linear" or name in names]
        return r * sum(wanted)


@lru_cache(maxsize=1)
def published() -> dict[str, dict[str, Any]]:
    """Return the configurations of the paper's four models by hub name, with transformers' keys."""
    return read_toml(Path(__file__).with_name("models.toml"))


def model_of(config: dict[str, Any]) -> Model:
    """Return the shape of a Llama or Qwen3 without biases from a configuration in `published`."""
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    layers, size = config["num_hidden_layers"], config["head_dim"]
    query = size * config["num_attention_heads"]
    key = size * config["num_key_value_heads"]
    query_norm = config["model_type"] == "qwen3"
    matrices = {
        "q_proj": (hidden, query),
        "k_proj": (hidden, key),
        "v_proj": (hidden, key),
        "o_proj": (query, hidden),
        "gate_proj": (hidden, intermediate),
        "up_proj": (hidden, intermediate),
        "down_proj": (intermediate, hidden),
    }
    block = sum(a * b for a, b in matrices.values()) + 2 * hidden + (2 * size if query_norm else 0)
    tied = config["tie_word_embeddings"]
    ends = (1 if tied else 2) * config["vocab_size"] * hidden + hidden
    return Model(
        parameters=layers * block + ends,
        block=block,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        query=query,
        key=key,
        vocabulary=config["vocab_size"],
        tied=tied,
        query_norm=query_norm,
        linear={name: layers * (a + b) for name, (a, b) in matrices.items()},
        positions=config["max_position_embeddings"],
    )


def read_model(name: str) -> Model:
    """Read the shape of a model, or of an adapter's base, from its configuration.

    Args:
        name: directory or hub name.

    Raises:
        RzeroError: the configuration cannot be read.
    """
    name = adapter_base(name) or name
    if name in published() and not Path(name).is_dir():
        return model_of(published()[name])
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise RzeroError(f"cannot read the configuration of {name}: {reason}") from error
    head, embeddings = empty.get_output_embeddings(), empty.get_input_embeddings()
    linear: dict[str, int] = {}
    for path, module in empty.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            leaf = path.rpartition(".")[2]
            linear[leaf] = linear.get(leaf, 0) + module.in_features + module.out_features
    parameters = sum(parameter.numel() for parameter in empty.parameters())
    tied = head.weight is embeddings.weight
    ends = (1 if tied else 2) * config.vocab_size * config.hidden_size
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Model(
        parameters=parameters,
        block=(parameters - ends) // config.num_hidden_layers,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        query=heads * size,
        key=(getattr(config, "num_key_value_heads", None) or heads) * size,
        vocabulary=config.vocab_size,
        tied=tied,
        query_norm=any(path.endswith(".q_norm") for path, _ in empty.named_modules()),
        linear=linear,
        positions=getattr(config, "max_position_embeddings", None),
    )
