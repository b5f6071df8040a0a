"""Presets and configuration files.

Both have the same form. Keys at the top apply to every command with an option of that name; a table
named after a command applies to that command only. All presets except `paper` hold only their
differences from it, so presets can be combined: `official,qwen3-4b`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from rzero_cli.data.toml_files import read_toml
from rzero_cli.errors import UsageError

Layer = dict[str, Any]
BASE_PRESET = "paper"
CONFIG_NAME = "rzero.toml"


@lru_cache(maxsize=1)
def _presets() -> dict[str, Layer]:
    return read_toml(Path(__file__).with_name("presets.toml"))


def preset_names() -> list[str]:
    """Return the names of the presets, the default first."""
    return list(_presets())


def preset_keys() -> set[str]:
    """Return every option that some preset sets for some command."""
    values = [item for preset in _presets().values() for item in preset.items()]
    tables = [value for _, value in values if isinstance(value, dict)]
    return {key for key, value in values if not isinstance(value, dict)}.union(*tables)


def layers(preset: str) -> list[Layer]:
    """Return the layers of comma-separated presets, lowest precedence first.

    Raises:
        UsageError: a name is unknown.
    """
    names = [name.strip() for name in preset.split(",")]
    for name in names:
        if name not in _presets():
            raise UsageError(f"unknown preset {name!r}; known: {', '.join(preset_names())}")
    return [_presets()[BASE_PRESET], *(_presets()[name] for name in names if name != BASE_PRESET)]


def table_of(layer: Layer, command: str) -> Layer:
    """Return a command's table; a key of that name may also be an option (`sample`)."""
    table = layer.get(command)
    return table if isinstance(table, dict) else {}


def merge(stack: list[Layer], command: str) -> Layer:
    """Return a command's values: later layers win, and in each the command's table wins."""
    values: Layer = {}
    for layer in stack:
        own = {key: value for key, value in layer.items() if not isinstance(value, dict)}
        own |= table_of(layer, command)
        if "delta" in own:  # replaces a `low` and `high` set earlier
            values = {key: value for key, value in values.items() if key not in ("low", "high")}
        values |= own
    return values


def preset_value(command: str, name: str, preset: str = BASE_PRESET) -> Any:
    """Return an option's value in a preset, or None."""
    return merge(layers(preset), command).get(name)


def load_config(path: Path) -> Layer:
    """Read a configuration file, whose keys may have dashes, like the options.

    Raises:
        UsageError: the file is missing or not TOML; names file and line.
    """
    try:
        config = read_toml(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--config {path}: {reason}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    options = {key: value for key, value in config.items() if key not in tables}
    return _underscored(options) | {key: _underscored(table) for key, table in tables.items()}


def _underscored(options: Layer) -> Layer:
    return {key.replace("-", "_"): value for key, value in options.items()}
