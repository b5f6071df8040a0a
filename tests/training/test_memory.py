"""The memory estimate, compared with a hand calculation, autograd and a real training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rzero_cli.engines.shapes import Model, read_model
from rzero_cli.method.plan import make_plan
from rzero_cli.training.memory import ASLEEP, GIB, PHASES, Layout, estimate

SOLVER = {"steps": 15, "prompts": 512, "batch": 128, "group": 5, "max_tokens": 4096}


# One block of hidden 2, intermediate 3, heads 4 wide, key heads 2 wide; 10 entries.
TOY = Model(
    parameters=100,
    block=80,
    layers=1,
    hidden=2,
    intermediate=3,
    query=4,
    key=2,
    vocabulary=10,
    tied=True,
    query_norm=False,
    linear={"q_proj": 6, "up_proj": 5},
)


def parts(model: Model, layout: Layout, **kwargs: Any) -> dict[str, float]:
    """Return the estimate in bytes."""
    found = estimate(model, layout, batch_size=4, prompt_tokens=6, **kwargs)
    return {name: size * GIB for name, size in found.items()}


def test_memory_estimate_by_hand() -> None:
    plan = make_plan(steps=1, prompts=4, batch=4, group=2, max_tokens=2, per_device=2, processes=4)
    found = parts(TOY, Layout(plan))
    # 2 rollouts of 8 tokens. Bytes per token and block: 26 x 2 + 8 x (4 + 3) + 2 x 8 = 124, and 8
    # for a checkpoint; 24 for embeddings and the last norm. Tiles of 16 x 10 logits; gradients of
    # the head and of its input. Keys and values are float32.
    updates = 200 + 16 * 156 + (2 * 160 + 4 * 20 + 4 * 32)
    rollouts = 4 * 8 * (4 * 1 * 2) * 2 + 200
    assert found == pytest.approx(
        {
            "weights": 400,
            "optimizer": 800,
            "reference": 400,
            "gradient buckets": 400,
            "frozen Solver": 0,
            "gradients": 400,
            "weights in 16 bits": 200,
            "activations": 16 * (124 + 8 + 24),
            "logits": 2 * 160 + 4 * 20 + 4 * 32,
            "rollouts": rollouts,
            "rollout engine": 0,
            "Solver's answers": 0,
            "Solver's engine": 0,
            "during rollouts": 2000 + rollouts,
            "during answers": 2000,
            "during updates": 2000 + 400 + updates,
            "peak": 2000 + 400 + updates,
        }
    )
    sharded = parts(TOY, Layout(plan, sharded=True, checkpointing=False))
    assert sharded["weights"] == sharded["gradients"] == sharded["reference"] == 100
    assert (sharded["optimizer"], sharded["gradient buckets"]) == (200, 0)
    assert sharded["activations"] == pytest.approx(16 * (124 + 24))
    assert sharded["weights in 16 bits"] == pytest.approx(2 * (2 * 80 + 20) + 4 * 80)
    assert sharded["rollouts"] == pytest.approx(4 * 8 * (4 * 1 * 2) + 2 * (2 * 80 + 20))
    assert parts(TOY, Layout(plan, eight_bit=True))["optimizer"] == 200
    assert parts(TOY, Layout(plan, reference=False))["reference"] == 0


def test_memory_estimate_of_lora() -> None:
    assert TOY.adapter(3) == 3 * 11
    assert TOY.adapter(3, "up_proj, o_proj") == 15
    plan = make_plan(**SOLVER)
    found = parts(TOY, Layout(plan, adapter=33))
    assert (found["weights"], found["gradients"]) == pytest.approx((4 * 133, 4 * 33))
    assert (found["optimizer"], found["reference"]) == (8 * 33, 0)
    assert found["weights in 16 bits"] == pytest.approx(2 * 80)


def test_memory_estimate_of_a_frozen_solver() -> None:
    plan = make_plan(**SOLVER | {"max_tokens": 2})
    alone = parts(TOY, Layout(plan), generates=False)
    assert alone["rollouts"] == 0
    found = parts(TOY, Layout(plan), generates=False, solver=TOY, solver_tokens=10**6)
    assert found["frozen Solver"] == pytest.approx(200)
    # Its cache has 16 bits, and is the largest phase.
    assert found["Solver's answers"] == pytest.approx(4 * (10**6 + 6) * 8)
    stays = sum(alone[name] for name in ("weights", "optimizer", "reference"))
    assert found["during answers"] == pytest.approx(stays + 200 + found["Solver's answers"])
    assert found["peak"] == found["during answers"]
    assert found["during updates"] == pytest.approx(alone["during updates"] + 200)


def test_vllm_engines_take_their_memory_in_their_own_phase() -> None:
    plan = make_plan(**SOLVER | {"max_tokens": 2})
    alone = parts(TOY, Layout(plan), generates=False)
    engines: dict[str, Any] = {"generates": False, "rollout_engine": 24.0, "solver_engine": 1.0}
    kept = ASLEEP + 1  # the Solver's engine is smaller than what a sleeping one keeps
    slept, awake = (parts(TOY, Layout(plan), **engines, sleep=sleep) for sleep in (True, False))
    added = {name: round((slept[name] - alone[name]) / GIB, 6) for name in PHASES}
    assert added == dict(zip(PHASES, (25, kept, kept), strict=True))
    assert {round((awake[name] - alone[name]) / GIB, 6) for name in PHASES} == {25}


def test_sending_sharded_weights_to_vllm_gathers_the_largest() -> None:
    plan = make_plan(**SOLVER, processes=4)
    sharded = parts(TOY, Layout(plan, sharded=True), generates=False, rollout_engine=1.0)
    assert sharded["rollouts"] == 4 * 10 * 2
    assert parts(TOY, Layout(plan), generates=False, rollout_engine=1.0)["rollouts"] == 0


def saved_by_autograd(shape: dict[str, Any], *, autocast: bool, checkpointing: bool) -> float:
    """Return the bytes, without weights, that a pass of TRL's patched model saves for backward."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape)).train()
    add_fused_lm_head(model, temperature=1.0, cast_lm_head_to_fp32=False, outputs=("log_probs",))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    weights = {tuple(parameter.shape) for parameter in model.parameters()}
    weights |= {shape[::-1] for shape in weights}
    owned = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if (
            place not in owned and tuple(tensor.shape) not in weights
        ):  # neither weights nor their 16-bit copies
            saved[place] = tensor
        return tensor

    ids = torch.randint(0, shape["vocab_size"], (ROLLOUTS, TOKENS))
    mask = torch.ones_like(ids)
    mask[0, :7] = 0  # completions differ in length, so there is a mask
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True)
        return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


