"""Checks of MODEL arguments, without loading a model."""

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
"""Seconds to wait for the hub; its own libraries would try for up to a minute."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_model(
    option: str,
    model: str | None,
    *,
    shape_only: bool = False,
    engine: str = "transformers",
    tokenizer: bool = True,
) -> str:
    """Check that MODEL is a complete checkpoint or adapter directory, or a hub name ORG/NAME.

    A local path takes precedence over a hub name. The base of an adapter is checked as well.

    Args:
        option: the option that names the model, for the message.
        model: its value; None if it was not given.
        shape_only: only its shape will be used; `engines/models.toml` has some.
        engine: the engine that will load it. vLLM supports more architectures than transformers
            and reports itself those it lacks.
        tokenizer: require a tokenizer in the directory.

    Returns:
        The model; `~` in a path is expanded.

    Raises:
        UsageError: it is not given, does not exist, or cannot be loaded.
        RzeroError: it is a hub name, the hub is unreachable, and its cache does not have it.
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
            raise UsageError(f"{option} {model}: not a checkpoint (no config.json)")
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
        raise UsageError(f"{option} {model}: a file; give a checkpoint directory")
    if not _HUB_NAME.fullmatch(model) or Path(model.split("/")[0]).is_dir():
        raise UsageError(f"{option} {model}: no such directory (and not a hub name ORG/NAME)")
    if not (shape_only and model in published()):
        _check_hub(option, model)
    return model


def _check_code(folder: Path, engine: str) -> None:
    """Reject a checkpoint whose model only its own code can build."""
    kind = own_code(folder)
    if kind is None or engine == "vllm" or find_spec("transformers") is None:
        return
    # This import takes seconds, but few checkpoints bring code, and the engine needs it anyway.
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UsageError(
            f"config.json: {kind} needs code from the checkpoint (auto_map), which rzero does not "
            "run; if you trust it, let vLLM run it: --engine vllm --engine-arg "
            "trust_remote_code=true"
        )


def offline_without_hub() -> None:
    """Switch Hugging Face's libraries to their cache if the hub does not answer.

    Call it before importing them: they and their child processes read HF_HUB_OFFLINE at import.
    It does nothing behind a proxy, where a connection proves nothing about the hub.
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
    """Raise RzeroError for a model that is not in the cache if the hub is unreachable."""
    if find_spec("huggingface_hub") is None:
        return
    offline_without_hub()
    from huggingface_hub import is_offline_mode, try_to_load_from_cache

    if is_offline_mode() and not try_to_load_from_cache(model, "config.json"):
        raise RzeroError(
            f"{option} {model}: no such directory; not in the hub's cache either, and the hub is "
            "unreachable"
        )


def require(extra: str, *packages: str) -> None:
    """Check that `packages` are installed.

    Args:
        extra: rzero-cli's extra that has them, for the message.
        packages: import names.

    Raises:
        UsageError: some are not installed; the message has the command that installs them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not installed: pip install '.[{extra}]' in the clone"
        )
