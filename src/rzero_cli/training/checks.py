"""Checks of a training's options, before heavy imports."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines.models import require
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import Plan, make_plan
from rzero_cli.training.rollouts import Rollouts, choose_rollouts
from rzero_cli.training.settings import CORRECTIONS, Grpo, Hardware

REPORTERS = ("tensorboard", "trackio", "wandb")
MOST_PER_ENGINE = 4096
"""TRL's `max_num_batched_tokens` for a colocated engine: vLLM refuses more sequences than that."""


def plan_of(grpo: Grpo, max_tokens: int, processes: int) -> Plan:
    """Return the training plan. Raises UsageError if the numbers do not divide."""
    return make_plan(
        steps=grpo.steps,
        prompts=grpo.prompts,
        batch=grpo.batch,
        group=grpo.group,
        per_device=grpo.per_device,
        max_tokens=max_tokens,
        processes=processes,
    )


def adapter_shape(model: str) -> tuple[int, int] | None:
    """Return r and alpha of an adapter directory; None for a whole model."""
    if adapter_base(model) is None:
        return None
    own = json.loads((Path(model) / "adapter_config.json").read_text("utf-8"))
    return own.get("r"), own.get("lora_alpha")


def check_hardware(model: str, hardware: Hardware, processes: int, *, known_optim: str) -> Rollouts:
    """Check the hardware options and return how rollouts are generated.

    Args:
        model: the model to train.
        hardware: the options.
        processes: of the training.
        known_optim: an optimizer that transformers has; it needs no import to be checked.

    Raises:
        UsageError: a value is unknown or unavailable on this machine.
    """
    _check_sharding()
    _check_optim(hardware.optim, known=known_optim)
    if hardware.lora_r:
        require("train", "peft")
    own = adapter_shape(model)
    if own and hardware.lora_r and own != (hardware.lora_r, hardware.lora_alpha):
        raise UsageError(
            f"{model} is an adapter with --lora-r {own[0]} --lora-alpha {own[1]}: use the same to "
            "continue it, or `rzero merge` it first"
        )
    return choose_rollouts(hardware, processes)


def _check_sharding() -> None:
    """Reject settings of accelerate's FSDP, both its defaults, that spoil the result."""
    if os.environ.get("ACCELERATE_USE_FSDP") != "true":  # set by its launcher, like the others
        return
    if os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING") == "true":
        raise UsageError(
            "accelerate's configuration: set fsdp_cpu_ram_efficient_loading to false, or all ranks "
            "but the first have an empty KL reference and an empty frozen Solver"
        )
    whole = os.environ.get("FSDP_STATE_DICT_TYPE", "").upper() == "FULL_STATE_DICT"
    if os.environ.get("FSDP_VERSION") == "2" and not whole:
        raise UsageError(
            "accelerate's configuration: set fsdp_state_dict_type to FULL_STATE_DICT, or the "
            "checkpoint has no weights"
        )


def check_correction(correction: str, mode: str) -> None:
    """Raise UsageError if --rollout-correction is unknown, or if `mode`, the rollout engine, is not
    vLLM."""
    if correction not in CORRECTIONS:
        raise UsageError(
            f"--rollout-correction {correction}: unknown; known: {', '.join(CORRECTIONS)}"
        )
    if correction != "none" and mode == "transformers":
        raise UsageError(
            f"--rollout-correction {correction} requires rollouts from vLLM, but transformers "
            "generates them: their probabilities are the trainer's"
        )


def check_engine_size(rollouts: Rollouts, plan: Plan) -> None:
    """Raise UsageError if a step has more rollouts per engine than TRL lets vLLM batch."""
    if rollouts.mode != "colocate":
        return
    per_engine = plan.rollouts_per_step // plan.processes * rollouts.tensor_parallel_size
    if per_engine > MOST_PER_ENGINE:
        raise UsageError(
            f"--prompts {plan.prompts} x --group {plan.group}: {per_engine:,} rollouts per vLLM "
            f"engine, and TRL allows {MOST_PER_ENGINE:,}: lower --prompts, or raise --processes"
        )


def reporters_of(texts: Sequence[str] | None) -> list[str]:
    """Return the trackers of --report-to, by transformers' names.

    Raises:
        UsageError: one is unknown, or its package is not installed.
    """
    names = [name.strip() for text in texts or () for name in text.split(",")]
    for name in names:
        if name not in REPORTERS:
            raise UsageError(f"--report-to {name}: unknown; known: {', '.join(REPORTERS)}")
        # A directory of that name, such as wandb's output, looks like a namespace package.
        if (found := find_spec(name)) is None or found.origin is None:
            raise UsageError(f"--report-to {name}: {name} not installed: pip install {name}")
    return names


def _check_optim(name: str, *, known: str) -> None:
    """Reject an optimizer that transformers does not know, or whose package is not installed."""
    if name == known:
        return
    from transformers.training_args import OptimizerNames

    names = [str(member.value) for member in OptimizerNames]
    if name not in names:
        like = ", ".join(get_close_matches(name, names, cutoff=0.4) or [known])
        raise UsageError(f"--optim {name}: unknown to transformers; known: {like}")
    theirs = any(part in name for part in ("bnb", "8bit", "paged", "lion", "ademamix"))
    if theirs and not name.startswith("adamw_torch") and find_spec("bitsandbytes") is None:
        raise UsageError(f"--optim {name}: bitsandbytes not installed: pip install bitsandbytes")
