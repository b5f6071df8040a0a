"""The shape of any model: a directory's, one of the paper's, or one from the hub."""

from __future__ import annotations

from pathlib import Path

from rzero_cli.core import shapes
from rzero_cli.core.provenance import adapter_base
from rzero_cli.core.shapes import Model
from rzero_cli.errors import RzeroError

__all__ = ["read_model"]


def read_model(name: str) -> Model:
    """Read a model's configuration, not its weights; of an adapter, its base's.

    Raises:
        RzeroError: it cannot be read.
    """
    name = adapter_base(name) or name
    if name in shapes.published() and not Path(name).is_dir():
        return shapes.model_of(shapes.published()[name])
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
    )
