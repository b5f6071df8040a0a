"""A decoding loop for batches whose rows repeat prompts and end at different times.

transformers computes a batch until its longest row has ended, and each row's prompt anew. Here a
prompt is computed once for all rows that begin with it, and rows that have ended leave the batch.
What is drawn, how it is masked and where it ends stays transformers'.
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
"""Share of a batch that has to have ended before its rows leave."""

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
    """Complete each row; for `generate`, as its `custom_generate`.

    Where a batch cannot be cut, the model's own loop is run. It is not for a model whose weights
    are spread over several processes: those have to go on until the last of them has ended, and
    `generate` tells that to no loop but its own.

    Args:
        model: a causal LM.
        input_ids: of shape (rows, tokens), padded on the left.
        logits_processor, stopping_criteria, generation_config, inputs: as `generate` prepares them.

    Returns:
        Token ids of shape (rows, tokens of the longest row), a row that has ended padded to it.
    """
    if not _can_be_cut(model, input_ids, logits_processor, generation_config, inputs):
        own = getattr(model, GENERATION_MODES_MAPPING[generation_config.get_generation_mode()])
        return own(input_ids, logits_processor, stopping_criteria, generation_config, **inputs)
    pad, draw = generation_config._pad_token_tensor, generation_config.do_sample
    rows = torch.arange(len(input_ids), device=input_ids.device)  # their places, of those not ended
    running = torch.ones_like(rows, dtype=torch.bool)
    left: list[tuple[torch.Tensor, torch.Tensor]] = []
    outputs = _prefill(model, input_ids, generation_config, inputs)
    with model._optimize_model_for_decode():
        while True:
            inputs = model._update_model_kwargs_for_generation(outputs, inputs)
            logits = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
            del outputs  # of the whole prompt, where the model gives them
            scores = logits_processor(input_ids, logits)
            if draw:
                drawn = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
            else:
                drawn = scores.argmax(dim=-1)
            input_ids = torch.cat([input_ids, drawn.where(running, pad)[:, None]], dim=1)
            running = running & ~stopping_criteria(input_ids, None)
            # The one wait for the device in a step, as `generate` has it.
            ended = len(rows) - int(running.sum())
            if ended == len(rows):
                left.append((rows, input_ids))
                break
            # The cache is copied at each step, since it grows. To cut it is less than another such
            # copy, a layer at a time. Each time at most 1 - LEAVING of the rows are left: all cuts
            # together copy less than 1 / LEAVING steps of the first batch at its longest.
            if ended >= LEAVING * len(rows):
                left.append((rows[~running], input_ids[~running]))
                chosen = running.nonzero()[:, 0]
                rows, input_ids, running = rows[chosen], input_ids[chosen], running[chosen]
                inputs = _cut(chosen, inputs)
            outputs = model(
                **model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **inputs),
                return_dict=True,
            )
    whole = pad.repeat(sum(len(places) for places, _ in left), input_ids.shape[1])
    for places, tokens in left:
        whole[places, : tokens.shape[1]] = tokens
    return whole


def _can_be_cut(
    model: Any, input_ids: Any, logits_processor: Any, config: Any, inputs: dict[str, Any]
) -> bool:
    """Whether all that depends on a row is known here, and can be taken out with it."""
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
    """The logits after each row's prompt, each distinct prompt computed once; fills the cache."""
    prompts = torch.stack([input_ids, *(inputs[name] for name in _BY_ROW & inputs.keys())], dim=1)
    distinct, which = torch.unique(prompts, dim=0, return_inverse=True)
    if len(distinct) == len(input_ids):
        return model._prefill(input_ids, config, inputs)
    one_each = which.new_empty(len(distinct))
    one_each[which] = torch.arange(len(which), device=which.device)  # any row of those alike
    outputs = model._prefill(input_ids[one_each], config, _cut(one_each, inputs))
    outputs.past_key_values.batch_select_indices(which)
    outputs.logits = outputs.logits[which, -1:]
    return outputs


def _cut(chosen: torch.Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs` of the chosen rows alone; the cache is cut in place."""
    inputs["past_key_values"].batch_select_indices(chosen)
    return inputs | {name: inputs[name][chosen] for name in _BY_ROW & inputs.keys()}
