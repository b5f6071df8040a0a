"""Memory per GPU of a training stage, estimated from the model's shape.

All sizes are in bytes, for P parameters of which T are trained, on w processes. s is w if
parameters are sharded (FSDP2, ZeRO-3), else 1. Training is in float32 under bfloat16 autocast.

| part | bytes |
|---|---|
| weights | 4 P / s |
| optimizer | 8 T / s for AdamW's two moments, 2 T / s in 8 bits; 8 T / s is assumed for others |
| reference | 4 P / s; none with beta 0, nor with LoRA, where the adapter is disabled |
| gradient buckets | 4 T, which DDP keeps for several processes without sharding |
| frozen Solver | 2 P of the Solver, if it answers with transformers |
| gradients | 4 T / s |

The phases alternate. All parts but the gradients, which TRL frees before it generates, stay in
each of them:

| phase | bytes in addition |
|---|---|
| rollouts | weights in 16 bits; KV cache, batch x tokens x 8 x layers x K. Or vLLM |
| answers | the Solver's KV cache, batch x tokens x 4 x layers x K. Or its vLLM |
| update | gradients; weights in 16 bits, activations and logits of a pass |

The rollouts' keys and values are float32, as autocast leaves them; in 16 bits if sharded. An engine
of vLLM takes its fraction of the GPU while it is awake, and `ASLEEP` in the other phases. Sharded,
the largest parameter, 4 V H, is gathered to be sent to it.

H is hidden, I intermediate, Q and K are the widths of all heads and of the key heads, V is the
vocabulary, L the tokens of a rollout. In a pass of N tokens:

- weights in 16 bits: 2 P, which autocast keeps until the end of the forward pass. Sharded: two
  gathered blocks and the embeddings in 16 bits, and one block's gradient. With LoRA and
  checkpointing one block's weights: autocast does not cache frozen ones.
- activations of a block: N x (26 H + 8 Q + 8 I + 2 L), which autograd saves in a Llama block; a
  Qwen3 block saves 6 Q + 6 K more for the norms of queries and keys. Checkpointed, a block keeps
  its input, 4 H, and one block at a time is recomputed. Embeddings and the last norm: 12 H.
- logits: TRL computes them in tiles of 4,096 tokens by 32,768 entries and keeps none; the gradients
  of the head, 4 V H, and of its input, 4 N H.

Gradients are kept until the next pass of an update; if an update has only one pass, the peak is
lower by the gradients or by the activations. Not counted: CUDA, NCCL, fragmentation, and kernel
buffers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rzero_cli.engines.shapes import Model
from rzero_cli.method.plan import Plan

GIB = float(1 << 30)
ASLEEP = 1.5
"""GiB that a sleeping vLLM engine keeps: CUDA context, CUDA graphs, buffers. Assumed."""
PHASES = "during rollouts", "during answers", "during updates"
_TILE = 4096, 32768  # TRL's: tokens by vocabulary entries


@dataclass(frozen=True, slots=True)
class Layout:
    """The distribution of a training over GPUs, and its memory options."""

    plan: Plan
    sharded: bool = False
    """FSDP2 or ZeRO-3; otherwise each process holds everything."""
    checkpointing: bool = True
    adapter: int = 0
    """Parameters of the trained LoRA adapter; 0 trains all weights."""
    eight_bit: bool = False
    """The optimizer's moments have 8 bits."""
    reference: bool = True
    """There is a KL, which needs a reference model."""
    autocast: bool = True
    """Passes use 16 bits; on a CPU they use float32."""


