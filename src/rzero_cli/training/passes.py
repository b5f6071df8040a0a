"""Forward and backward passes without columns of padding.

TRL pads the whole generation batch to its longest prompt and completion and then splits only its
rows, so every pass computes as many columns as the longest rollout of the batch. Here each pass is
cut to its own longest prompt and completion, and takes rollouts of similar length:

- An update sums over all its rollouts, and `loss_type="grpo"` gives each the same weight, so within
  an update any rollout may be computed in any pass and on any rank. The weights differ only by the
  order of the sum. Rollouts never move to another update.
- Log-probabilities without gradients (old ones, reference) are sorted within the rank's batch.

All ranks run the same number of passes, as sharded weights require; the columns may differ.

TRL also fetches the rows of the whole generation batch again for every pass, though only the first
pass reads them: at the paper's sizes most of the CPU's work. Here they are fetched once.
"""

from __future__ import annotations

from collections import UserList
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from trl import GRPOTrainer

_MEANS = {"kl", "entropy", *(f"clip_ratio/{side}_mean" for side in ("low", "high", "region"))}
"""TRL's metrics that are means over the tokens of a pass."""
_WEIGHT = "tokens_relative_to_the_mean_pass"


class TrimmedTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer with the passes described above, for training only.

    An update must not use the rollouts of two generation batches; a `Plan` never does.
    """

    _buffered_inputs: Any  # TRL's: the inputs of each pass of a generation batch
    train_dataset: Any

    def get_train_dataloader(self) -> Any:
        self.train_dataset = _FetchedOnce(self.train_dataset)
        return super().get_train_dataloader()

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before:  # no new rollouts
            return inputs
        passes, size = self._buffered_inputs, self.args.gradient_accumulation_steps
        updates = [passes[at : at + size] for at in range(0, len(passes), size)]
        self._buffered_inputs = [new for update in updates for new in self._by_length(update)]
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _by_length(self, passes: list[dict[str, torch.Tensor]]) -> list[dict[str, Any]]:
        """Return this rank's passes of an update anew, longest rollouts of all ranks first.

        The longest come first so that a lack of memory shows at once.
        """
        ranks, rank = self.accelerator.num_processes, self.accelerator.process_index
        rows: dict[str, torch.Tensor] = {}
        others: dict[str, Any] = {}
        for name, value in passes[0].items():
            if value.dim() == 0:
                others[name] = value
                continue
            own = torch.cat([one[name] for one in passes])
            own = self.accelerator.pad_across_processes(own, dim=1, pad_first=_of_prompts(name))
            rows[name] = self.accelerator.gather(own)
        lengths = rows["completion_mask"].sum(1)
        # Stable, so that all ranks get the same order.
        order = lengths.argsort(descending=True, stable=True).view(len(passes), ranks, -1)
        tokens = lengths[order].sum((1, 2))
        weights = (tokens * len(passes) / tokens.sum()).tolist()
        new = []
        for i, parts in enumerate(order):
            # In turns, so that no rank always has the longest of a pass.
            part = parts[rank if i % 2 else ranks - 1 - rank]
            new.append(_trimmed({name: value[part] for name, value in rows.items()}) | others)
            new[i][_WEIGHT] = weights[i]
        return new

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        # TRL logs the mean over passes, in which short rollouts would now weigh more than others.
        # Weighted, it is the mean over all tokens of the update.
        metrics = self._metrics["train"]
        for name in _MEANS & metrics.keys():
            metrics[name][-1] *= inputs[_WEIGHT]
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **others: Any,
    ) -> Any:
        passed = super()._get_per_token_logps_and_entropies
        if batch_size is None:  # the policy's pass, already trimmed
            return passed(model, input_ids, attention_mask, logits_to_keep, **others)
        middle = input_ids.shape[1] - logits_to_keep
        prompts, completions = attention_mask[:, :middle], attention_mask[:, middle:]
        order = completions.sum(1).argsort(descending=True, stable=True)
        logps = []
        for rows in order.split(batch_size):
            kept = _longest(completions[rows])
            columns = slice(middle - _longest(prompts[rows]), middle + kept)
            found, *_ = passed(
                model, input_ids[rows, columns], attention_mask[rows, columns], kept, **others
            )
            logps.append(pad(found, (0, logits_to_keep - kept)))
        return torch.cat(logps)[order.argsort()], None, None


class _FetchedOnce:
    """A dataset that returns the batch of the last fetch again if the rows are the same."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._last: tuple[Sequence[int], UserList[Any]] = ([], UserList())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, numbers: list[int]) -> UserList[Any]:
        if numbers != self._last[0]:
            # Not a list: accelerate would copy it row by row, looking for tensors.
            self._last = numbers, UserList(self._rows.__getitems__(numbers))
        return self._last[1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)


def _trimmed(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `batch` without the columns that are padding in every row: prompts are padded on the
    left, everything else on the right."""
    prompt, completion = _longest(batch["prompt_mask"]), _longest(batch["completion_mask"])
    columns = {True: slice(-prompt, None), False: slice(completion)}
    return {
        name: value[:, columns[_of_prompts(name)]] if value.dim() > 1 else value
        for name, value in batch.items()
    }


def _longest(mask: torch.Tensor) -> int:
    """Return the length of the longest row, at least 1: a pass needs a column."""
    return max(1, int(mask.sum(1).max()))


def _of_prompts(name: str) -> bool:
    return name.startswith("prompt_")
