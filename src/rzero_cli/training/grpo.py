"""GRPO for both roles with TRL's trainer (paper, sections 2 and 4.1).

`config.py` builds TRL's configuration. This module lays out the rows so that no epoch drops any,
samples rollouts in small batches, and logs TRL's metrics.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback

from rzero_cli.engines.chat import PLAIN_STOPS, end_tokens, render
from rzero_cli.engines.decoding import decode
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.engines.transformers import load_tokenizer, out_of_memory
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.plan import Plan
from rzero_cli.method.prompts import plain_text
from rzero_cli.system.processes import rank
from rzero_cli.system.stopwatch import ROLLOUTS, SAVING, UPDATES, Stopwatch
from rzero_cli.training.adapters import (
    adapter_alone,
    load_policy,
    name_base,
    new_adapter,
    start_of,
    tidy,
)
from rzero_cli.training.config import trl_config, vllm_config
from rzero_cli.training.mismatch import differences, mismatch
from rzero_cli.training.passes import TrimmedTrainer
from rzero_cli.training.ranks import together
from rzero_cli.training.rollouts import Rollouts
from rzero_cli.training.saving import STATES, last_state
from rzero_cli.training.settings import Grpo, Hardware
from rzero_cli.training.sharding import sum_in_float32
from rzero_cli.training.update_log import LOG_NAME, UpdateLog, read_log
from rzero_cli.training.vllm_rollouts import seeded_engine, tell_finished, vllm_stops

_PROJECT = "rzero"


def lay_out_rows(rows: Sequence[dict[str, Any]], plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Return the rows of a whole stage, one per prompt of each step, in order.

    Every row is used once before any is repeated, and each round is shuffled again. The result is
    exactly one epoch for TRL, which would otherwise drop rows that do not fill a step, and silently
    train nothing if there are fewer rows than a step needs.

    Args:
        rows: at least one.
        plan: determines the length, `plan.steps` x `plan.prompts`.
        seed: of the shuffles.
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
    grpo: Grpo,
    hardware: Hardware,
    sampling: SamplingOptions,
    seed: int,
    part: Path,
    batch_size: int,
    on_update: Callable[[dict[str, float]], None],
    rollouts: Rollouts = Rollouts(),
    on_rollouts: Callable[[list[str], int], None] | None = None,
    spent: Stopwatch | None = None,
    template_args: Mapping[str, Any] = {},
    report_to: Sequence[str] = (),
    run_name: str | None = None,
) -> dict[str, Any]:
    """Run GRPO from `model` and write the trained model or adapter into `part`.

    Args:
        model: a saved checkpoint or adapter. It is the KL's reference, so the KL is 0 before the
            first update.
        rows: from `lay_out_rows`, with the messages under `prompt` and the columns `reward` needs.
        reward: TRL's reward function: from the whole generation batch to as many floats.
        plan: steps and updates.
        grpo, hardware, sampling: the options.
        seed: of rollouts and of the optimizer's random numbers.
        part: the unfinished directory; an interrupted run continues from its `checkpoints/`.
        batch_size: rollouts per batch with transformers.
        on_update: called with TRL's metrics after each update; before the first one only with
            `update` and `tokens`, the number of updates and tokens of an interrupted run.
        rollouts: how rollouts are generated.
        on_rollouts: called with the texts of this process's rollouts as they finish, before
            `reward`, and with the number of updates so far. It may miss some: vLLM's server and its
            tensor-parallel engines report none.
        spent: counts the time.
        template_args: arguments of the model's chat template.
        report_to: trackers that also receive the metrics, by transformers' names ("tensorboard",
            ...).
        run_name: the training's name in the trackers.

    Returns:
        `first` and `last`: TRL's metrics of the first and the last update.

    Raises:
        UsageError: several GPUs are visible to a single process.
        RzeroError: the model cannot be loaded, memory runs out, TRL rejects the options, or another
            process of the training has ended.
    """
    torch.manual_seed(seed)
    spent = spent or Stopwatch()
    lora = bool(hardware.lora_r)
    with together(), _quiet_trl(), _memory_in_a_line(), _reporting(part):
        start = start_of(model, part, lora=lora)
        tokenizer = load_tokenizer(start)
        given = list(rows)
        if not tokenizer.chat_template:
            given = [row | {"prompt": plain_text(row["prompt"])} for row in rows]
        # Created before the model, so that DeepSpeed's ZeRO-3 shards the weights while loading.
        others: dict[str, Any] = {"chat_template_kwargs": dict(template_args)}
        if rollouts.mode != "transformers":
            longest = _longest(tokenizer, rows, template_args) + plan.max_tokens
            others |= vllm_config(rollouts, longest)
        others |= {"report_to": list(report_to), "run_name": run_name, "project": _PROJECT}
        config = trl_config(
            plan, grpo, hardware, sampling, seed=seed, states=part / STATES, **others
        )
        if config.n_gpu > 1:
            raise UsageError(
                f"{config.n_gpu} GPUs are visible to one process: start one for each (--processes "
                f"{config.n_gpu}), or choose one with CUDA_VISIBLE_DEVICES"
            )
        policy = load_policy(start, lora=lora)
        ends = end_tokens(tokenizer, policy.generation_config.eos_token_id)
        # transformers ends completions only at these tokens; vLLM does not read them here.
        policy.generation_config.eos_token_id = ends
        if config.use_vllm:
            config.generation_kwargs = vllm_stops(tokenizer, ends)
        with _refused_in_a_line(ImportError, ValueError), seeded_engine(rollouts.mode, seed):
            trainer = _Trainer(
                batch_size,
                spent,
                on_rollouts,
                model=policy,
                reward_funcs=reward,
                args=config,
                train_dataset=Dataset.from_list(given),
                processing_class=tokenizer,
                peft_config=new_adapter(start, hardware),
                callbacks=[UpdateLog(part / LOG_NAME, on_update, plan.rollouts_per_step)],
            )
        trainer.remove_callback(PrinterCallback)  # it would print to standard output
        if lora:
            name_base(trainer.model)
        # TRL loads the reference from this path.
        elif trainer.beta and (path := trainer.model.config._name_or_path) != start:
            raise RzeroError(
                f"internal error: TRL would load {path} instead of {start} as KL reference"
            )
        if last := last_state(part):
            adapter_alone(last)
        # The optimizer's package may be missing.
        with _refused_in_a_line(ImportError), spent.during(UPDATES):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if trainer.state.global_step != plan.updates:
            raise RzeroError(
                f"trained {trainer.state.global_step} updates instead of {plan.updates}"
            )
        with spent.during(SAVING):
            trainer.save_model(str(part))
    if not rank():
        tidy(part)
    metrics = read_log(part / LOG_NAME)
    return {"first": metrics[0], "last": metrics[-1]} if metrics else {}


class _Trainer(TrimmedTrainer):
    """TRL's trainer, sampling rollouts in small batches, and logging the mismatch with vLLM.

    Without vLLM, TRL passes the whole generation batch to `generate`; no GPU has the memory for the
    paper's 2,048 rollouts of 4,096 tokens.

    TRL logs the mismatch only while it corrects for it. This takes no further pass: if a step has
    several updates, TRL computes the log-probabilities of all rollouts before the first; otherwise
    its only update does.
    """

    def __init__(
        self,
        batch_size: int,
        spent: Stopwatch,
        on_rollouts: Callable[[list[str], int], None] | None,
        **kwargs: Any,
    ) -> None:
        self._batch_size, self._spent, self._on_rollouts = batch_size, spent, on_rollouts
        self._differences: list[torch.Tensor] = []
        super().__init__(**kwargs)
        colocated = self.use_vllm and self.vllm_mode == "colocate"
        # Every process of a tensor-parallel engine sees the rollouts of all of them.
        if on_rollouts and colocated and self.vllm_tensor_parallel_size == 1:
            tell_finished(self.vllm_generation.llm, self._tell)
        # With sharded weights every rank must keep stepping until all ranks have finished; only
        # `generate`'s built-in loop does that.
        if not (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            self.model.generate = partial(self.model.generate, custom_generate=decode)

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        sum_in_float32(self.accelerator)  # before TRL shards the reference

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        rollouts: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self._compare(rollouts, rollouts.get("old_per_token_logps"))
        return rollouts

    def _get_per_token_logps_and_entropies(self, *inputs: Any, **kwargs: Any) -> Any:
        scored = super()._get_per_token_logps_and_entropies(*inputs, **kwargs)
        self._scored = scored[0].detach()
        return scored

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        if "old_per_token_logps" not in inputs:
            self._compare(inputs, self._scored)
        return loss

    def _compare(self, rollouts: dict[str, Any], logps: torch.Tensor | None) -> None:
        """Keep the differences between vLLM's log-probabilities and the trainer's."""
        sampled = rollouts.get("sampling_per_token_logps")
        if logps is not None and sampled is not None:
            self._differences.append(differences(logps, sampled, rollouts["completion_mask"]))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._differences:
            logs.update(mismatch(torch.cat(self._differences), self.accelerator))
            self._differences.clear()
        super().log(logs, start_time)

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        with self._spent.during(SAVING):
            super()._save_checkpoint(*arguments, **options)

    def _generate_single_turn(self, *arguments: Any, **options: Any) -> tuple[list[list[int]], Any]:
        with self._spent.during(ROLLOUTS):
            return self._sample(*arguments, **options)

    def _sample(
        self, prompt_ids: list[list[int]], *inputs: Any, **kwargs: Any
    ) -> tuple[list[list[int]], Any]:
        if self.use_vllm:  # it does its own batching
            sampled, logprobs = super()._generate_single_turn(prompt_ids, *inputs, **kwargs)
            return sampled, logprobs
        sampled = []
        for at in range(0, len(prompt_ids), self._batch_size):
            chunk = prompt_ids[at : at + self._batch_size]
            finished = super()._generate_single_turn(chunk, *inputs, **kwargs)[0]
            if not self._tokenizer.chat_template:
                finished = [cut_at_stop(self._tokenizer, one, PLAIN_STOPS) for one in finished]
            self._tell(finished)
            sampled += finished
        return sampled, None

    def _tell(self, finished: list[list[int]]) -> None:
        """Pass the texts of finished rollouts on, decoded as for the reward."""
        if self._on_rollouts:
            texts = self._tokenizer.batch_decode(finished, skip_special_tokens=True)
            self._on_rollouts(texts, self.state.global_step)


def cut_at_stop(tokenizer: Any, tokens: list[int], stops: Sequence[str]) -> list[int]:
    """Return a rollout's tokens up to the end of its first stop string; the rest belongs to a
    further turn and is not trained on."""
    if not any(stop in tokenizer.decode(tokens, skip_special_tokens=True) for stop in stops):
        return tokens
    low, high = 1, len(tokens)  # a longer prefix contains the stop string if a shorter one does
    while low < high:
        middle = (low + high) // 2
        text = tokenizer.decode(tokens[:middle], skip_special_tokens=True)
        low, high = (low, middle) if any(s in text for s in stops) else (middle + 1, high)
    return tokens[:low]


def _longest(
    tokenizer: Any, rows: Sequence[dict[str, Any]], template_args: Mapping[str, Any]
) -> int:
    """Return the number of tokens of the longest prompt."""
    texts = {render(tokenizer, row["prompt"], template_args) for row in rows}
    return max(len(tokenizer(text)["input_ids"]) for text in texts)


@contextmanager
def _reporting(part: Path) -> Iterator[None]:
    """Set the trackers' environment variables that the user has not set: their files go into the
    checkpoint's directory, and are not part of the checkpoint."""
    ours = {"TENSORBOARD_LOGGING_DIR": str(part / "tensorboard"), "WANDB_PROJECT": _PROJECT}
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _refused_in_a_line(*kinds: type[Exception]) -> Iterator[None]:
    """Turn an error of TRL, peft or transformers about the options into one line."""
    try:
        yield
    except kinds as error:
        raise RzeroError(f"cannot train: {' '.join(str(error).split())}") from error


@contextmanager
def _memory_in_a_line() -> Iterator[None]:
    """Turn an out-of-memory error of the GPU or the machine into a line with the options to
    lower."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise RzeroError(
            "out of memory: lower --per-device or use --gradient-checkpointing, and continue from "
            "the last saved step with --resume; or start again with a lower --max-tokens or "
            "--group, or an adapter (--lora-r)"
        ) from error


@contextmanager
def _quiet_trl() -> Iterator[None]:
    """Suppress notices of TRL and accelerate that the user cannot act on."""
    import logging
    import warnings

    logging.getLogger("accelerate").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
