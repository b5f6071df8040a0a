"""GRPO for either role, by TRL's trainer (paper, sections 2 and 4.1).

What TRL leaves open is decided here: the paper's loss (`grpo`, plain k3 KL to the model that the
stage started from, constant learning rate), a plan of steps and updates that is carried out to the
letter, rows laid out so that no epoch drops any, and a checkpoint directory that appears whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rzero_cli.core.plan import Plan
from rzero_cli.core.prompts import Messages, plain_text
from rzero_cli.core.streams import can_continue, part_of, write_json
from rzero_cli.engines.transformers import load_model, load_tokenizer
from rzero_cli.errors import AlreadyDone, RzeroError

__all__ = [
    "Hyperparameters",
    "is_main_process",
    "keep_untrained",
    "lay_out_rows",
    "open_checkpoint",
    "train",
]

LOG_NAME = "log.jsonl"
_STATES = "checkpoints"
_SETTINGS = ".settings.json"


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What GRPO is run with, beside the plan; the paper's names."""

    learning_rate: float
    weight_decay: float
    beta: float
    """KL coefficient."""
    clip_low: float
    clip_high: float
    clip_dual: float
    """The dual clip's bound; 0 is none."""
    max_grad_norm: float
    temperature: float
    top_p: float
    top_k: int
    seed: int


def lay_out_rows(rows: Sequence[dict[str, Any]], plan: Plan, seed: int) -> list[dict[str, Any]]:
    """The rows of a whole stage, one for each prompt of each step, in the order they are used.

    Every row is used once before any is used again, in an order drawn anew each time. TRL then has
    exactly one epoch: it would drop what does not fill a step, and silently train nothing on fewer
    rows than a step needs.

    Args:
        rows: at least one.
        plan: `plan.steps` x `plan.prompts` rows are laid out.
        seed: of the orders.
    """
    rng = random.Random(seed)
    wanted = plan.steps * plan.prompts
    laid_out: list[dict[str, Any]] = []
    while len(laid_out) < wanted:
        laid_out += rng.sample(rows, len(rows))
    return laid_out[:wanted]


