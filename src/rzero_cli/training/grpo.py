"""GRPO for either role, by TRL's trainer (paper, sections 2 and 4.1).

`config.py` says what TRL is told. Here rows are laid out so that no epoch drops any, rollouts are
sampled a few at a time, and TRL's metrics are logged.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from rzero_cli.data.whole_files import write_text
from rzero_cli.engines.chat import PLAIN_STOPS, end_tokens, render
from rzero_cli.engines.decoding import decode
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.engines.transformers import load_tokenizer, out_of_memory
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.plan import Plan, tokens_written
from rzero_cli.method.prompts import plain_text
from rzero_cli.system.processes import rank
from rzero_cli.training.adapters import (
    adapter_alone,
    load_policy,
    name_base,
    new_adapter,
    start_of,
    tidy,
)
from rzero_cli.training.config import trl_config, vllm_config
from rzero_cli.training.ranks import together, wait
from rzero_cli.training.rollouts import Rollouts
from rzero_cli.training.saving import STATES, last_state, only_state
from rzero_cli.training.settings import Grpo, Hardware

LOG_NAME = "log.jsonl"
_PROJECT = "rzero"


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
    grpo: Grpo,
    hardware: Hardware,
    drawing: SamplingOptions,
    seed: int,
    part: Path,
    batch_size: int,
    on_update: Callable[[dict[str, float]], None],
    rollouts: Rollouts = Rollouts(),
    template_args: Mapping[str, Any] = {},
    report_to: Sequence[str] = (),
    run_name: str | None = None,
) -> dict[str, Any]:
    """Run GRPO from `model` and write the trained model, or adapter, into `part`.

    Args:
        model: a saved checkpoint or adapter; the KL is to it, so that it is 0 before the first
            update.
        rows: from `lay_out_rows`, with the messages under `prompt` and whatever `reward` needs.
        reward: TRL's reward function: the whole generation batch in, as many floats out.
        plan: steps and updates.
        grpo, hardware, drawing: the options.
        seed: of rollouts and of the optimizer's random numbers.
        part: the unfinished directory; its `checkpoints/` continues an interrupted run.
        batch_size: rollouts that transformers generates at a time.
        on_update: called with TRL's figures after each update; before the first one with `update`
            and `tokens` alone, those written before the training was interrupted.
        rollouts: where rollouts are generated.
        template_args: arguments of the model's chat template.
        report_to: where TRL's figures go beside, by transformers' names ("tensorboard", ...).
        run_name: what the training is called there.

    Returns:
        The figures of the last step, and of the first its KL.

    Raises:
        UsageError: several GPUs are visible to a single process.
        RzeroError: the model cannot be loaded; another process of the training has ended.
    """
    torch.manual_seed(seed)
    lora = hardware.lora_r > 0
    with together(), _quiet_trl(), _memory_in_a_line(), _reporting(part):
        start = start_of(model, part, lora=lora)
        tokenizer = load_tokenizer(start)
        given = list(rows)
        if not tokenizer.chat_template:
            given = [row | {"prompt": plain_text(row["prompt"])} for row in rows]
        # Before the model is loaded: DeepSpeed's ZeRO-3 shards while loading, if it is known of.
        others: dict[str, Any] = {"chat_template_kwargs": dict(template_args)}
        if rollouts.mode != "transformers":
            longest = _longest(tokenizer, rows, template_args) + plan.max_tokens
            others |= vllm_config(rollouts, longest)
            if not tokenizer.chat_template:  # as `cut_at_stop` where transformers generates
                stops = {"stop": list(PLAIN_STOPS), "include_stop_str_in_output": True}
                others["generation_kwargs"] = stops
        others |= {"report_to": list(report_to), "run_name": run_name, "project": _PROJECT}
        config = trl_config(
            plan, grpo, hardware, drawing, seed=seed, states=part / STATES, **others
        )
        if config.n_gpu > 1:
            raise UsageError(
                f"{config.n_gpu} GPUs are visible to one process: begin one for each (--processes "
                f"{config.n_gpu}), or choose one with CUDA_VISIBLE_DEVICES"
            )
        policy = load_policy(start, lora=lora)
        # TRL ends a completion at these, and at no others.
        policy.generation_config.eos_token_id = end_tokens(
            tokenizer, policy.generation_config.eos_token_id
        )
        with _refused_in_a_line(ImportError, ValueError):
            trainer = _Trainer(
                batch_size,
                model=policy,
                reward_funcs=reward,
                args=config,
                train_dataset=Dataset.from_list(given),
                processing_class=tokenizer,
                peft_config=new_adapter(start, hardware),
                callbacks=[_Log(part / LOG_NAME, on_update, plan.rollouts_per_step)],
            )
        trainer.remove_callback(PrinterCallback)  # it prints to standard output
        if lora:
            name_base(trainer.model)
        # TRL loads its reference model from the configuration's path: it must be ours.
        elif trainer.beta and (path := trainer.model.config._name_or_path) != start:
            raise RzeroError(f"the KL's reference would be {path} instead of {start}")
        if last := last_state(part):
            adapter_alone(last)
        with _refused_in_a_line(ImportError):  # an optimizer's package
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if trainer.state.global_step != plan.updates:
            raise RzeroError(
                f"trained {trainer.state.global_step} updates instead of {plan.updates}"
            )
        trainer.save_model(str(part))
    if not rank():
        tidy(part)
    figures = _read_log(part / LOG_NAME)
    return {"first": figures[0], "last": figures[-1]} if figures else {}


class _Trainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, drawing rollouts a few at a time.

    Without vLLM it gives `generate` the whole generation batch at once: at the paper's 2,048
    rollouts of 4,096 tokens no GPU has the memory.
    """

    def __init__(self, batch_size: int, **kwargs: Any) -> None:
        self._batch_size = batch_size
        super().__init__(**kwargs)
        # Where weights are spread over processes, all have to go on until the last row has ended
        # anywhere, which is a thing between `generate` and its own loop.
        if not (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            self.model.generate = partial(self.model.generate, custom_generate=decode)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *inputs: Any, **kwargs: Any
    ) -> tuple[list[list[int]], Any]:
        if self.use_vllm:  # which schedules them itself
            drawn, logprobs = super()._generate_single_turn(prompt_ids, *inputs, **kwargs)
            return drawn, logprobs
        drawn = []
        for at in range(0, len(prompt_ids), self._batch_size):
            chunk = prompt_ids[at : at + self._batch_size]
            drawn += super()._generate_single_turn(chunk, *inputs, **kwargs)[0]
        if self._tokenizer.chat_template:
            return drawn, None
        return [cut_at_stop(self._tokenizer, tokens, PLAIN_STOPS) for tokens in drawn], None


