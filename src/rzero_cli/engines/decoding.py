"""A decoding loop for batches with repeated prompts and answers of different lengths.

transformers prefills every row's prompt and keeps the whole batch until its longest row has ended.
Here each distinct prompt is prefilled once, and finished rows leave the batch. Sampling, masking
and stopping criteria are transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    DynamicCache,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation import GenerationMode
from transformers.generation.utils import GENERATION_MODES_MAPPING

LEAVING = 1 / 8
"""Fraction of the batch that must have finished before the finished rows are removed."""

_ROW_BY_ROW = {TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper}
_MODES = {GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH}
_LAYERS = {DynamicLayer, DynamicSlidingWindowLayer}
_BY_ROW = {"attention_mask", "position_ids"}
_INPUTS = _BY_ROW | {"past_key_values", "use_cache", "logits_to_keep"}


def decode(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **inputs: Any,
) -> Any:
    """Complete each row; a `custom_generate` for transformers' `generate`.

    Falls back to the model's own loop if rows cannot be removed from the batch. Do not use it with
    sharded weights: every rank must keep stepping until all ranks have finished, which only
    `generate`'s built-in loop does.

    Args:
        model: a causal LM.
        input_ids: shape (rows, tokens), padded on the finished.
        logits_processor, stopping_criteria, generation_config, inputs: as `generate` prepares them.

    Returns:
        Token ids of prompts and completions, shape (rows, tokens of the longest row), padded on the
        right.
    """
    if not _rows_removable(model, input_ids, logits_processor, generation_config, inputs):
        own = getattr(model, GENERATION_MODES_MAPPING[generation_config.get_generation_mode()])
        return own(input_ids, logits_processor, stopping_criteria, generation_config, **inputs)
    pad, do_sample = generation_config._pad_token_tensor, generation_config.do_sample
    rows = torch.arange(len(input_ids), device=input_ids.device)  # original indices of the batch
    running = torch.ones_like(rows, dtype=torch.bool)
    finished: list[tuple[torch.Tensor, torch.Tensor]] = []
    outputs = _prefill(model, input_ids, generation_config, inputs)
    with model._optimize_model_for_decode():
        while True:
            inputs = model._update_model_kwargs_for_generation(outputs, inputs)
            logits = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
            del outputs  # may hold the logits of the whole prompt
            scores = logits_processor(input_ids, logits)
            if do_sample:
                sampled = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
            else:
                sampled = scores.argmax(dim=-1)
            input_ids = torch.cat([input_ids, sampled.where(running, pad)[:, None]], dim=1)
            running = running & ~stopping_criteria(input_ids, None)
            # The only synchronization with the device in a step, as in `generate`.
            ended = len(rows) - int(running.sum())
            if ended == len(rows):
                finished.append((rows, input_ids))
                break
            # The growing cache is copied at every step; removing rows costs less than one more
            # copy, a layer at a time. Each removal leaves at most 1 - LEAVING of the rows, so all
            # of them copy less than 1 / LEAVING steps of the first batch at its longest.
            if ended >= LEAVING * len(rows):
                finished.append((rows[~running], input_ids[~running]))
                chosen = running.nonzero()[:, 0]
                rows, input_ids, running = rows[chosen], input_ids[chosen], running[chosen]
                inputs = _select(chosen, inputs)
            outputs = model(
                **model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **inputs),
                return_dict=True,
            )
    whole = pad.repeat(sum(len(places) for places, _ in finished), input_ids.shape[1])
    for places, tokens in finished:
        whole[places, : tokens.shape[1]] = tokens
    return whole


def _rows_removable(
    model: Any, input_ids: Any, logits_processor: Any, config: Any, inputs: dict[str, Any]
) -> bool:
    """Return whether all per-row state is known here, so that rows can be removed."""
    cache: Any = inputs.get("past_key_values")
    return (
        config.get_generation_mode() in _MODES
        and type(cache) is DynamicCache
        and not cache.offloading
        and {type(layer) for layer in cache.layers} <= _LAYERS
        and cache.get_seq_length() == 0
        and inputs.keys() <= _INPUTS
        and all(inputs[name].shape == input_ids.shape for name in _BY_ROW & inputs.keys())
        and {type(processor) for processor in logits_processor} <= _ROW_BY_ROW
        and config._pad_token_tensor is not None
        and not config.return_dict_in_generate
        and not model.config.is_encoder_decoder
    )


def _prefill(model: Any, input_ids: torch.Tensor, config: Any, inputs: dict[str, Any]) -> Any:
    """Fill the cache, prefilling each distinct prompt once, and return the logits of each row."""
    prompts = torch.stack([input_ids, *(inputs[name] for name in _BY_ROW & inputs.keys())], dim=1)
    distinct, which = torch.unique(prompts, dim=0, return_inverse=True)
    if len(distinct) == len(input_ids):
        return model._prefill(input_ids, config, inputs)
    one_each = which.new_empty(len(distinct))
    one_each[which] = torch.arange(len(which), device=which.device)  # any one of the equal rows
    outputs = model._prefill(input_ids[one_each], config, _select(one_each, inputs))
    outputs.past_key_values.batch_select_indices(which)
    outputs.logits = outputs.logits[which, -1:]
    return outputs


def _select(chosen: torch.Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return `inputs` for the chosen rows only; the cache is reduced in place."""
    inputs["past_key_values"].batch_select_indices(chosen)
    return inputs | {name: inputs[name][chosen] for name in _BY_ROW & inputs.keys()}
