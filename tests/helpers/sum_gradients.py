"""One update of many passes on fixed completions; run by `training/test_sharding.py`.

With `accelerate launch` it trains sharded, first with accelerate's own policy of mixed precision,
then with rzero's, then an adapter. By itself it is their reference: one process with parameters in
bfloat16, which adds up each pass's gradients in float32.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import sharded_on_cpu  # noqa: F401 # accelerate shards here
import torch
from option_groups import group  # next to this script, which is run by its path
from torch.distributed.tensor import DTensor
from trl.trainer import grpo_trainer

from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import make_plan
from rzero_cli.system.processes import rank, world_size
from rzero_cli.training import grpo
from rzero_cli.training.settings import Grpo, Hardware

PASSES = 32
ROWS = 4
"""Rollouts per pass, one group."""


class Watched(grpo._Trainer):
    """Records log-probabilities and gradients of each pass."""

    found: dict[str, Any]

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **more: Any) -> Any:
        first = rank() * len(prompt_ids)
        rows = [random.Random(first + i) for i in range(len(prompt_ids))]
        tokens = [[row.randrange(5, len(self._tokenizer)) for _ in range(32)] for row in rows]
        return tokens, [[-3.0] * 32 for _ in rows]  # as if vLLM had sampled them

    def _get_per_token_logps_and_entropies(self, *rest: Any, **more: Any) -> Any:
        scored = super()._get_per_token_logps_and_entropies(*rest, **more)
        self.found["logps"].append(scored[0].detach().clone())
        return scored

    def training_step(self, model: Any, *rest: Any) -> Any:
        loss = super().training_step(model, *rest)
        for name, weight in model.named_parameters():
            if world_size() > 1 and weight.requires_grad:
                assert isinstance(weight, DTensor), name
                sharded = weight.grad is not None and weight.grad.to_local().numel()
                self.found["sharded"].append(0 < sharded < weight.numel())
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        weights = [(n, w) for n, w in model.named_parameters() if w.requires_grad]
        self.found["weights"] = {str(w.dtype) for _, w in weights}
        if world_size() > 1:
            self.found["gradients"] = {n: w.grad.full_tensor() for n, w in weights}
        return super()._clip_grad_norm(model)


def add_up(model: Any) -> dict[str, Any]:
    """Return the gradients of a model in bfloat16, which grow in float32 with each pass."""
    sums: dict[str, Any] = {}
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(torch.bfloat16)
        sums[name] = torch.zeros_like(weight, dtype=torch.float32)

        def add(weight: Any, total: Any = sums[name]) -> None:
            total += weight.grad.float()
            weight.grad = None

        weight.register_post_accumulate_grad_hook(add)
    return sums


def train(model: str, part: Path, **hardware: Any) -> dict[str, Any]:
    """Train for one update and return what was recorded."""
    Watched.found = {"logps": [], "sharded": [], "gradients": {}, "metrics": {}}
    rows = ROWS * PASSES
    plan = make_plan(
        steps=1, prompts=rows // ROWS, batch=rows // ROWS, group=ROWS, max_tokens=32,
        per_device=ROWS, processes=world_size(),
    )  # fmt: skip
    grpo.train(
        model,
        [{"prompt": [{"role": "user", "content": f"copy {n}"}]} for n in range(rows // ROWS)],
        lambda completions, **columns: [float(len(str(c)) % 5) for c in completions],
        plan=plan,
        grpo=group(Grpo, beta=0.0),
        hardware=group(Hardware, **hardware),
        sampling=group(SamplingOptions, top_p=1.0),
        seed=0,
        part=part,
        batch_size=256,
        on_update=Watched.found["metrics"].update,
    )
    return Watched.found


def main(model: str, folder: str) -> None:
    out = Path(folder)
    grpo._Trainer = Watched  # type: ignore[misc]
    grpo_trainer.shuffle_sequence_dict = lambda rows: rows  # the same passes on each run
    if world_size() == 1:
        load = grpo.load_policy
        sums: dict[str, Any] = {}

        def load_low(*given: Any, **named: Any) -> Any:
            policy = load(*given, **named)
            sums.update(add_up(policy))
            return policy

        grpo.load_policy = load_low
        found = {"reference": train(model, out / "one") | {"gradients": sums}}
    else:
        ours = grpo.sum_in_float32
        grpo.sum_in_float32 = lambda accelerator: None
        found = {"accelerate": train(model, out / "theirs")}
        grpo.sum_in_float32 = ours
        found |= {"rzero": train(model, out / "ours")}
        found |= {"adapter": train(model, out / "adapter", lora_r=2)}
    torch.save(found, out / f"{rank()}-of-{world_size()}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
