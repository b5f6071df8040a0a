"""Memory of a training stage, estimated from the model's shape.

All sizes are in bytes, for P parameters of which T are trained, on w processes. s is w if
parameters are sharded (FSDP2, ZeRO-3), else 1. Training is in float32 under bfloat16 autocast.
Sharded, the matrices are gathered in 16 bits and their gradients reduced in float32 after every
pass, with `fully_shard` applied as accelerate's `fsdp2_prepare_model` does.

H is hidden, I intermediate, Q and K are the widths of all heads and of the key heads, V is the
vocabulary, B the parameters of a block, E those outside the blocks, L the tokens of a rollout.

These parts stay on the GPU:

| part | bytes |
|---|---|
| weights | 4 P / s |
| optimizer | 8 T / s for AdamW's two moments, 2 T / s in 8 bits; 8 T / s is assumed for others |
| reference | 4 P / s; none with beta 0, nor with LoRA, where the adapter is disabled |
| gradient buckets | 4 T, which DDP keeps for several processes without sharding |
| frozen Solver | 2 P of the Solver, if it answers with transformers |

The phases of a step add the following. Gradients exist only during updates: TRL generates after
`zero_grad`.

| phase | bytes in addition |
|---|---|
| rollouts | a KV cache and weights in 16 bits, 2 B a block; or vLLM |
| scoring | the reference's weights, gathered, and a pass without gradients |
| answers | the Solver's KV cache; or its vLLM |
| updates | gradients, 4 T / s, and a pass |

- vLLM takes its fraction of the GPU while it is awake, and `ASLEEP` in the other phases. From
  sharded weights, 4 V H for the largest parameter, which is gathered in float32 to be sent.
- A KV cache of R rollouts with entries of b bytes: 2 b R L (layers x K + Q), as attention repeats
  the keys and values of a layer for all heads. Autocast leaves them in float32, b = 4, and copies
  the repeated ones to 16 bits, 4 R L Q. Sharded weights and the Solver's have b = 2.
- The reference is gathered whole if sharded: TRL's `prepare_fsdp` makes one group of it. It is
  4 P, the gathered buffer and its copy, both in 16 bits.

In a pass of N tokens the largest moment counts:

| moment | weights in 16 bits | activations | logits |
|---|---|---|---|
| the forward pass ends | all blocks' | kept, and a block's temporary ones | a tile |
| the backward pass starts | one block's | kept, and 20 N H of norm and head | a tile, 4 V H |
| a block's backward pass | one block's | kept, the block's, and N (4 I + 4 H) | 4 V H if tied |
| its end | one block's | the block's, and N (4 I + 4 H) | 4 V H, twice if tied |

An update with a single pass has its gradients at the last moment only, when its activations have
gone. With several, they are there from the second on.

- weights in 16 bits: 2 B a block, which autocast keeps until the forward pass ends, and longer
  without checkpointing. It does not keep frozen weights, with LoRA. Sharded, at all times: three
  gathered blocks and what is outside the blocks, 6 B + 2 E, and 6 B for a block's gradient.
- a block's activations: N x (26 H + 8 Q + 8 I + 2 L), which autograd saves in a Llama block; a
  Qwen3 block saves 6 Q + 6 K more for the norms of queries and keys. 16 H if sharded, where the
  residuals have 16 bits. Kept are all blocks', or with checkpointing 4 N H per block.
- a block's temporary activations, without saved ones: N x (16 H + the larger of 6 I and 16 Q).
- logits: TRL computes them in tiles of 4,096 tokens by 32,768 entries and keeps none. The gradient
  of the head, 4 V H, is held until that of tied embeddings is added: in 16 bits if sharded, where
  making it takes 6 V H.

Not counted: CUDA, NCCL, fragmentation, kernel buffers, states that are loaded or saved, and 2 P of
weights that ZeRO-3 gathers for rollouts with transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rzero_cli.engines.shapes import Model
from rzero_cli.method.plan import Plan

GIB = float(1 << 30)
ASLEEP = 1.5
"""GiB that a sleeping vLLM engine keeps: CUDA context, CUDA graphs, buffers.

