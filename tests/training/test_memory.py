"""The memory estimate, compared with a hand calculation, autograd and a real training."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from rzero_cli.engines.shapes import Model, read_model
from rzero_cli.method.plan import make_plan
from rzero_cli.training.memory import (
    ASLEEP,
    GIB,
    PHASES,
    Layout,
    estimate,
    host_estimate,
    least_engine,
    moments,
)

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


LLAMA = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 256,  # small: on a CPU, TRL computes the logits with other temporary tensors
    "tie_word_embeddings": False,
}
QWEN = LLAMA | {"model_type": "qwen3", "tie_word_embeddings": True}


def parts(model: Model, layout: Layout, **kwargs: Any) -> dict[str, float]:
    """Return the estimate in bytes."""
    found = estimate(model, layout, batch_size=4, prompt_tokens=6, **kwargs)
    return {name: size * GIB for name, size in found.items()}


def test_memory_estimate_by_hand() -> None:
    plan = make_plan(steps=1, prompts=8, batch=8, group=2, max_tokens=2, per_device=2, processes=4)
    found = parts(TOY, Layout(plan))
    # 2 rollouts of 8 tokens. Bytes per token and block: 26 x 2 + 8 x (4 + 3) + 2 x 8 = 124, and 8
    # for a checkpoint. The tile has 16 x 32,768 logits, so the backward pass is largest when it
    # starts, with one block's weights and the gradient of the head.
    tile = 2 * 16 * 32768
    temporary = 16 * 2 + 16 * 4  # of a block's forward pass; attention's is larger
    rollouts = 4 * 8 * 8 * (1 * 2 + 4) + 4 * 4 * 8 * 4 + 160  # in float32, a layer in 16 bits, 2 B
    assert found == pytest.approx(
        {
            "weights": 400,
            "optimizer": 800,
            "reference": 400,
            "gradient buckets": 400,
            "frozen Solver": 0,
            "gradients": 400,
            "weights in 16 bits": 160,
            "activations": 16 * (8 + temporary),
            "logits": tile,
            "scoring": 160 + 16 * temporary + tile,
            "rollouts": rollouts,
            "rollout engine": 0,
            "Solver's answers": 0,
            "Solver's engine": 0,
            "during rollouts": 2000 + rollouts,
            "during scoring": 2000 + 160 + 16 * temporary + tile,
            "during answers": 2000,
            "during updates": 2000 + 400 + 160 + 16 * (8 + temporary) + tile,
            "peak": 2000 + 400 + 160 + 16 * (8 + temporary) + tile,
        }
    )
    assert parts(TOY, Layout(plan, eight_bit=True))["optimizer"] == 200
    without = parts(TOY, Layout(plan, reference=False))
    assert without["reference"] == without["scoring"] == 0


def test_memory_estimate_of_sharded_weights_by_hand() -> None:
    plan = make_plan(steps=1, prompts=8, batch=8, group=2, max_tokens=2, per_device=2, processes=4)
    found = parts(TOY, Layout(plan, sharded=True))
    assert found["weights"] == found["gradients"] == found["reference"] == 100
    assert (found["optimizer"], found["gradient buckets"]) == (200, 0)
    gathered = 2 * (3 * 80 + 20)
    assert found["rollouts"] == pytest.approx(2 * 4 * 8 * 2 * (1 * 2 + 4) + gathered)
    # The reference is gathered whole, twice in 16 bits.
    assert found["scoring"] == pytest.approx(4 * 100 + 16 * (16 * 2 + 16 * 4) + 2 * 16 * 32768)
    # The head's gradient, 80, is made in float32 and in 16 bits, and then held in 16 bits.
    at = moments(TOY, Layout(plan, sharded=True), 8)
    weights = [at[moment]["weights in 16 bits"] for moment in ("forward", "backward", "block")]
    assert weights == [gathered, gathered, gathered + 6 * 80]
    assert [at[moment]["logits"] for moment in ("block", "end")] == [40, 120 + 40]
    assert at["backward"]["logits"] - at["forward"]["logits"] == 120
    assert at["block"]["activations"] == 16 * (8 + 124 - 10 * 2 + 4 * 3 + 4 * 2)


def test_memory_estimate_of_lora() -> None:
    assert TOY.adapter(3) == 3 * 11
    assert TOY.adapter(3, "up_proj, o_proj") == 15
    plan = make_plan(**SOLVER)
    found = parts(TOY, Layout(plan, adapter=33))
    assert (found["weights"], found["gradients"]) == pytest.approx((4 * 133, 4 * 33))
    assert (found["optimizer"], found["reference"]) == (8 * 33, 0)
    # Autocast does not keep frozen weights, and the head has no gradient.
    assert {
        at["weights in 16 bits"] for at in moments(TOY, Layout(plan, adapter=33), 8).values()
    } == {2 * 80}
    # peft generates without autocast.
    tokens = 4 * (6 + 4096)
    assert found["rollouts"] == pytest.approx(8 * tokens * (1 * 2 + 4))


def test_a_single_pass_has_no_gradients_next_to_its_activations() -> None:
    sizes = {"steps": 1, "prompts": 4, "group": 2, "max_tokens": 10**4, "per_device": 2}
    several, single = (parts(TOY, Layout(make_plan(**sizes, batch=batch))) for batch in (4, 1))
    assert several["during updates"] - single["during updates"] == pytest.approx(400)
    # Unless the gradients are larger.
    plan = make_plan(**sizes | {"max_tokens": 1, "batch": 1})
    large = dataclasses.replace(TOY, parameters=10**9)
    found = parts(large, Layout(plan, reference=False))
    stays = found["weights"] + found["optimizer"]
    assert found["during updates"] - stays > found["gradients"] == 4 * 10**9


def test_memory_estimate_of_a_frozen_solver() -> None:
    plan = make_plan(**SOLVER | {"max_tokens": 2})
    alone = parts(TOY, Layout(plan), generates=False)
    assert alone["rollouts"] == 0
    found = parts(TOY, Layout(plan), generates=False, solver=TOY, solver_tokens=10**6)
    assert found["frozen Solver"] == pytest.approx(200)
    # Its cache has 16 bits, and is the largest phase.
    assert found["Solver's answers"] == pytest.approx(4 * (10**6 + 6) * 4 * (1 * 2 + 4))
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
    assert added == dict(zip(PHASES, (25, kept, kept, kept), strict=True))
    assert {round((awake[name] - alone[name]) / GIB, 6) for name in PHASES} == {25}


def test_sending_sharded_weights_to_vllm_gathers_the_largest() -> None:
    plan = make_plan(**SOLVER, processes=4)
    sharded = parts(TOY, Layout(plan, sharded=True), generates=False, rollout_engine=1.0)
    assert sharded["rollouts"] == 4 * 10 * 2
    assert parts(TOY, Layout(plan), generates=False, rollout_engine=1.0)["rollouts"] == 0


def test_host_memory_by_hand() -> None:
    plan = make_plan(**SOLVER, processes=4)

    def host(solver: Model | None = None, **options: Any) -> float:
        return host_estimate(TOY, Layout(plan, **options), 2, solver) * GIB

    assert host(sharded=True) == 2 * 2 * 400
    assert host() == host(sharded=True, reference=False) == host(sharded=True, adapter=3) == 2 * 400
    assert host(TOY) == 2 * (400 + 200)


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm")
def test_least_engine_counts_weights_and_cache_as_vllm_does(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.world.tokenizer import build_tokenizer

    shapes = [
        shape | {"hidden_size": 128, "intermediate_size": 192, "vocab_size": 320}
        for shape in (LLAMA, QWEN)  # untied and tied
    ]
    names = [str(tmp_path / shape["model_type"]) for shape in shapes]
    for name, shape in zip(names, shapes, strict=True):
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape)).save_pretrained(name)
        build_tokenizer().save_pretrained(name)
    script = Path(__file__).parents[1] / "helpers" / "vllm_accounting.py"
    command = [sys.executable, str(script), "1024", *names]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    for name, vllm in zip(names, found, strict=True):
        model = read_model(name)
        assert vllm["weights"] == 2 * model.parameters
        assert vllm["cache"] == model.kv_bytes
        assert vllm["least"] == 1024 + 32  # the longest sequence and a spare block
        sizes = [least_engine(model, tokens) * GIB for tokens in (1024, 1025, 1024 + 16)]
        assert sizes[1] - sizes[0] == pytest.approx(16 * vllm["cache"])
        assert sizes[1] == sizes[2]
    larger = dataclasses.replace(model, parameters=model.parameters + 10**6)
    assert (least_engine(larger, 9) - least_engine(model, 9)) * GIB == pytest.approx(2 * 10**6)


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
    # Of the 20 H of norm and head, 8 H are gradients.
    expected = moments(model, layout, TOKENS)["backward"]["activations"]
    expected -= ROLLOUTS * TOKENS * 8 * 96
    measured = saved_by_autograd(shape, autocast=autocast, checkpointing=checkpointing)
    assert measured == pytest.approx(expected, rel=0.02)


def peak_of_tensors(call: Callable[[], object], trace: Path) -> int:
    """Return the bytes of tensors at the peak of a call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    found.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    sizes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    return max(accumulate(size for _, size in sizes))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all weights", "LoRA", "frozen Solver"])