def cut_at_stop(tokenizer: Any, tokens: list[int], stops: Sequence[str]) -> list[int]:
    """A rollout up to where a stop string is written out: what comes after it belongs to a turn
    that nobody asked for, and is not trained on."""
    if not any(stop in tokenizer.decode(tokens, skip_special_tokens=True) for stop in stops):
        return tokens
    low, high = 1, len(tokens)  # the text of a longer beginning holds that of a shorter one
    while low < high:
        middle = (low + high) // 2
        text = tokenizer.decode(tokens[:middle], skip_special_tokens=True)
        low, high = (low, middle) if any(s in text for s in stops) else (middle + 1, high)
    return tokens[:low]


def _longest(
    tokenizer: Any, rows: Sequence[dict[str, Any]], template_args: Mapping[str, Any]
) -> int:
    """Tokens of the longest prompt."""
    texts = {render(tokenizer, row["prompt"], template_args) for row in rows}
    return max(len(tokenizer(text)["input_ids"]) for text in texts)


@contextmanager
def _reporting(part: Path) -> Iterator[None]:
    """What those that figures are reported to take from the environment alone, where the user has
    not said it: their files go with the checkpoint, below it, where nothing is a part of it."""
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
    """What TRL, peft or transformers refuse of our options, as an error of one line."""
    try:
        yield
    except kinds as error:
        raise RzeroError(f"this cannot be trained: {' '.join(str(error).split())}") from error


@contextmanager
def _memory_in_a_line() -> Iterator[None]:
    """What to lower where memory has run out, of the GPU or of the machine."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not out_of_memory(error):
            raise
        raise RzeroError(
            "out of memory: lower --per-device or give --gradient-checkpointing, with which "
            "--resume goes on from the last saved step; else lower --max-tokens or --group, or "
            "train an adapter (--lora-r), from the start"
        ) from error


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

    def __init__(
        self, path: Path, on_update: Callable[[dict[str, float]], None], rollouts_per_step: int
    ) -> None:
        self._path, self._on_update = path, on_update
        self._rollouts_per_step = rollouts_per_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop the figures of updates that a continued run makes again."""
        if state.is_world_process_zero:
            kept = [line for line in _read_log(self._path) if line["update"] <= state.global_step]
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            tokens = tokens_written(kept, self._rollouts_per_step)
            self._on_update({"update": state.global_step, "tokens": tokens})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the new state alone, when every process has written its share of it."""
        wait()
        if state.is_world_process_zero:
            only_state(self._path.parent)

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
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last is empty, or torn by a crash
