"""Passes over a model sharded by FSDP2, with other columns on each rank; for torchrun, on CPUs.

It fails unless the gradients are those of the whole model on the same rows.
"""

from __future__ import annotations

import copy

import torch
from torch import distributed
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

# Of each pass, the columns on both ranks.
COLUMNS = [(40, 7), (12, 12), (5, 23)]


def loss(model: torch.nn.Module, number: int, rank: int) -> torch.Tensor:
    torch.manual_seed(10 * number + rank)
    ids = torch.randint(0, 64, (3, COLUMNS[number][rank]))
    found = model(input_ids=ids, labels=ids, fused_lm_head=True)
    return -found.log_probs.mean()


def main() -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    mesh = distributed.device_mesh.init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
    shape |= {"num_attention_heads": 2, "vocab_size": 64}
    whole = LlamaForCausalLM(LlamaConfig(**shape))
    sharded = copy.deepcopy(whole)
    for layer in sharded.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    for model in (whole, sharded):
        add_fused_lm_head(model)
    for number in range(len(COLUMNS)):
        loss(sharded, number, rank).backward()
        for each in (0, 1):
            (loss(whole, number, each) / 2).backward()
    for (name, one), other in zip(whole.named_parameters(), sharded.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(
            other.grad.full_tensor(), one.grad, rtol=1e-5, atol=1e-6, msg=name
        )
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
