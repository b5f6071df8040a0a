"""Memory of real trainings on the CPU, compared with the estimate of `training/memory.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "helpers" / "measure_training_memory.py"
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
SIZES = [(256, 768, 4), (512, 1536, 8)] + (
    [(1024, 3072, 12)] if os.environ.get("RZERO_BENCH_FULL") else []
)


def bench_memory() -> None:
    cases: list[dict[str, Any]] = []
    for hidden, intermediate, layers in SIZES:
        shape = {"hidden_size": hidden, "intermediate_size": intermediate, "vocab_size": 256}
        shape |= {"num_hidden_layers": layers} | HEADS
        for model_type in ("llama", "qwen3"):
            given = shape | {"model_type": model_type, "tie_word_embeddings": True}
            cases += [
                {"shape": given, "per_device": 8, "checkpointing": checkpointing, "autocast": auto}
                for checkpointing in (False, True)
                for auto in (False, True)
            ]
    command = [sys.executable, str(SCRIPT), json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        record = json.loads(line)
        case = cases[record["case"]]
        shape = case["shape"]
        kinds = ["checkpointed" if case["checkpointing"] else "kept"]
        kinds += ["autocast"] if case["autocast"] else []
        measured, estimated = record["measured"], record["estimated"]
        print(
            f"\n{shape['model_type']}, hidden {shape['hidden_size']}, "
            f"{shape['num_hidden_layers']} layers, activations {', '.join(kinds)}: "
            f"{measured['updates']:.2f} GiB at the peak, "
            f"{measured['updates'] / estimated['during updates']:.2f} of the estimate"
        )
