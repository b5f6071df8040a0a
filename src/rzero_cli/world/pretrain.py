"""Make the miniature's base model: pre-train a small Llama on text generated on the fly.

The result is an ordinary checkpoint directory with `heldout.jsonl` and `probe.jsonl` next to the
weights. The seed determines what the model knows (`questions.draw_base`). Nothing is downloaded.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rzero_cli.world import questions, tokenizer


class Size(NamedTuple):
    hidden: int
    layers: int
    heads: int
    """hidden / heads must be 32 or 64: vLLM's CPU attention does not support smaller heads."""
    steps: int
    batch: int
    """Rows per step."""
    lr_matrices: float
    lr_rest: float


SIZES = {
    "small": Size(64, 2, 2, 400, 64, 2e-2, 5e-3),
    "demo": Size(96, 3, 3, 1250, 64, 2e-2, 5e-3),
}
IGNORED = -100
# The loss is divided by a constant. Dividing by the batch's number of tokens would give tokens of
# short answers more weight than those of long ones.
TOKENS_PER_ROW = 10.0

# Added to the seed of the held-out set; seeds in use are never this far apart.
PROBE_SEED = 1_000_000


def make_tiny_base(
    out: Path,
    *,
    seed: int = 0,
    size: str = "demo",
    heldout_seed: int | None = None,
    on_progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, float]:
    """Pre-train a base model; write it, its tokenizer, `heldout.jsonl` and `probe.jsonl` to `out`.

    torch's global random state is restored.

    Args:
        out: the checkpoint directory; created if needed.
        seed: determines what the model knows and its initial weights.
        size: a key of `SIZES`.
        heldout_seed: samples the held-out set and the probe, which share no question; by default
            `seed`.
        on_progress: called with (steps done, total steps, loss) after each step.

    Returns:
        `loss` (mean of the last tenth of the steps), `seconds` and `parameters` (their number).
    """
    shape = SIZES[size]
    started = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fast = tokenizer.build_tokenizer()
        model = LlamaForCausalLM(_config(shape, fast))
        loss = _pretrain(model, fast, shape, seed, on_progress)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    fast.save_pretrained(out)
    sampled_by = seed if heldout_seed is None else heldout_seed
    heldout = questions.heldout_rows(sampled_by)
    taken = {str(row["question"]) for row in heldout}
    probe = questions.heldout_rows(sampled_by + PROBE_SEED, but=taken)
    for name, rows in (("heldout.jsonl", heldout), ("probe.jsonl", probe)):
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "loss": loss,
        "seconds": time.monotonic() - started,
        "parameters": float(sum(p.numel() for p in model.parameters())),
    }


def _config(shape: Size, fast: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(fast),
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        pad_token_id=fast.pad_token_id,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        dtype="float32",
    )


def _pretrain(
    model: LlamaForCausalLM,
    fast: PreTrainedTokenizerFast,
    shape: Size,
    seed: int,
    on_progress: Callable[[int, int, float], None] | None,
) -> float:
    """Train in place; return the mean loss of the last tenth of the steps."""
    base = questions.draw_base(seed)
    rng = random.Random(f"rows {seed}")
    optimizers = _optimizers(model, shape)
    # A short warm-up, then linear decay to zero.
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / 50, 1 - step / shape.steps)
        )
        for optimizer in optimizers
    ]
    losses: list[float] = []
    model.train()
    for step in range(shape.steps):
        rows = [questions.training_row(rng, base) for _ in range(shape.batch)]
        loss = _loss(model, *encode_rows(fast, rows))
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        losses.append(loss.item())
        if on_progress:
            on_progress(step + 1, shape.steps, losses[-1])
    model.eval()
    last = losses[-max(1, shape.steps // 10) :]
    return sum(last) / len(last)


def _optimizers(model: LlamaForCausalLM, shape: Size) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices in the layers and AdamW for embeddings, head and norms."""
    layers = list(model.model.layers.parameters())
    matrices = [p for p in layers if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        # Three orthogonalisation steps are as good here as five and faster.
        torch.optim.Muon(matrices, lr=shape.lr_matrices, weight_decay=0.0, ns_steps=3),
        torch.optim.AdamW(rest, lr=shape.lr_rest, weight_decay=0.0, betas=(0.9, 0.95)),
    ]


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids).logits[:, :-1]
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (TOKENS_PER_ROW * len(ids))


def encode_rows(
    fast: PreTrainedTokenizerFast, rows: list[tuple[str | None, str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and labels, both (rows, length), right-padded; only replies have labels."""
    prompts = [
        tokenizer.BOS
        + (tokenizer.CHALLENGER if question is None else tokenizer.SOLVER + question)
        + tokenizer.ASSISTANT
        for question, _ in rows
    ]
    texts = [p + reply + tokenizer.EOS for p, (_, reply) in zip(prompts, rows, strict=True)]
    encoded = fast(texts, padding=True, padding_side="right", return_tensors="pt")
    ids = encoded["input_ids"]
    # A reply starts after the assistant token, which occurs once.
    assistant = fast.convert_tokens_to_ids(tokenizer.ASSISTANT)
    is_reply = (ids == assistant).cumsum(1) - (ids == assistant).long()
    keep = is_reply.bool() & encoded["attention_mask"].bool()
    return ids, ids.masked_fill(~keep, IGNORED)
