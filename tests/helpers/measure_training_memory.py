"""Train a Llama or Qwen3 of a given shape for two updates on the CPU and print, in GiB, the peak of
its memory and the estimate of `training/memory.py`.

    python tests/helpers/measure_training_memory.py SHAPE PER_DEVICE TOKENS CHECKPOINTING

SHAPE is JSON: '{"model_type": "llama", ...}'. With torchrun and ACCELERATE_USE_CPU=true each
process prints its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

# Blocks of a mebibyte are mapped one by one and given back when they are freed: what is resident
# is then what is alive. Read when the process starts.
if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "1048576":
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1048576"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def resident(which: str) -> float:
    """GiB: `VmRSS` is now, `VmHWM` the most since the count was begun anew."""
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

    # Every completion is as long as it may be: no token ends one.
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
            batch=2 * processes,  # two passes an update, so that gradients wait for the second
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
            drawing=group(SamplingOptions, top_p=1.0),
            seed=0,
            part=folder / "out",
            batch_size=per_device,
            on_update=lambda figures: None,
        )
        return Layout(plan, checkpointing=checkpointing, autocast=False)

    with tempfile.TemporaryDirectory() as name:
        # First a small one, so that all that is imported on the way is there.
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