def train(
    model: str,
    rows: Sequence[dict[str, Any]],
    reward: Callable[..., list[float]],
    *,
    plan: Plan,
    hyper: Hyperparameters,
    part: Path,
    batch_size: int,
    on_update: Callable[[dict[str, float]], None],
    save_every: int = 1,
) -> dict[str, Any]:
    """Run GRPO from `model` and write the trained model into `part`.

    Args:
        model: a saved checkpoint; the KL is to it, so that it is 0 before the first update.
        rows: from `lay_out_rows`, with the messages under `prompt` and whatever `reward` needs.
        reward: TRL's reward function: the whole generation batch in, as many floats out.
        plan: steps and updates.
        hyper: the rest.
        part: the unfinished directory; its `checkpoints/` continues an interrupted run.
        batch_size: rollouts generated at a time.
        on_update: called with TRL's figures after each update.
        save_every: steps between two states that can be continued.

    Returns:
        The figures of the last step, and of the first its KL.
    """
    torch.manual_seed(hyper.seed)
    tokenizer = load_tokenizer(model)
    dataset = Dataset.from_list([row | {"prompt": _prompt(tokenizer, row)} for row in rows])
    states = part / _STATES
    log = _Log(part / LOG_NAME, on_update)
    with _quiet_trl():
        trainer = _Trainer(
            batch_size,
            model=load_model(model, training=True),
            reward_funcs=reward,
            args=_config(plan, hyper, states, save_every),
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[log],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output
        _check_reference(trainer, model)
        last = _last_state(states)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if trainer.state.global_step != plan.updates:
            raise RzeroError(
                f"trained {trainer.state.global_step} updates instead of {plan.updates}"
            )
        trainer.save_model(str(part))
        (part / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to anybody
    figures = _read_log(part / LOG_NAME)
    return {"first": figures[0], "last": figures[-1]} if figures else {}


def keep_untrained(model: str, part: Path) -> None:
    """Write `model` into `part` as it is, where there is nothing to train it on."""
    with _quiet_trl():
        load_model(model, training=True).save_pretrained(part)
    load_tokenizer(model).save_pretrained(part)


class _Trainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, drawing rollouts a few at a time.

    Without vLLM it gives `generate` the whole generation batch at once: at the paper's 2,048
    rollouts of 4,096 tokens no GPU has the memory.
    """

    def __init__(self, batch_size: int, **kwargs: Any) -> None:
        self._batch_size = batch_size
        super().__init__(**kwargs)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *inputs: Any, **kwargs: Any
    ) -> tuple[list[list[int]], None]:
        drawn: list[list[int]] = []
        for at in range(0, len(prompt_ids), self._batch_size):
            chunk = prompt_ids[at : at + self._batch_size]
            drawn += super()._generate_single_turn(chunk, *inputs, **kwargs)[0]
        return drawn, None


def _prompt(tokenizer: Any, row: dict[str, Any]) -> Messages | str:
    messages: Messages = row["prompt"]
    return messages if tokenizer.chat_template else plain_text(messages)


def _config(plan: Plan, hyper: Hyperparameters, states: Path, save_every: int) -> GRPOConfig:
    gpu = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(states),
        # The plan. generation_batch_size decides when TRL generates; steps_per_generation as well
        # would be a contradiction to it.
        max_steps=plan.updates,
        per_device_train_batch_size=plan.per_device,
        gradient_accumulation_steps=plan.gradient_accumulation,
        generation_batch_size=plan.rollouts_per_step,
        num_generations=plan.group,
        shuffle_dataset=False,
        # The loss of the paper: sequence means, group-scaled advantages, plain k3.
        loss_type="grpo",
        scale_rewards="group",
        beta=hyper.beta,
        use_bias_correction_kl=False,
        epsilon=hyper.clip_low,
        epsilon_high=hyper.clip_high,
        delta=hyper.clip_dual or None,
        # The optimizer.
        learning_rate=hyper.learning_rate,
        weight_decay=hyper.weight_decay,
        lr_scheduler_type="constant",
        max_grad_norm=hyper.max_grad_norm,
        # Rollouts.
        temperature=hyper.temperature,
        top_p=hyper.top_p,
        top_k=hyper.top_k,
        max_completion_length=plan.max_tokens,
        # The machine.
        use_cpu=not gpu,
        bf16=gpu,
        gradient_checkpointing=gpu,
        gradient_checkpointing_kwargs={"use_reentrant": False} if gpu else None,
        dataloader_pin_memory=gpu,
        # States are kept at whole steps only: in between, TRL's rollouts would be lost.
        save_strategy="steps",
        save_steps=save_every * plan.updates_per_step,
        save_total_limit=1,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        seed=hyper.seed,
        remove_unused_columns=False,
    )


def _check_reference(trainer: Any, model: str) -> None:
    """TRL reads its reference model again from the configuration's path: it must be ours."""
    path = trainer.model.config._name_or_path
    if trainer.beta and path != model:
        raise RzeroError(f"the KL's reference would be {path} instead of {model}")


def _last_state(states: Path) -> Path | None:
    found = [p for p in states.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return max(found, key=lambda p: int(p.name.split("-")[1]), default=None)


@contextmanager
def _quiet_trl() -> Iterator[None]:
    """Keep notices of TRL and accelerate that no user can act on off the terminal."""
    import logging
    import warnings

    logging.getLogger("accelerate").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Log(TrainerCallback):  # type: ignore[misc]
    """Writes TRL's figures, one JSON object an update, and passes them on."""

    def __init__(self, path: Path, on_update: Callable[[dict[str, float]], None]) -> None:
        self._path, self._on_update = path, on_update

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop the figures of updates that a continued run makes again."""
        if state.is_world_process_zero:
            kept = [line for line in _read_log(self._path) if line["update"] <= state.global_step]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            self._path.write_text(text, encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or "loss" not in logs:
            return
        figures = {"update": state.global_step} | {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in logs.items()
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(figures) + "\n")
        self._on_update(figures)


def _read_log(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


@contextmanager
def open_checkpoint(
    target: Path, *, settings: dict[str, Any], resume: bool, force: bool
) -> Iterator[Path]:
    """The unfinished directory `TARGET.part`, which becomes `target` when the block ends well.

    Raises:
        UsageError: as `core.streams.open_output`.
        AlreadyDone: with `resume`, when the target is complete.
    """
    part = part_of(target)
    if resume and target.exists() and not force:
        raise AlreadyDone(f"{target} is complete already")
    main = is_main_process()
    if main and not can_continue(
        target, part, part / _SETTINGS, settings, force=force, resume=resume
    ):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        write_json(part / _SETTINGS, settings)
    try:
        yield part
    except BaseException:
        if main and _last_state(part / _STATES) is None:  # nothing to go on from
            shutil.rmtree(part, ignore_errors=True)
        raise
    PartialState().wait_for_everyone()
    if main:
        shutil.rmtree(part / _STATES, ignore_errors=True)
        (part / _SETTINGS).unlink()
        if target.exists():
            shutil.rmtree(target)
        part.replace(target)


def is_main_process() -> bool:
    """Whether this is the process that writes files, of those that torchrun or accelerate began."""
    return int(os.environ.get("RANK", "0")) == 0
