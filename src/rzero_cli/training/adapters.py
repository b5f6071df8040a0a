"""LoRA adapters with peft: loading the initial policy, and cleaning up the checkpoint.

The KL's reference is always the model that the stage started from. For a new adapter it is the
base, which TRL gets by disabling the adapter. For an existing adapter TRL keeps a copy. If all
weights are trained, TRL loads the reference from the model's directory, so an adapter is merged
into a copy first.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines.transformers import load_adapter, load_model
from rzero_cli.training.ranks import on_first
from rzero_cli.training.saving import save_as_it_is
from rzero_cli.training.settings import Hardware

_MERGED = "start"


def start_of(model: str, part: Path, *, lora: bool) -> str:
    """Return the directory to start from: `model`, or for a full training of an adapter, a merged
    copy in `part`."""
    if lora or adapter_base(model) is None:
        return model
    whole, making = part / _MERGED, part / f".{_MERGED}"

    def merge_once() -> None:
        if not whole.is_dir():
            shutil.rmtree(making, ignore_errors=True)
            save_as_it_is(model, making)
            making.replace(whole)

    on_first(merge_once)
    return str(whole)


def load_policy(start: str, *, lora: bool) -> Any:
    """Load the model to train; an adapter that `lora` continues is loaded as trainable.

    Raises:
        RzeroError: as `engines.transformers.load_model`.
    """
    base = adapter_base(start)
    if base is None or not lora:
        return load_model(start, training=True)
    return load_adapter(load_model(base, training=True), start, trainable=True)


def new_adapter(start: str, hardware: Hardware) -> Any:
    """Return the configuration of a new adapter; None without LoRA, or to continue an adapter."""
    if not hardware.lora_r or adapter_base(start) is not None:
        return None
    from peft import LoraConfig

    targets = hardware.lora_targets
    return LoraConfig(
        r=hardware.lora_r,
        lora_alpha=hardware.lora_alpha,
        target_modules=targets
        if targets == "all-linear"
        else [name.strip() for name in targets.split(",")],
        task_type="CAUSAL_LM",
    )


def name_base(policy: Any) -> None:
    """Store an adapter's base as an absolute path, which works from every directory, and its
    targets in one order: peft keeps a set."""
    config = policy.peft_config["default"]
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)
    if Path(config.base_model_name_or_path).is_dir():
        config.base_model_name_or_path = str(Path(config.base_model_name_or_path).absolute())


def adapter_alone(state: Path) -> None:
    """Remove TRL's copy of the reference from a state to be continued: TRL creates it again, and
    next to it transformers would not find the adapter itself."""
    on_first(lambda: shutil.rmtree(state / "ref", ignore_errors=True))


def tidy(part: Path) -> None:
    """Remove everything but the model from a finished checkpoint."""
    for name in ("training_args.bin", "README.md"):  # a pickle; an empty model card
        (part / name).unlink(missing_ok=True)
    for name in (_MERGED, "ref"):  # the merged start; TRL's copy of the initial adapter
        shutil.rmtree(part / name, ignore_errors=True)
