"""Options of GRPO trainings: the algorithm, memory and processes.

An option of GRPO is a field here and its use in `training/config.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rzero_cli.fields import option

MODES = ("auto", "transformers", "colocate", "server")
"""Rollout engines; see `training/rollouts.py`."""
CORRECTIONS = ("none", "token_truncate")
"""Of the loss, for the mismatch between vLLM's and the trainer's probabilities."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Grpo:
    """The plan of steps and updates, and the loss, with the paper's names."""

    PANEL: ClassVar = "GRPO"
    steps: int = option("Steps; each samples prompts x group rollouts.", min=1)
    prompts: int = option("Prompts per step.", min=1)
    batch: int = option("Prompts per update; a step has prompts/batch updates.", min=1)
    group: int = option("Rollouts per prompt: G.", min=2)
    per_device: int | None = option(
        "Rollouts per pass on one device.",
        unset="the largest divisor of an update up to 8 that fits",
        min=1,
        compared=False,
    )
    learning_rate: float = option(
        "Constant learning rate; an adapter's default is 10 times as high.", min=0.0
    )
    weight_decay: float = option("AdamW's weight decay.", min=0.0)
    beta: float = option("KL coefficient.", min=0.0)
    clip_low: float = option("The ratio is clipped at 1 - this.", min=0.0)
    clip_high: float = option("... and at 1 + this.", min=0.0)
    clip_dual: float = option("Dual-clip bound; 0 is off.", min=0.0)
    rollout_correction: str = option(
        "token_truncate weights a token by the trainer's probability divided by vLLM's, at most 2.",
        metavar="|".join(CORRECTIONS),
    )
    max_grad_norm: float = option("Gradients are clipped here.", min=0.0)
    save_every: int = option("Steps between resumable states.", min=1)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Hardware:
    """Memory, rollout engine and processes of a training."""

    PANEL: ClassVar = "Memory and processes"
    optim: str = option("Optimizer, by transformers' name; adamw_8bit saves memory.")
    lora_r: int | None = option(
        "Rank of the LoRA adapter to train; 0 trains all weights.",
        unset="of an adapter its own, else 0, or 16 where all weights do not fit",
        min=0,
    )
    lora_alpha: int = option("LoRA scale: alpha / r.", min=1)
    lora_targets: str = option("LoRA modules: all-linear, or names with commas.")
    gradient_checkpointing: bool | None = option(
        "Recompute activations instead of keeping them.",
        "--gradient-checkpointing/--no-gradient-checkpointing",
        unset="on a GPU",
        compared=False,
    )
    rollouts: str = option(f"Rollout engine: {', '.join(MODES)} (the last two are vLLM).")
    rollout_endpoint: str | None = option(
        "URL of the rollout server.", metavar="URL", recorded=False
    )
    rollout_memory: float | None = option(
        "Fraction of a GPU's memory for colocate.",
        unset="what the training leaves",
        min=0.0,
        max=1.0,
        recorded=False,
    )
    rollout_tensor_parallel_size: int = option(
        "GPUs that share colocate's model.", min=1, recorded=False
    )
    accelerate: str | None = option(
        "Start under accelerate with this configuration: a file, or the name of a shipped one.",
        unset="fsdp2 where one GPU cannot hold the weights",
        metavar="CONFIG",
        recorded=False,
    )
    processes: int | None = option(
        "Start this many processes.", unset="the configuration's, else one for each GPU", min=1
    )
    gpu_memory: float | None = option(
        "GiB of each GPU to plan for.", unset="this machine's", min=1.0, recorded=False
    )
