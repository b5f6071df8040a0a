"""The transformers engine: any Hugging Face causal LM, on a CPU or one GPU.

Prompts are read in windows of a few batches. Within a window, completions are sorted by prompt
length and split into batches to minimize padding; a result is yielded when its last completion is
finished. Windows lie at fixed positions and each batch is seeded by its position, so a run is
reproducible and can be continued anywhere.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import dropwhile, groupby, islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, StoppingCriteria
from transformers.utils import logging as transformers_logging

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines import (
    DEFAULT_BATCH_SIZE,
    Completed,
    Completion,
    Engine,
    K,
    Keep,
    Prompts,
    Sampling,
    chat,
    derived_seed,
)
from rzero_cli.engines.decoding import decode
from rzero_cli.engines.loadable import has_tokenizer
from rzero_cli.engines.models import require
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import Prompt

BATCHES_PER_WINDOW = 4

FROM_CHECKPOINTS = {"use_safetensors": True, "trust_remote_code": False}
"""Arguments for loading weights: no pickles, and no code from a checkpoint."""


def default_device() -> str:
    """Return the device: this process's GPU (LOCAL_RANK, else 0), or the CPU without a GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def default_dtype() -> str:
    """Return the precision for inference: 16 bits on a GPU, bfloat16 if it has that. Trained
    checkpoints are saved in float32, which would double the weights and the KV cache."""
    if not torch.cuda.is_available():
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def load_model(model: str, *, training: bool = False, dtype: str | None = None) -> Any:
    """Load a causal LM; an adapter is merged into its base.

    Args:
        model: directory or hub name.
        training: load in float32, since bfloat16 rounding would lose updates at a learning rate
            of 1e-6, and leave placement and autocast to the trainer. Otherwise the model is put on
            the GPU or the CPU in `default_dtype`.
        dtype: overrides the precision; a torch dtype's name.

    Raises:
        RzeroError: it cannot be loaded or lacks weights; the message is one line.
        UsageError: torch has no such dtype.
    """
    precision = dtype or ("float32" if training else default_dtype())
    known = getattr(torch, precision, None)
    # torch also has integers, such as int3.
    if precision != "auto" and not (isinstance(known, torch.dtype) and known.is_floating_point):
        raise UsageError(f"--dtype {precision}: unknown; float32, bfloat16 or float16")
    base = adapter_base(model)
    if base:
        require("train", "peft")
    with _one_line_errors(model):
        loaded, found = AutoModelForCausalLM.from_pretrained(
            base or model, dtype=precision, output_loading_info=True, **FROM_CHECKPOINTS
        )
        _refuse_missing(base or model, found["missing_keys"])
        if base:
            loaded = load_adapter(loaded, model).merge_and_unload()
        return loaded if training else loaded.to(default_device()).eval()


def load_adapter(base: Any, adapter: str, *, trainable: bool = False) -> Any:
    """Apply an adapter to its loaded base.

    Raises:
        RzeroError: it cannot be loaded or lacks weights.
    """
    from peft import PeftModel
    from peft.utils import SAFETENSORS_WEIGHTS_NAME

    with _one_line_errors(adapter), warnings.catch_warnings(record=True) as caught:
        # Without this file, peft would read a pickle.
        if Path(adapter).is_dir() and not (Path(adapter) / SAFETENSORS_WEIGHTS_NAME).is_file():
            raise RzeroError(f"cannot load {adapter}: {SAFETENSORS_WEIGHTS_NAME} is missing")
        warnings.simplefilter("always")
        loaded = PeftModel.from_pretrained(base, adapter, is_trainable=trainable)
    for warning in caught:  # peft reports missing weights only in this way
        if "missing adapter keys" in str(warning.message):
            _refuse_missing(adapter, str(warning.message).partition("[")[2].split(", "))
    return loaded


def _refuse_missing(model: str, names: Iterable[str]) -> None:
    """Raise RzeroError if there are missing weights, which would be initialized at random."""
    if missing := sorted(name.strip("'].") for name in names):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise RzeroError(
            f"cannot load {model}: its weights lack {missing[0]}{more}, which would be random: "
            "config.json belongs to another model, or some weights are missing"
        )