ROLLOUTS, TOKENS = 3, 50


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_activation_estimate_equals_what_autograd_saves(
    model_type: str, autocast: bool, checkpointing: bool, tmp_path: Path
) -> None:
    sizes = {"hidden_size": 96, "intermediate_size": 224, "num_hidden_layers": 5, "head_dim": 16}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 300}
    shape = sizes | heads | {"model_type": model_type, "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    model = read_model(str(tmp_path))
    plan = make_plan(
        steps=1, prompts=3, batch=3, group=2, max_tokens=TOKENS - 10, per_device=ROLLOUTS
    )
    layout = Layout(plan, autocast=autocast, checkpointing=checkpointing)
    expected = estimate(model, layout, batch_size=1, prompt_tokens=10)["activations"] * GIB
    if checkpointing:  # no block is being recomputed yet
        without = Layout(plan, autocast=autocast, checkpointing=False)
        kept = estimate(model, without, batch_size=1, prompt_tokens=10)["activations"] * GIB
        expected -= (kept - ROLLOUTS * TOKENS * 12 * 96) / 5
    measured = saved_by_autograd(shape, autocast=autocast, checkpointing=checkpointing)
    assert measured == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_real_training_takes_the_estimated_memory() -> None:
    """Two processes, which includes DDP's buckets; `make bench` has more sizes.

    The tolerance covers small allocations that the estimate does not count.
    """
    shape = {"model_type": "qwen3", "hidden_size": 512, "intermediate_size": 1536}
    shape |= {"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2}
    shape |= {"head_dim": 64, "vocab_size": 2048, "tie_word_embeddings": True}
    script = Path(__file__).parents[1] / "helpers" / "measure_training_memory.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(script), json.dumps(shape), "4", "64", "1"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    estimates = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(estimates) == 2
    for found in estimates:
        assert 0.95 < found["measured"] / found["estimated"] < 1.1, found