def estimate(
    model: Model,
    layout: Layout,
    *,
    batch_size: int,
    prompt_tokens: int = 256,
    generates: bool = True,
    rollout_engine: float = 0.0,
    solver_engine: float = 0.0,
    sleep: bool = True,
    solver: Model | None = None,
    solver_tokens: int = 0,
) -> dict[str, float]:
    """Return the GiB per GPU of each part, of each of the `PHASES`, and the `peak`.

    The module's docstring has the formulas.

    Args:
        model: the model to train.
        layout: its distribution over GPUs.
        batch_size: completions per batch with transformers.
        prompt_tokens: assumed length of a prompt.
        generates: transformers generates the rollouts.
        rollout_engine: GiB of the vLLM that generates the rollouts on this GPU; 0 without one.
        solver_engine: GiB of the vLLM that generates the Solver's answers on this GPU.
        sleep: the engines are awake in their own phase only.
        solver: the frozen Solver, if it answers with transformers on this GPU.
        solver_tokens: token limit of its answers.
    """
    shards = layout.plan.processes if layout.sharded else 1
    trained = layout.adapter or model.parameters
    reference = layout.reference and not layout.adapter
    stays = {
        "weights": 4 * (model.parameters + layout.adapter) / shards,
        "optimizer": (2 if layout.eight_bit else 8) * trained / shards,
        "reference": 4 * model.parameters / shards if reference else 0.0,
        "gradient buckets": 4.0 * trained if layout.plan.processes > shards else 0.0,
        "frozen Solver": 2.0 * solver.parameters if solver else 0.0,
    }
    gradients = 4 * trained / shards
    passes = _pass(model, layout, prompt_tokens)
    rollouts = answers = 0.0
    if generates:
        length = prompt_tokens + layout.plan.max_tokens
        size = 1 if layout.sharded else 2  # float32, unless the weights are in 16 bits
        rollouts = size * batch_size * length * model.kv_bytes + _gathered(model, layout)
    elif rollout_engine and layout.sharded:
        rollouts = 4.0 * model.vocabulary * model.hidden
    if solver is not None:
        answers = batch_size * (prompt_tokens + solver_tokens) * solver.kv_bytes

    def engines(awake: str) -> float:
        sizes = {"rollouts": rollout_engine, "answers": solver_engine}
        return GIB * sum(
            min(size, ASLEEP) if sleep and phase != awake else size for phase, size in sizes.items()
        )

    resident = sum(stays.values())
    phases = (
        resident + rollouts + engines("rollouts"),
        resident + answers + engines("answers"),
        resident + gradients + sum(passes.values()) + engines("updates"),
    )
    parts = stays | {"gradients": gradients} | passes
    parts |= {"rollouts": rollouts, "rollout engine": rollout_engine * GIB}
    parts |= {"Solver's answers": answers, "Solver's engine": solver_engine * GIB}
    parts |= dict(zip(PHASES, phases, strict=True)) | {"peak": max(phases)}
    return {name: size / GIB for name, size in parts.items()}


def _gathered(model: Model, layout: Layout) -> float:
    """Return the bytes of weights in 16 bits during a forward pass."""
    if layout.sharded:
        return 2.0 * (2 * model.block + model.parameters - model.layers * model.block)
    return 2.0 * model.parameters if layout.autocast else 0.0


def _pass(model: Model, layout: Layout, prompt_tokens: int) -> dict[str, float]:
    length = prompt_tokens + layout.plan.max_tokens
    tokens = layout.plan.per_device * length
    # Per block and token: residuals and norms in float32, inputs of matrices in 16 bits.
    size = 2 if layout.autocast else 4
    saved = (26 if layout.autocast else 24) * model.hidden + size * length
    saved += 4 * size * (model.query + model.intermediate)
    if model.query_norm:
        saved += (6 if layout.autocast else 8) * (model.query + model.key)
    kept = 4 * model.hidden * model.layers + saved if layout.checkpointing else saved * model.layers
    tile = min(tokens, _TILE[0]) * min(model.vocabulary, _TILE[1])
    head = 0 if layout.adapter else 4 * model.vocabulary * model.hidden
    copies = _gathered(model, layout)
    if layout.sharded:
        copies += 0 if layout.adapter else 4 * model.block
    elif layout.adapter and layout.checkpointing:
        copies *= model.block / model.parameters
    return {
        "weights in 16 bits": copies,
        "activations": tokens * (kept + 12 * model.hidden),
        "logits": size * tile + head + 4 * tokens * model.hidden,
    }


def least_engine(model: Model, tokens: int) -> float:
    """Return the GiB that an engine of vLLM needs to start: weights and a text of `tokens`."""
    return (2 * model.parameters + tokens * model.kv_bytes) / GIB + 1.0
