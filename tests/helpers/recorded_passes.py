"""Real trainings on given completions, with rzero's trainer or with TRL's own.

As a script, for torchrun: `python -m helpers.recorded_passes TRAINER CASE MODEL FOLDER`, where CASE
is the JSON of `Case`'s fields. It writes the checkpoint to FOLDER/out, and each rank the attention
masks of its passes with gradients to FOLDER/masks-RANK.json.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOTrainer

from helpers.option_groups import group
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import Plan, make_plan
from rzero_cli.system.processes import rank, world_size
from rzero_cli.training import grpo
from rzero_cli.training.settings import Grpo, Hardware
from rzero_cli.world.tokenizer import build_tokenizer

DIGITS = build_tokenizer().convert_tokens_to_ids([*"0123456789"])


@dataclass
class Case:
    """The completions and options of a training."""

    completions: list[list[int]]
    """The lengths in tokens of each step's completions."""
    prompts: list[int]
    """The lengths in tokens of a step's prompts."""
    updates_per_step: int = 1
    per_device: int = 4
    beta: float = 0.0
    clip: float = 1e-3
    """Far below the default learning rate's effect, so that ratios are clipped."""
    learning_rate: float = 0.3
    optim: str = "sgd"
    lora_r: int = 0

    @property
    def plan(self) -> Plan:
        return make_plan(
            steps=len(self.completions),
            prompts=len(self.prompts),
            batch=len(self.prompts) // self.updates_per_step,
            group=len(self.completions[0]) // len(self.prompts),
            max_tokens=max(map(max, self.completions)),
            per_device=self.per_device,
            processes=world_size(),
        )


@dataclass(frozen=True)
class Pass:
    """The input of one call of a model."""

    reference: bool
    gradients: bool
    mask: torch.Tensor
    """The attention mask, rows by columns."""

    @property
    def columns(self) -> int:
        return self.mask.shape[1]

    @property
    def needed(self) -> int:
        """The fewest columns that hold all rows' tokens."""
        columns = self.mask.any(0).nonzero()
        return int(columns.max() - columns.min()) + 1


@dataclass
class Training:
    """What a training has done."""

    passes: list[Pass] = field(default_factory=list)
    seconds: float = 0.0
    """CPU time of all passes, those without gradients included."""
    log: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


class PlainTrainer(GRPOTrainer):
    """TRL's own trainer, with the arguments that rzero gives to its."""

    def __init__(self, batch_size: int, spent: Any, on_rollouts: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)


TRAINERS: dict[str, Any] = {"trl": PlainTrainer, "rzero": grpo._Trainer}


def make_model(folder: Path, *, hidden: int = 32, heads: int = 2) -> str:
    """Write a random Llama with 8,192 positions and the miniature's tokenizer."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 8192
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": hidden, "intermediate_size": 3 * hidden, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": heads, "num_key_value_heads": 1}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        initializer_range=0.15,  # so that the next tokens' probabilities differ clearly
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def train(trainer: str, case: Case, model: str, part: Path) -> Training:
    """Run rzero's training on random digits of the case's lengths."""
    done = Training()
    rng = random.Random(0)
    written = [[rng.choices(DIGITS, k=n) for n in step] for step in case.completions]
    # The template adds three tokens.
    texts = ["".join(rng.choices("0123456789", k=n - 3)) for n in case.prompts]
    rows = [{"prompt": [{"role": "user", "content": text}]} for text in texts]
    part.mkdir(parents=True, exist_ok=True)
    with _trainer(_recorded(TRAINERS[trainer], written, case.updates_per_step, done)):
        grpo.train(
            model,
            rows * len(case.completions),
            _reward,
            plan=case.plan,
            grpo=group(
                Grpo,
                beta=case.beta,
                learning_rate=case.learning_rate,
                weight_decay=0.0,
                clip_low=case.clip,
                clip_high=case.clip,
            ),
            hardware=group(Hardware, optim=case.optim, lora_r=case.lora_r),
            sampling=group(SamplingOptions, top_p=1.0),
            seed=0,
            part=part,
            batch_size=256,
            on_update=lambda metrics: None,
        )
    if not rank():
        from safetensors.torch import load_file

        done.weights = load_file(next(part.glob("*model.safetensors")))
        done.log = [json.loads(line) for line in (part / "log.jsonl").read_text().splitlines()]
    return done


def _reward(completions: Sequence[Any], completion_ids: Sequence[list[int]], **rest: Any) -> Any:
    return [float(ids[0] + len(ids) % 3) for ids in completion_ids]


def _recorded(
    trainer: Any, steps: list[list[list[int]]], updates_per_step: int, done: Training
) -> Callable[..., Any]:
    """Return `trainer` with the completions in `steps`; it adds its passes to `done`."""

    class Recorded(trainer):
        def __init__(self, *given: Any, **kwargs: Any) -> None:
            super().__init__(*given, **kwargs)
            for model in filter(None, (self.model, self.ref_model)):
                model.register_forward_pre_hook(self._note, with_kwargs=True)

        def _note(self, model: Any, given: Any, kwargs: dict[str, Any]) -> None:
            reference = model is self.ref_model
            mask = kwargs["attention_mask"].bool()
            done.passes.append(Pass(reference, torch.is_grad_enabled(), mask))

        def training_step(self, *given: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            loss = super().training_step(*given, **kwargs)
            done.seconds += time.process_time() - start
            return loss

        def _generate_single_turn(self, prompt_ids: Any, *rest: Any, **more: Any) -> Any:
            completions = steps[self.state.global_step // updates_per_step]
            first = rank() * len(prompt_ids)
            return completions[first : first + len(prompt_ids)], None

    return Recorded


@contextmanager
def _trainer(kind: Callable[..., Any]) -> Iterator[None]:
    """Let `grpo.train` use another trainer."""
    before = grpo._Trainer
    grpo._Trainer = kind  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        grpo._Trainer = before  # type: ignore[misc]


if __name__ == "__main__":
    trainer, case, model, folder = sys.argv[1:]
    done = train(trainer, Case(**json.loads(case)), model, Path(folder) / "out")
    masks = [one.mask.int().tolist() for one in done.passes if one.gradients]
    (Path(folder) / f"masks-{rank()}.json").write_text(json.dumps(masks))
