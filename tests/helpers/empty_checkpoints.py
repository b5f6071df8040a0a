"""Checkpoints with valid files but no weights, made without torch."""

from __future__ import annotations

import json
from pathlib import Path


def empty_checkpoint(folder: Path, **config: object) -> Path:
    """Write a checkpoint that passes the checks of a command but cannot be loaded."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", {})
    return folder


def write_safetensors(path: Path, header: object, data: bytes = b"") -> None:
    """Write the file format by hand: the length of the header, the header, the tensors."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
