"""Memory of real trainings on the CPU, compared with the estimate of `training/memory.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "helpers" / "measure_training_memory.py"
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
SIZES = [(256, 768, 4), (512, 1536, 8)] + (
    [(1024, 3072, 12)] if os.environ.get("RZERO_BENCH_FULL") else []
)


def bench_memory() -> None:
    for hidden, intermediate, layers in SIZES:
        shape = {"hidden_size": hidden, "intermediate_size": intermediate, "vocab_size": 2048}
        shape |= {"num_hidden_layers": layers} | HEADS
        for model_type in ("llama", "qwen3"):
            given = json.dumps(shape | {"model_type": model_type, "tie_word_embeddings": True})
            for checkpointing in ("0", "1"):
                command = [sys.executable, str(SCRIPT), given, "8", "64", checkpointing]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                kind = ("kept", "checkpointed")[int(checkpointing)]
                ratio = found["measured"] / found["estimated"]
                print(
                    f"\n{model_type}, hidden {hidden}, {layers} layers, activations {kind}: "
                    f"{found['measured']:.2f} GiB at the peak, {ratio:.2f} of the estimate"
                )