def test_generation_takes_the_estimated_memory(kind: str, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.engines.decoding import decode

    shape = QWEN | {"hidden_size": 64, "intermediate_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    shaped = read_model(str(tmp_path))
    config = AutoConfig.for_model(**shape, eos_token_id=None, pad_token_id=0)
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    if kind == "frozen Solver":
        model = model.bfloat16()
    else:
        if kind == "LoRA":
            model = get_peft_model(model, LoraConfig(r=1, target_modules="all-linear"))
        model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)  # as accelerate does
    rows, prompt, new = 32, 8, 40
    ids = torch.randint(0, 256, (rows, prompt))
    mask = torch.ones_like(ids)
    mask[0, 0] = 0  # prompts differ in length, so there is a mask
    options = {"max_new_tokens": new, "custom_generate": decode, "pad_token_id": 0}
    peak = peak_of_tensors(
        lambda: model.generate(input_ids=ids, attention_mask=mask, **options), tmp_path / "trace"
    )
    layout = Layout(make_plan(**SOLVER | {"max_tokens": new}), adapter=int(kind == "LoRA"))
    solver = {"solver": shaped, "solver_tokens": new} if kind == "frozen Solver" else {}
    found = estimate(shaped, layout, batch_size=rows, prompt_tokens=prompt, **solver)
    expected = found["Solver's answers" if solver else "rollouts"] * GIB
    assert peak == pytest.approx(expected, rel=0.1)


CASES: dict[str, dict[str, Any]] = {
    "LoRA": {"shape": QWEN, "lora_r": 8, "checkpointing": False, "tokens": 64},
    "all weights": {"shape": QWEN},
    "without KL and checkpointing": {"shape": LLAMA, "beta": 0.0, "checkpointing": False},
    "autocast": {"shape": QWEN, "autocast": True},
    "FSDP2": {"shape": LLAMA, "autocast": True, "sharded": True},
}


@pytest.mark.slow
def test_two_processes_take_the_estimated_memory() -> None:
    """Phase by phase, as does `make bench` at more sizes."""
    script = Path(__file__).parents[1] / "helpers" / "measure_training_memory.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(script), json.dumps(list(CASES.values()))]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
    records = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert len(records) == 2 * len(CASES)
    for record in records:
        check_phases(**record)


def check_phases(
    case: int, measured: dict[str, float], estimated: dict[str, float], host: float
) -> None:
    """Compare what stays, and what each phase adds; libraries and the heap take up to 0.02 GiB."""
    name = list(CASES)[case]
    stays = [estimated[part] for part in ("weights", "optimizer", "reference", "gradient buckets")]
    assert measured["resident"] == pytest.approx(sum(stays), abs=0.02), (name, measured)

    def added(phase: str) -> None:
        found = measured[phase] - measured["resident"]
        expected = estimated[f"during {phase}"] - sum(stays)
        if name == "FSDP2" and phase == "scoring":
            # gloo gathers through another buffer, next to the shard in 16 bits: P more.
            expected += estimated["reference"] / 2
        # Frozen norms, with LoRA, save less. A phase may use what the heap holds, and leave some.
        low, noise = 0.75 if name == "LoRA" else 0.85, 0.005
        said = name, phase, measured, estimated
        assert low * expected - noise < found < 1.05 * expected + noise, said

    if "updates" in measured:  # `train` tells rank 0 alone of its updates
        added("updates")
    if "scoring" in measured:
        added("scoring")
        assert measured["cache entry"] == (2 if name == "FSDP2" else 4), name
    if name == "FSDP2":
        assert measured["loaded"] == pytest.approx(host, rel=0.05), measured
