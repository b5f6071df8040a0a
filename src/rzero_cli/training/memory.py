"""How much memory a training stage wants on each GPU, estimated from the model's shape.

Bytes, for P parameters of which T are trained, on w processes. s is w where parameters are sharded
(FSDP2, ZeRO-3), else 1. Training is in float32 under bfloat16 autocast.

What stays:

| part | bytes |
|---|---|
| weights | 4 P / s |
| gradients | 4 T / s; as much again for DDP's buckets, with several processes and nothing sharded |
| optimizer | 8 T / s for AdamW's two moments, 2 T / s in 8 bits; of others 8 T / s is assumed |
| reference | 4 P / s; none with beta 0, nor with LoRA, where the adapter is switched off |
| frozen Solver | 2 P of the Solver |
| vLLM | its share of the GPU, where it generates beside the training |

What comes and goes, one after the other:

| phase | bytes |
|---|---|
| rollouts | KV cache: rollouts at a time x tokens x 4 x layers x K; and 2 P, weights in 16 bits |
| Solver's answers | their KV cache |
| a pass | weights in 16 bits, activations, logits |

H is hidden, I intermediate, Q and K are the widths of all heads and of the key heads, V is the
vocabulary, L the tokens of a rollout. In a pass of N tokens:

- weights in 16 bits: 2 P, which autocast keeps to the end of the forward pass. Sharded: two
  gathered blocks and the embeddings in 16 bits, and one block's gradient. With LoRA and
  checkpointing one block's: autocast does not keep what is not trained.
- activations of a block: N x (26 H + 8 Q + 8 I + 2 L), which is what autograd saves of a Llama's
  block; a Qwen3 saves 6 Q + 6 K more for the norms of queries and keys. Checkpointed, a block keeps
  its input, 4 H, and one block at a time is computed again. Embeddings and the last norm: 12 H.
- logits: TRL computes them in tiles of 4,096 tokens by 32,768 entries and keeps none; the gradients
  of the head, 4 V H, and of its input, 4 N H.

Gradients wait for the next pass of an update; where an update has only one, the peak is lower by
them or by the activations. Not counted: CUDA, NCCL, fragmentation, and the buffers of kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from rzero_cli.engines.shapes import Model
from rzero_cli.method.plan import Plan

GIB = float(1 << 30)
_TILE = 4096, 32768  # TRL's, tokens by entries of the vocabulary


@dataclass(frozen=True, slots=True)
class Layout:
    """How a training is spread over GPUs, and what it does without."""

    plan: Plan
    sharded: bool = False
    """FSDP2 or ZeRO-3; otherwise each process holds everything."""
    checkpointing: bool = True
    adapter: int = 0
    """Parameters of the LoRA adapter that is trained; 0 trains all weights."""
    eight_bit: bool = False
    """Whether the optimizer's moments are in 8 bits."""
    reference: bool = True
    """Whether there is a KL, to a model that has to be held."""
    autocast: bool = True
    """16 bits in a pass; on a CPU it is float32."""


def estimate(
    model: Model,
    layout: Layout,
    *,
    batch_size: int,
    prompt_tokens: int = 256,
    generates: bool = True,
    vllm: float = 0.0,
    solver: Model | None = None,
    solver_tokens: int = 0,
) -> dict[str, float]:
    """GiB on each GPU, by what it is for, and the peak; see the module for the formulas.

    Args:
        model: what is trained.
        layout: how it is spread.
        batch_size: completions that transformers generates at a time.
        prompt_tokens: assumed length of a prompt.
        generates: whether transformers generates the rollouts.
        vllm: GiB that vLLM takes beside the training, for the rollouts or for the Solver.
        solver: the frozen Solver, where transformers answers with it beside the training.
        solver_tokens: its longest answer.
    """
    stays = _resident(model, layout)
    if solver is not None:
        stays["frozen Solver"] = 2 * solver.parameters
    stays["vLLM"] = vllm * GIB
    rollouts = answers = 0.0
    if generates:
        length = prompt_tokens + layout.plan.max_tokens
        rollouts = batch_size * length * model.kv_bytes
        rollouts += (2 if layout.autocast else 0) * model.parameters
    if solver is not None:
        answers = batch_size * (prompt_tokens + solver_tokens) * solver.kv_bytes
    passes = _pass(model, layout, prompt_tokens)
    peak = sum(stays.values()) + max(rollouts, answers, sum(passes.values()))
    parts = stays | {"rollouts": rollouts, "Solver's answers": answers} | passes
    return {name: size / GIB for name, size in (parts | {"peak": peak}).items()}


def _resident(model: Model, layout: Layout) -> dict[str, float]:
    shards = layout.plan.processes if layout.sharded else 1
    trained = layout.adapter or model.parameters
    buckets = 2 if layout.plan.processes > shards else 1
    reference = layout.reference and not layout.adapter
    return {
        "weights": 4 * (model.parameters + layout.adapter) / shards,
        "gradients": 4 * trained * buckets / shards,
        "optimizer": (2 if layout.eight_bit else 8) * trained / shards,
        "reference": 4 * model.parameters / shards if reference else 0.0,
    }


def _pass(model: Model, layout: Layout, prompt_tokens: int) -> dict[str, float]:
    length = prompt_tokens + layout.plan.max_tokens
    tokens = layout.plan.per_device * length
    # Of a block, a token: residuals and norms in float32, what feeds a matrix in 16 bits.
    size = 2 if layout.autocast else 4
    saved = (26 if layout.autocast else 24) * model.hidden + size * length
    saved += 4 * size * (model.query + model.intermediate)
    if model.query_norm:
        saved += (6 if layout.autocast else 8) * (model.query + model.key)
    kept = 4 * model.hidden * model.layers + saved if layout.checkpointing else saved * model.layers
    tile = min(tokens, _TILE[0]) * min(model.vocabulary, _TILE[1])
    head = 0 if layout.adapter else 4 * model.vocabulary * model.hidden
    return {
        "weights in 16 bits": _copies(model, layout),
        "activations": tokens * (kept + 12 * model.hidden),
        "logits": size * tile + head + 4 * tokens * model.hidden,
    }


def _copies(model: Model, layout: Layout) -> float:
    if layout.sharded:
        embeddings = model.parameters - model.layers * model.block
        gradient = 0 if layout.adapter else 4 * model.block
        return 2 * (2 * model.block + embeddings) + gradient
    one_block = layout.adapter and layout.checkpointing
    return (2 if layout.autocast else 0) * (model.block if one_block else model.parameters)
