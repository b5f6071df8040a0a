"""Print the peak memory of two training updates on the CPU, and its estimate, in GiB.

    python tests/helpers/measure_training_memory.py SHAPE PER_DEVICE TOKENS CHECKPOINTING

SHAPE is the JSON of a Llama or Qwen3: '{"model_type": "llama", ...}'. The estimate is that of
`training/memory.py`. With torchrun and ACCELERATE_USE_CPU=true each process prints its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

# Map blocks of 1 MiB or more one by one, so that freed ones are returned at once and resident
# memory equals live memory. malloc reads this only when the process starts.
if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "1048576":
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1048576"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def resident(which: str) -> float:
    """Return resident memory in GiB: `VmRSS` is now, `VmHWM` the peak since the last reset."""
    found = re.search(rf"^{which}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) / (1 << 20)


def main(shape: dict[str, Any], per_device: int, tokens: int, checkpointing: bool) -> None:
    from option_groups import group  # next to this script, which is run by its path
    from transformers import AutoConfig, AutoModelForCausalLM

    from rzero_cli.engines.sampling_options import SamplingOptions
    from rzero_cli.engines.shapes import read_model
    from rzero_cli.method.plan import make_plan
    from rzero_cli.training.grpo import lay_out_rows, train
    from rzero_cli.training.memory import Layout, estimate
    from rzero_cli.training.settings import Grpo, Hardware
    from rzero_cli.world.tokenizer import build_tokenizer

    # No token ends a completion, so each has the maximum length.
    tokenizer = build_tokenizer()
    processes = int(os.environ.get("WORLD_SIZE", "1"))

    def made(shape: dict[str, Any], folder: Path) -> Path:
        config = AutoConfig.for_model(**shape, eos_token_id=None, pad_token_id=0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "out").mkdir()
        return folder

    def trained(folder: Path) -> Layout:
        plan = make_plan(
            steps=1,
            prompts=4 * processes,
            batch=2 * processes,  # two passes per update, so that gradients are kept for the second
            group=per_device,
            max_tokens=tokens,
            per_device=per_device,
            processes=processes,
        )
        rows = [{"prompt": [{"role": "user", "content": "reverse the digits of 12"}]}]
        train(
            str(folder),
            lay_out_rows(rows, plan, 0),
            lambda completions, **columns: [float(i % 2) for i in range(len(completions))],
            plan=plan,
            grpo=group(Grpo, weight_decay=0.0),
            hardware=group(Hardware, gradient_checkpointing=checkpointing),
            sampling=group(SamplingOptions, top_p=1.0),
            seed=0,
            part=folder / "out",
            batch_size=per_device,
            on_update=lambda metrics: None,
        )
        return Layout(plan, checkpointing=checkpointing, autocast=False)

    with tempfile.TemporaryDirectory() as name:
        # Train a small one first, so that all imports are done.
        tiny = {"hidden_size": 32, "intermediate_size": 32, "vocab_size": 64}
        small = made(shape | tiny, Path(name) / "small")
        large = made(shape, Path(name) / "large")
        trained(small)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        layout = trained(large)
        measured = resident("VmHWM") - before
        parts = estimate(read_model(str(large)), layout, batch_size=per_device, prompt_tokens=8)
    print(json.dumps({"measured": measured, "estimated": parts["peak"], "parts": parts}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4] == "1")  # type: ignore[misc]