def load_tokenizer(model: str, *, own_code: bool = False) -> Any:
    """Load the tokenizer, with padding on the left for batched decoding.

    An adapter that was saved without one uses its base's.

    Args:
        model: directory or hub name.
        own_code: allow code from the checkpoint (vLLM's `trust_remote_code`).

    Raises:
        RzeroError: it cannot be loaded.
    """
    with _one_line_errors(model):
        source = model if has_tokenizer(Path(model)) else adapter_base(model) or model
        tokenizer = AutoTokenizer.from_pretrained(
            source, padding_side="left", trust_remote_code=own_code
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory", "out of memory", "ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the GPU or the machine is out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


@contextmanager
def _one_line_errors(model: str) -> Iterator[None]:
    """Turn errors of loading a checkpoint into one line that names the model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except RzeroError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise RzeroError(
                f"cannot load {model}: out of memory: use --dtype bfloat16 if it only generates, "
                "or a machine or GPU with more memory"
            ) from error
        # A broken configuration can raise anything; the fault is the model's.
        reason = " ".join(str(error).split("\n")[0].split())
        if not isinstance(error, (OSError, ValueError, RuntimeError, SafetensorError)):
            reason = f"{type(error).__name__}: {reason}"
        raise RzeroError(f"cannot load {model}: {reason}") from error


class _Stops(StoppingCriteria):  # type: ignore[misc] # untyped in transformers
    """Ends a row that contains a stop string.

    transformers' own criterion precomputes every token's text, and fails on a vocabulary that
    cannot encode its probe, such as the miniature's.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], width: int) -> None:
        self._tokenizer, self._stops, self._width = tokenizer, stops, width
        # A token has at least one byte, a character at most four.
        self._tail = 4 * max(map(len, stops)) + 4

    def __call__(self, rows: Any, scores: Any, **kwargs: Any) -> Any:
        tails = self._tokenizer.batch_decode(
            rows[:, max(self._width, rows.shape[1] - self._tail) :], skip_special_tokens=True
        )
        ended = [any(stop in tail for stop in self._stops) for tail in tails]
        return torch.tensor(ended, device=rows.device)


def _until_error(prompts: Prompts[K], errors: list[Exception]) -> Iterator[tuple[K, Prompt]]:
    try:
        yield from prompts
    except Exception as error:
        errors.append(error)


class TransformersEngine(Engine):
    """A loaded model and its tokenizer; the module's docstring describes the batching.

    Args:
        model: checkpoint or adapter directory, or hub name.
        batch_size: completions per batch; None is `DEFAULT_BATCH_SIZE`.
        template_args: arguments of the chat template.
        dtype: as for `load_model`.
        notify: called with one-line notices for the user.

    Raises:
        UsageError, RzeroError: as `load_model`.
    """

    def __init__(
        self,
        model: str,
        *,
        batch_size: int | None = None,
        template_args: Mapping[str, Any] | None = None,
        dtype: str | None = None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, dtype=dtype)
        self.batch_size = batch_size or DEFAULT_BATCH_SIZE
        self._template_args = dict(template_args or {})
        self._notify_once = cache(notify)
        self._declared = self.model.generation_config.eos_token_id
        # If the model's configuration has no limit, the tokenizer may have one.
        self._context = getattr(
            self.model.config.get_text_config(),
            "max_position_embeddings",
            self.tokenizer.model_max_length,
        )
        # generate() takes unset settings from the checkpoint's defaults (a repetition penalty, a
        # top_k); only the requested sampling must apply.
        self.model.generation_config = GenerationConfig(pad_token_id=self.tokenizer.pad_token_id)

    def __enter__(self) -> TransformersEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def complete(
        self,
        prompts: Prompts[K],
        sampling: Sampling,
        *,
        done: Collection[int] = (),
        keep: Keep | None = None,
    ) -> Completed[K]:
        """Complete prompts; see `Engine.complete`."""
        size = max(1, BATCHES_PER_WINDOW * self.batch_size // sampling.n)
        errors = list[Exception]()
        source, first = _until_error(prompts, errors), 0
        while window := list(islice(source, size)):
            if missing := {i for i in range(len(window)) if first + i not in done}:
                yield from self._window(window, missing, sampling, first, keep)
            first += len(window)
        for error in errors:
            raise error

    def _window(
        self,
        window: Sequence[tuple[K, Prompt]],
        missing: set[int],
        sampling: Sampling,
        first: int,
        keep: Keep | None,
    ) -> Completed[K]:
        """Complete the prompts at the `missing` indices of a window that starts at `first`.

        A batch is the same as in an uninterrupted run, or is skipped.
        """
        tokens = [self._encode(prompt, sampling) for _, prompt in window]
        # Conversations and raw prompts stop differently, so no batch has both.
        raw = [isinstance(prompt, str) for _, prompt in window]
        rows = sorted(
            (i for i in range(len(window)) for _ in range(sampling.n)),
            key=lambda i: (raw[i], len(tokens[i]), i),
        )
        results: list[list[Completion]] = [[] for _ in window]
        at = 0
        for kind, of_kind in groupby(rows, key=raw.__getitem__):
            while batch := list(islice(of_kind, self.batch_size)):
                if not missing.isdisjoint(batch):
                    seed = derived_seed(sampling.seed, first, at)
                    sampled = self._batch([tokens[i] for i in batch], sampling, kind, seed)
                    finished = []
                    for i, completion in zip(batch, sampled, strict=True):
                        results[i].append(completion)
                        if i in missing and len(results[i]) == sampling.n:
                            finished.append(i)
                    if keep:
                        for i in finished[1:]:
                            keep(first + i, results[i])
                    for i in finished:
                        yield window[i][0], results[i]
                at += len(batch)

    def _encode(self, prompt: Prompt, sampling: Sampling) -> list[int]:
        tokens = chat.encode(self.tokenizer, prompt, self._template_args)
        if not isinstance(prompt, str):
            return tokens
        room = chat.room_for_prompt(self._context, sampling.max_tokens)
        if len(tokens) > room:
            self._notify_once(chat.CUT)
        return tokens[-room:]

    def _batch(
        self, prompts: Sequence[list[int]], sampling: Sampling, raw: bool, seed: int
    ) -> list[Completion]:
        """Sample one completion per prompt, halving the batch when memory runs out."""
        try:
            return self._sample(prompts, sampling, raw, seed)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(prompts) == 1:
                raise RzeroError(
                    f"out of memory with a single completion: a prompt of {len(prompts[0]):,} "
                    f"tokens and up to {sampling.max_tokens:,} more: lower --max-tokens or remove "
                    "the prompt; finished records are kept, continue with --resume"
                ) from None
        torch.cuda.empty_cache()
        middle = len(prompts) // 2
        self._notify_once(
            f"out of memory with {len(prompts)} completions at a time: continuing with {middle}; "
            "set it with --batch-size"
        )
        halves = (prompts[:middle], prompts[middle:])
        return [
            c for k, half in enumerate(halves) for c in self._batch(half, sampling, raw, seed + k)
        ]

    def _sample(
        self, prompts: Sequence[list[int]], sampling: Sampling, raw: bool, seed: int
    ) -> list[Completion]:
        stops = chat.stop_strings(self.tokenizer, sampling.stop, raw=raw)
        ends = chat.end_tokens(self.tokenizer, self._declared, sampling.stop, raw=raw)
        padded = self.tokenizer.pad({"input_ids": list(prompts)})
        # If memory ran out while transformers created these, it would report malformed prompts.
        tensors = {name: torch.tensor(rows) for name, rows in padded.items()}
        width = tensors["input_ids"].shape[1]
        warped = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        }
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        # Do not disturb the random state of a caller that trains.
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            output = self.model.generate(
                **{name: rows.to(self.model.device) for name, rows in tensors.items()},
                generation_config=GenerationConfig(
                    do_sample=sampling.temperature > 0,
                    eos_token_id=ends,
                    max_new_tokens=sampling.max_tokens,
                    **warped if sampling.temperature else {},
                ),
                custom_generate=decode,
                # Under ZeRO-3 it would wait for the other ranks, which run other numbers of
                # batches; this model is not sharded, so it need not.
                synced_gpus=False,
                stopping_criteria=[_Stops(self.tokenizer, stops, width)] if stops else [],
            )
        rows = [tuple(row) for row in output[:, width:].tolist()]
        # The answers to a question are often duplicates.
        read = {row: self._completion(row, stops, ends) for row in dict.fromkeys(rows)}
        return [read[row] for row in rows]

    def _completion(
        self, tokens: Sequence[int], stops: Sequence[str], ends: Sequence[int]
    ) -> Completion:
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True)
        cut = min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
        if cut is None:
            count = len(tokens) if length is None else length + 1
        else:  # a stop string ended the row: it has no end token, only padding
            written = dropwhile(self.tokenizer.pad_token_id.__eq__, reversed(tokens[:length]))
            count = len(list(written))
        return Completion(text[:cut], count, truncated=length is None and cut is None)
