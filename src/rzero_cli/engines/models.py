"""What a MODEL argument means, decided without loading anything."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from rzero_cli.data.provenance import adapter_base
from rzero_cli.engines.loadable import check_adapter, check_checkpoint, has_tokenizer, own_code
from rzero_cli.engines.shapes import published
from rzero_cli.errors import RzeroError, UsageError

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HUB_PATIENCE = 3.0
"""Seconds for the hub to answer at all; its own libraries would try for up to a minute."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_model(
    option: str,
    model: str | None,
    *,
    shape_only: bool = False,
    engine: str = "transformers",
    tokenizer: bool = True,
) -> str:
    """Check that MODEL can be one: a local checkpoint or adapter directory, or a hub name ORG/NAME.

    A local path always wins, and its files have to be whole. An adapter's base has to be there as
    well.

    Args:
        option: the option it came from, for the message.
        model: its value; None where it was not given.
        shape_only: its shape is all that will be asked for; `engines/models.toml` has some.
        engine: what will load it; vLLM has code for more models than transformers, and says itself
            where it has none.
        tokenizer: whether it needs one of its own.

    Returns:
        The model, unchanged.

    Raises:
        UsageError: not given, not there, or no checkpoint that can be loaded.
        RzeroError: a hub name, when the hub is out of reach and its cache does not have it.
    """
    if not model:
        variable = "RZERO_" + option.lstrip("-").upper().replace("-", "_")
        raise UsageError(
            f"{option} is missing: give a checkpoint directory or a hub name, or set {variable} "
            "or rzero.toml"
        )
    path = Path(model).expanduser()
    if path.is_dir():
        if base := adapter_base(str(path)):
            check_model(
                f"{option} {model}: an adapter of",
                base,
                shape_only=shape_only,
                engine=engine,
                tokenizer=tokenizer and not has_tokenizer(path),
            )
        elif not (path / "config.json").is_file():
            raise UsageError(f"{option} {model}: no checkpoint there (no config.json)")
        try:
            if not base:
                check_checkpoint(path, tokenizer=tokenizer, shape_only=shape_only)
                _check_code(path, engine)
            elif not shape_only:
                check_adapter(path)
        except UsageError as error:
            raise UsageError(f"{option} {model}: {error}") from error
        return str(path)
    if path.exists():
        raise UsageError(f"{option} {model}: a file; a checkpoint is a directory")
    if not _HUB_NAME.fullmatch(model) or Path(model.split("/")[0]).is_dir():
        raise UsageError(f"{option} {model}: no such directory (and not a hub name ORG/NAME)")
    if not (shape_only and model in published()):
        _check_hub(option, model)
    return model


def _check_code(folder: Path, engine: str) -> None:
    """Refuse a checkpoint whose model only code of its own could build."""
    kind = own_code(folder)
    if kind is None or engine == "vllm" or find_spec("transformers") is None:
        return
    # Seconds, but few checkpoints bring code, and all of them need this next.
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UsageError(
            f"config.json: {kind} needs code that comes with the checkpoint (auto_map), and rzero "
            "runs none; vLLM would, if you trust it: --engine vllm --engine-arg "
            "trust_remote_code=true"
        )


def offline_without_hub() -> None:
    """Have Hugging Face's libraries use their cache alone where the hub does not answer.

    They, and processes that they start, read this from the environment when they are imported: call
    it before. Through a proxy nobody knows what answers until it is asked.
    """
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline or any(map(os.environ.get, _PROXIES)):
        return
    import socket  # slow to import

    hub = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        port = hub.port or (80 if hub.scheme == "http" else 443)
        socket.create_connection((hub.hostname or "", port), _HUB_PATIENCE).close()
    except (OSError, ValueError):
        os.environ["HF_HUB_OFFLINE"] = "1"


def _check_hub(option: str, model: str) -> None:
    """Raise RzeroError for a model that is not in the cache where the hub is out of reach."""
    if find_spec("huggingface_hub") is None:
        return
    offline_without_hub()
    from huggingface_hub import is_offline_mode, try_to_load_from_cache

    if is_offline_mode() and not try_to_load_from_cache(model, "config.json"):
        raise RzeroError(
            f"{option} {model}: no such directory; not in the hub's cache either, and the hub is "
            "out of reach"
        )


def require(extra: str, *packages: str) -> None:
    """Raise UsageError, with the line to type, unless `packages` are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} not installed: pip install 'rzero-cli[{extra}]'")