Assumed. With vLLM's allocator, `sleep` frees weights and KV cache only, at level 1 and 2. Reported
are 0.8 GiB (NeMo-RL's issue 223) and 1.1 GiB (vLLM's issue 32714).
"""
PHASES = "during rollouts", "during scoring", "during answers", "during updates"
_TILE = 4096, 32768  # TRL's: tokens by vocabulary entries
_BATCHED_TOKENS = 4096  # of a vLLM engine that TRL creates


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
    length = prompt_tokens + layout.plan.max_tokens
    several = layout.plan.gradient_accumulation > 1
    updates, moment = max(
        (sum(parts.values()) + (gradients if several or name == "end" else 0), name)
        for name, parts in moments(model, layout, length).items()
    )
    scoring = _scoring(model, layout, length) if layout.reference else 0.0
    rollouts = answers = 0.0
    if generates:
        rollouts = _generation(model, layout, batch_size * length)
    elif rollout_engine and layout.sharded:
        rollouts = 4.0 * model.vocabulary * model.hidden
    if solver is not None:
        answers = _cache(solver, batch_size * (prompt_tokens + solver_tokens), 2)

    def engines(phase: str) -> float:
        """Return the GiB of both engines."""
        sizes = {"rollouts": rollout_engine, "answers": solver_engine}
        return sum(min(x, ASLEEP) if sleep and own != phase else x for own, x in sizes.items())

    resident = sum(stays.values())
    phases = (
        resident + rollouts + GIB * engines("rollouts"),
        resident + scoring + GIB * engines("scoring"),
        resident + answers + GIB * engines("answers"),
        resident + updates + GIB * engines("updates"),
    )
    parts = (
        stays
        | {"gradients": gradients}
        | moments(model, layout, length)[moment]
        | {"scoring": scoring}
    )
    parts |= {"rollouts": rollouts, "rollout engine": rollout_engine * GIB}
    parts |= {"Solver's answers": answers, "Solver's engine": solver_engine * GIB}
    parts |= dict(zip(PHASES, phases, strict=True)) | {"peak": max(phases)}
    return {name: size / GIB for name, size in parts.items()}


def least_engine(model: Model, tokens: int, sequences: int = 256) -> float:
    """Return the GiB with which a vLLM engine starts.

    It needs 16-bit weights, the KV cache of the longest sequence (in blocks of 16 tokens, one of
    them spare), the activations of a batch of tokens, the logits of all sequences, and what it
    keeps asleep. vLLM measures the last three; these are assumed.

    Args:
        model: its model.
        tokens: the longest sequence, `max_model_len`.
        sequences: that it generates together, `max_num_seqs`.
    """
    cache = (-(-tokens // 16) + 1) * 16 * model.kv_bytes
    activations = _BATCHED_TOKENS * (8 * model.hidden + 6 * model.intermediate)
    # In 16 bits and in float32: logits, probabilities, their logarithms, noise.
    logits = 18 * min(sequences, _BATCHED_TOKENS) * model.vocabulary
    return ASLEEP + (2 * model.parameters + cache + activations + logits) / GIB


def host_estimate(model: Model, layout: Layout, local: int, solver: Model | None = None) -> float:
    """Return the GiB that a node's processes take on the host, while they load models for GPUs.

    Each process loads the policy in float32. Sharded, it stays on the host until training starts,
    when the reference has been loaded in float32 as well; otherwise the policy moves to the GPU
    first. A Solver's engine that sleeps keeps its weights, in 16 bits, on the host.

    Not counted: Python and its libraries, about 1 GiB per process; that pinned memory is rounded
    up; the page cache. A checkpoint in float32 takes less: its file is mapped, once for all
    processes.

    Args:
        model: the model to train.
        layout: its distribution over GPUs.
        local: processes on the node.
        solver: the frozen Solver, if each process has a vLLM engine with it that sleeps.
    """
    reference = layout.reference and not layout.adapter
    loaded = 4 * model.parameters * (2 if reference and layout.sharded else 1)
    return local * (loaded + (2 * solver.parameters if solver else 0)) / GIB


def moments(model: Model, layout: Layout, length: int) -> dict[str, dict[str, float]]:
    """Return the bytes of a pass at its moments, `forward`, `backward`, `block` and `end`.

    Without the gradients of an update's earlier passes.

    Args:
        model: the model to train.
        layout: its distribution over GPUs.
        length: tokens of a rollout with its prompt.
    """
    tokens = layout.plan.per_device * length
    size = 2 if layout.autocast else 4
    # Per block and token: residuals and norms in float32, inputs of matrices in 16 bits.
    residuals = 16 if layout.sharded else 26 if layout.autocast else 24
    saved = residuals * model.hidden + size * length + 4 * size * (model.query + model.intermediate)
    if model.query_norm:
        saved += (6 if layout.autocast else 8) * (model.query + model.key)
    gradients = 2 * size * model.intermediate + 4 * model.hidden
    block = 2.0 * model.block if layout.autocast else 0.0
    head = 0.0 if layout.adapter else 4.0 * model.vocabulary * model.hidden
    starts, held = head, head if model.tied else 0.0
    if layout.checkpointing:
        kept, recomputed = 4 * model.hidden * model.layers, saved
        temporary = _temporary(model, size)
        # Autocast does not keep frozen weights.
        forward, backward = block if layout.adapter else model.layers * block, block
    else:
        kept, recomputed = saved * model.layers, 0
        temporary = 12 * model.hidden
        forward = backward = model.layers * block
    in_block = backward
    if layout.sharded:
        forward = backward = _gathered(model)
        in_block = backward + (0.0 if layout.adapter else 6.0 * model.block)
        starts, held = 1.5 * head, 0.5 * held
    tile = _tile(tokens, size)
    found = {
        "forward": (forward, kept + temporary, tile),
        "backward": (backward, kept + 20 * model.hidden, tile + starts),
        "block": (in_block, kept + recomputed + gradients, held),
        "end": (in_block, saved + gradients, starts + held),
    }
    return {
        moment: {"weights in 16 bits": w, "activations": tokens * a, "logits": x}
        for moment, (w, a, x) in found.items()
    }


def _generation(model: Model, layout: Layout, tokens: int) -> float:
    """Return the bytes of transformers' rollouts: their KV cache and weights in 16 bits."""
    if layout.sharded:
        return _cache(model, tokens, 2) + _gathered(model)
    cache = _cache(model, tokens, 4)
    # peft generates with the model inside of the one that has autocast.
    if not layout.autocast or layout.adapter:
        return cache
    return cache + 4.0 * tokens * model.query + 2.0 * model.layers * model.block


def _cache(model: Model, tokens: int, size: int) -> float:
    """Return the bytes of a KV cache whose entries have `size` bytes, and of one layer for all
    heads."""
    return 2.0 * size * tokens * (model.layers * model.key + model.query)


def _gathered(model: Model) -> float:
    """Return the bytes of FSDP2's gathered weights: three blocks, and all outside of the blocks."""
    return 2.0 * (3 * model.block + model.parameters - model.layers * model.block)


def _scoring(model: Model, layout: Layout, length: int) -> float:
    """Return the bytes of a pass of the reference without gradients."""
    tokens = layout.plan.per_device * length
    size = 2 if layout.autocast else 4
    if layout.sharded:
        weights = _gathered(model) if layout.adapter else 4.0 * model.parameters
    else:
        weights = 0.0 if size == 4 else 2.0 * model.layers * model.block
    return weights + tokens * _temporary(model, size) + _tile(tokens, size)


def _temporary(model: Model, size: int) -> int:
    """Return the bytes per token of a block's activations that are not saved."""
    return 16 * model.hidden + max(3 * size * model.intermediate, 16 * model.query)


def _tile(tokens: int, size: int) -> float:
    return size * min(tokens, _TILE[0]) * _TILE[1]
