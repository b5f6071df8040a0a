"""What a MODEL argument means, decided without loading anything."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from rzero_cli.core.provenance import adapter_base
from rzero_cli.core.shapes import published
from rzero_cli.errors import RzeroError, UsageError

__all__ = ["adapter_base", "check_model", "require"]

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_model(option: str, model: str | None, *, shape_only: bool = False) -> str:
    """Check that MODEL can be one: a local checkpoint or adapter directory, or a hub name ORG/NAME.

    A local path always wins. An adapter's base has to be there as well.

    Args:
        option: the option it came from, for the message.
        model: its value; None where it was not given.
        shape_only: its shape is all that will be asked for; `core/models.toml` has some.

    Returns:
        The model, unchanged.

    Raises:
        UsageError: not given, not there, or no checkpoint.
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
            check_model(f"{option} {model}: an adapter of", base)
        elif not (path / "config.json").is_file():
            raise UsageError(f"{option} {model}: no checkpoint there (no config.json)")
        return str(path)
    if path.exists():
        raise UsageError(f"{option} {model}: a file; a checkpoint is a directory")
    if not _HUB_NAME.fullmatch(model) or Path(model.split("/")[0]).is_dir():
        raise UsageError(f"{option} {model}: no such directory (and not a hub name ORG/NAME)")
    if not (shape_only and model in published()):
        _check_hub(option, model)
    return model


def _check_hub(option: str, model: str) -> None:
    """Without a way to the hub, look at its cache alone: its own retries take a minute."""
    if find_spec("huggingface_hub") is None or any(map(os.environ.get, _PROXIES)):
        return
    import socket  # slow to import, as is the other

    from huggingface_hub import constants, try_to_load_from_cache

    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    if constants.HF_HUB_OFFLINE and not try_to_load_from_cache(model, "config.json"):
        raise RzeroError(
            f"{option} {model}: no such directory; not in the hub's cache either, and the hub is "
            "out of reach"
        )


def require(extra: str, *packages: str) -> None:
    """Raise UsageError, with the line to type, unless `packages` are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} not installed: pip install 'rzero-cli[{extra}]'")
