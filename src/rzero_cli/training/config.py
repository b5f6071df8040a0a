"""TRL's configuration of a training, which maps each GRPO option to TRL's argument.

It sets the paper's loss (`grpo`, plain k3 KL to the model that the stage started from, constant
learning rate) and the exact plan of steps and updates.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import Plan
from rzero_cli.training.ranks import PATIENCE
from rzero_cli.training.rollouts import Rollouts
from rzero_cli.training.settings import Grpo, Hardware

LARGEST_WEIGHT = 2.0
"""Of a token, under the correction token_truncate."""

_LAUNCHED_WITH = "ACCELERATE_MIXED_PRECISION"
"""Set by accelerate's launcher."""


def mixed_precision() -> str:
    """Return the precision of the passes, by accelerate's name: bf16, fp16, or no for float32.

    The configuration of accelerate's launcher decides; without it, bf16 on a GPU. A GPU that would
    only emulate bfloat16 computes in float32 instead.
    """
    gpu = torch.cuda.is_available()
    wanted = os.environ.get(_LAUNCHED_WITH, "bf16" if gpu else "no")
    if wanted == "bf16" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "no"
    return wanted


def trl_config(
    plan: Plan,
    grpo: Grpo,
    hardware: Hardware,
    sampling: SamplingOptions,
    *,
    seed: int,
    states: Path,
    **others: Any,
) -> GRPOConfig:
    """Return TRL's configuration.

    Args:
        plan: steps and updates.
        grpo, hardware, sampling: the options.
        seed: of TRL's random numbers.
        states: directory of the resumable states.
        others: additional arguments of TRL's configuration.
    """
    gpu = torch.cuda.is_available()
    wanted = hardware.gradient_checkpointing
    checkpointing = gpu if wanted is None else wanted
    precision = mixed_precision()
    if _LAUNCHED_WITH in os.environ:  # transformers and DeepSpeed read it, too
        os.environ[_LAUNCHED_WITH] = precision
    return GRPOConfig(
        output_dir=str(states),
        # The plan. generation_batch_size decides when TRL generates; TRL rejects
        # steps_per_generation next to it.
        max_steps=plan.updates,
        per_device_train_batch_size=plan.per_device,
        gradient_accumulation_steps=plan.gradient_accumulation,
        generation_batch_size=plan.rollouts_per_step,
        num_generations=plan.group,
        shuffle_dataset=False,
        # The paper's loss: sequence means, group-scaled advantages, plain k3.
        loss_type="grpo",
        scale_rewards="group",
        beta=grpo.beta,
        use_bias_correction_kl=False,
        epsilon=grpo.clip_low,
        epsilon_high=grpo.clip_high,
        delta=grpo.clip_dual or None,
        # TRL's default, sequence_mask, weights a completion by the product over its tokens of the
        # probability without top-p divided by that with it: at top-p 0.99 a long completion would
        # hardly count. The paper has no such weight.
        vllm_importance_sampling_correction=grpo.rollout_correction != "none",
        vllm_importance_sampling_mode="token_truncate",
        vllm_importance_sampling_clip_max=LARGEST_WEIGHT,
        # The optimizer.
        optim=hardware.optim,
        learning_rate=grpo.learning_rate,
        weight_decay=grpo.weight_decay,
        lr_scheduler_type="constant",
        max_grad_norm=grpo.max_grad_norm,
        # Rollouts.
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_completion_length=plan.max_tokens,
        **others,
        # The machine.
        use_cpu=not gpu,
        bf16=precision == "bf16",
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        dataloader_pin_memory=gpu,
        ddp_find_unused_parameters=False,
        ddp_timeout=int(PATIENCE.total_seconds()),
        # States are saved at whole steps only: within a step, TRL's rollouts would be lost.
        save_strategy="steps",
        save_steps=grpo.save_every * plan.updates_per_step,
        logging_steps=1,
        disable_tqdm=True,
        seed=seed,
        remove_unused_columns=False,
        trust_remote_code=False,
    )


def vllm_config(rollouts: Rollouts, length: int) -> dict[str, Any]:
    """Return TRL's arguments for rollouts from vLLM; `length` is the longest prompt plus completion
    in tokens."""
    return {
        "use_vllm": True,
        "vllm_mode": rollouts.mode,
        "vllm_server_base_url": rollouts.endpoint,
        "vllm_gpu_memory_utilization": rollouts.memory,
        "vllm_tensor_parallel_size": rollouts.tensor_parallel_size,
        "vllm_max_model_length": length,
        # vLLM leaves the GPU to the gradients while they are computed.
        "vllm_enable_sleep_mode": rollouts.mode == "colocate",
    }
