"""Where an option's value comes from: flag, environment, rzero.toml, preset, in that order.

Presets and configuration files have the same form: keys at the top hold for every command that has
an option of that name, a table named after a command holds for it alone. All presets but `paper`
say only what differs from it, so that several can be given: `official,qwen3-4b`.
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
    """The names of the presets, the default first."""
    return list(_presets())


def preset_keys() -> set[str]:
    """Every option that some preset gives a value, for some command."""
    values = [item for preset in _presets().values() for item in preset.items()]
    tables = [value for _, value in values if isinstance(value, dict)]
    return {key for key, value in values if not isinstance(value, dict)}.union(*tables)


def layers(preset: str) -> list[Layer]:
    """The layers of a preset, or of several with commas, the weaker first.

    Raises:
        UsageError: an unknown name.
    """
    names = [name.strip() for name in preset.split(",")]
    for name in names:
        if name not in _presets():
            raise UsageError(f"unknown preset {name!r}; known: {', '.join(preset_names())}")
    return [_presets()[BASE_PRESET], *(_presets()[name] for name in names if name != BASE_PRESET)]


def table_of(layer: Layer, command: str) -> Layer:
    """Return a command's table; a key of that name which is no table is an option's."""
    table = layer.get(command)
    return table if isinstance(table, dict) else {}


def merge(stack: list[Layer], command: str) -> Layer:
    """One command's values: later layers win, and in each a command's table over the top keys."""
    values: Layer = {}
    for layer in stack:
        own = {key: value for key, value in layer.items() if not isinstance(value, dict)}
        own |= table_of(layer, command)
        if "delta" in own:  # another way to say what `low` and `high` say
            values = {key: value for key, value in values.items() if key not in ("low", "high")}
        values |= own
    return values


def preset_value(command: str, name: str, preset: str = BASE_PRESET) -> Any:
    """The value a preset gives an option, or None."""
    return merge(layers(preset), command).get(name)


def load_config(path: Path) -> Layer:
    """Read a configuration file; keys may be written with dashes, as the options are.

    Raises:
        UsageError: not there, or not TOML; names file and line.
    """
    try:
        config = read_toml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return {
        key if isinstance(value, dict) else _underscored(key): (
            {_underscored(k): v for k, v in value.items()} if isinstance(value, dict) else value
        )
        for key, value in config.items()
    }


def _underscored(key: str) -> str:
    return key.replace("-", "_")
