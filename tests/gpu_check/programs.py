"""The checks that no command covers, and commands that are interrupted or measured.

    python -m gpu_check.programs NAME ARGUMENTS

Most print what they found as a line of JSON.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from gpu_check.runner import installed

_IMPORTED = ("torch", "transformers", "accelerate", "datasets", "trl", "peft", "lm_eval", "vllm")
PROMPT = 256
"""Tokens of the long prompts; what the memory estimate assumes."""


def machine() -> None:
    """Import the packages that are there, and multiply matrices on each GPU in bfloat16."""
    import torch

    gpus = []
    for number in range(torch.cuda.device_count()):
        device, properties = f"cuda:{number}", torch.cuda.get_device_properties(number)
        a, b = (torch.randn(512, 512, device=device) for _ in range(2))
        exact, rounded = a @ b, (a.bfloat16() @ b.bfloat16()).float()
        error = float((rounded - exact).norm() / exact.norm())
        if not error < 0.02:
            raise SystemExit(f"{properties.name}: a product in bfloat16 is off by {error:.1%}")
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        gib = properties.total_memory / (1 << 30)
        kind = "bfloat16" if bf16 else "no bfloat16"
        gpus.append(f"{properties.name} ({gib:.0f} GiB, {kind})")
    hidden = "CUDA_VISIBLE_DEVICES" in os.environ
    if not gpus and not hidden and Path("/dev/nvidia0").exists():
        raise SystemExit(
            f"there is /dev/nvidia0, but torch {torch.__version__} finds no GPU (it is built for "
            f"CUDA {torch.version.cuda})"
        )
    for name in filter(installed, _IMPORTED):
        try:
            import_module(name)
        except Exception as error:
            raise SystemExit(f"import {name}: {type(error).__name__}: {error}") from error
    _print({"GPUs": gpus or "none", "torch": torch.__version__, "CUDA": torch.version.cuda})


def base(folder: str) -> None:
    """Pre-train a small Llama, whose head has 64 features, as the kernels of all GPUs support."""
    import torch

    from rzero_cli.world import pretrain

    torch.set_num_threads(1)  # more only wait for each other
    pretrain.SIZES["gpu-check"] = pretrain.SIZES["small"]._replace(heads=1)
    _print(pretrain.make_tiny_base(Path(folder), size="gpu-check"))


def large(folder: str) -> None:
    """Write a random Qwen3 whose training takes gigabytes, and questions with long prompts."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.world.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 2048
    shape = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 8}
    shape |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64}
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=32768,  # the end is sampled rarely, so that rollouts are long
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **shape,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # The template adds three tokens.
    rows = [{"question": str(n) * (PROMPT - 3), "answer": "1"} for n in range(1, 9)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path(folder, "long.jsonl").write_text(lines, "utf-8")


def decode(model: str) -> None:
    """Compare rzero's decoding loop with transformers' own."""
    import torch

    from rzero_cli.engines import decoding
    from rzero_cli.engines.transformers import load_model, load_tokenizer

    tokenizer, loaded = load_tokenizer(model), load_model(model)
    lines = Path(model, "heldout.jsonl").read_text("utf-8").splitlines()[:32]
    chats = [[{"role": "user", "content": json.loads(line)["question"]}] for line in lines]
    texts = [
        tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in chats
    ]
    inputs = tokenizer(
        [text for text in texts for _ in range(2)], return_tensors="pt", padding=True
    ).to(loaded.device)
    made = [
        loaded.generate(
            **{name: inputs[name] for name in ("input_ids", "attention_mask")},
            do_sample=False,
            max_new_tokens=24,
            **own,
        )
        for own in ({}, {"custom_generate": decoding.decode})
    ]
    width = max(rows.shape[1] for rows in made)
    theirs, ours = (
        torch.nn.functional.pad(rows, (0, width - rows.shape[1]), value=tokenizer.pad_token_id)
        for rows in made
    )
    equal = float((theirs == ours).all(1).float().mean())
    if equal < 0.9:  # in 16 bits, ties may be broken differently
        raise SystemExit(f"only {equal:.0%} of the greedy completions equal transformers'")
    _print({"dtype": str(loaded.dtype).removeprefix("torch."), "equal completions": equal})


def passes(folder: str) -> None:
    """Compare trainings with trimmed passes and with TRL's, on the same completions.

    On a GPU under bfloat16 autocast and with gradient checkpointing, on the CPU under autocast.
    """
    os.environ.setdefault("ACCELERATE_MIXED_PRECISION", "bf16")
    from safetensors.torch import load_file

    from helpers.recorded_passes import Case, make_model, train

    start = make_model(Path(folder), hidden=128)
    lengths = [[400, 30, 12, 7, 90, 25, 60, 1], [80, 200, 9, 33, 5, 120, 15, 40]]
    case = Case(lengths, prompts=[5, 30], beta=0.1, clip=0.2, learning_rate=0.05)
    trl, rzero = (train(name, case, start, Path(folder, name)) for name in ("trl", "rzero"))
    before = load_file(Path(start, "model.safetensors"))

    def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
        return math.sqrt(sum(float((one[n] - other[n]).square().sum()) for n in one))

    columns = [sum(one.columns for one in done.passes) for done in (trl, rzero)]
    off = distance(trl.weights, rzero.weights) / distance(before, trl.weights)
    norms = [done.log[0]["grad_norm"] for done in (trl, rzero)]
    if columns[1] >= columns[0]:
        raise SystemExit(f"{columns[1]} columns computed, and {columns[0]} by TRL")
    if not (off < 0.1 and abs(norms[1] / norms[0] - 1) < 0.05):
        raise SystemExit(
            f"gradients {norms[1]:.4g} and {norms[0]:.4g}; weights differ by {off:.1%}"
        )
    _print(
        {
            "columns, of TRL's": columns[1] / columns[0],
            "gradients": norms,
            "difference of the weights, of their change": off,
        }
    )


def asleep(model: str) -> None:
    """Measure a vLLM engine that sleeps, completes prompts, and sleeps again.

    Memory is that of the whole GPU, so other programs on it disturb the result.
    """
    import torch

    from rzero_cli.engines import Sampling, open_engine
    from rzero_cli.training.memory import ASLEEP

    def used() -> float:
        free, total = torch.cuda.mem_get_info()
        return float(total - free) / (1 << 30)

    torch.cuda.init()
    before = used()
    arguments = {"enable_sleep_mode": True, "gpu_memory_utilization": 0.5}
    with open_engine("vllm", model, arguments=arguments) as engine:
        first = used() - before
        prompts = [[{"role": "user", "content": f"copy the number {n}"}] for n in range(100, 164)]
        awake = tokens = 0.0
        for completions in engine.generate(prompts, Sampling(max_tokens=24)):
            awake = max(awake, used() - before)
            tokens += completions[0].tokens
        after = used() - before
    found = {"awake GiB": awake, "asleep GiB": first, "asleep again GiB": after}
    found |= {"assumed GiB": ASLEEP, "tokens": tokens}
    if not tokens or max(first, after) > 2 * ASLEEP:
        raise SystemExit(", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    _print(found)


def interrupt(part: str, *words: str) -> None:
    """Run a training of rzero, and kill it when its second state is being saved."""
    process = subprocess.Popen([sys.executable, "-m", "rzero_cli", *words])
    states: list[int] = []
    while process.poll() is None and max(states, default=0) < 2:
        time.sleep(0.005)
        names = [path.name for path in Path(part, "checkpoints").glob("checkpoint-*")]
        states = [int(name.rpartition("-")[2]) for name in names]
    process.kill()
    if process.wait() != -9:
        raise SystemExit(f"ended with status {process.returncode} before it was interrupted")


def measured(file: str, *words: str) -> None:
    """Run a command of rzero in this process, and write torch's peaks of GPU memory to a file."""
    import atexit

    def write() -> None:
        cuda = sys.modules["torch"].cuda
        peaks = cuda.max_memory_allocated(), cuda.max_memory_reserved()
        Path(file).write_text(json.dumps([size / (1 << 30) for size in peaks]), "utf-8")

    atexit.register(write)
    from rzero_cli.__main__ import main

    sys.argv[1:] = words
    main()


def _print(found: dict[str, Any]) -> None:
    print(json.dumps(found))


_PROGRAMS = (machine, base, large, decode, passes, asleep, interrupt, measured)

if __name__ == "__main__":  # vLLM's worker processes import this module again
    {program.__name__: program for program in _PROGRAMS}[sys.argv[1]](*sys.argv[2:])
