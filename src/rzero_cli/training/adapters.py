"""LoRA, by peft: where a training begins, what of it is trained, and what it leaves.

The KL is always to the model that the stage started from. For a new adapter that is its base, which
TRL reaches by switching the adapter off; for an adapter that is trained on, TRL keeps a copy of it;
for all weights TRL reads the model a second time from its directory, so that an adapter has to be
merged into one first.
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
    """The directory to begin from: `model`, or its merged copy where all weights are trained."""
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
    """The model to train; with its adapter, trainable, where it is one."""
    base = adapter_base(start)
    if base is None or not lora:
        return load_model(start, training=True)
    return load_adapter(load_model(base, training=True), start, trainable=True)


def new_adapter(start: str, hardware: Hardware) -> Any:
    """The configuration of an adapter that is to be made; None where there is nothing to make."""
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
    """Name an adapter's base by its whole path, which is found from every folder."""
    config = policy.peft_config["default"]
    if Path(config.base_model_name_or_path).is_dir():
        config.base_model_name_or_path = str(Path(config.base_model_name_or_path).absolute())


def adapter_alone(state: Path) -> None:
    """Take TRL's copy of the reference out of a state that is to be continued: it is made anew, and
    beside it transformers would not find the adapter itself."""
    on_first(lambda: shutil.rmtree(state / "ref", ignore_errors=True))


def tidy(part: Path) -> None:
    """Take out of a finished checkpoint what the trainers put there beside the model."""
    for name in ("training_args.bin", "README.md"):  # a pickle; a form that nobody has filled in
        (part / name).unlink(missing_ok=True)
    for name in (_MERGED, "ref"):  # ours; TRL's copy of the adapter that the stage started from
        shutil.rmtree(part / name, ignore_errors=True)
