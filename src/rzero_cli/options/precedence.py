"""The precedence of option values: flag, environment, rzero.toml, preset.

`--preset` and `--config` are parsed before the other options and install their values as the
command's defaults, through typer's `default_map`. Only this module queries typer for the source of
a value.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from rzero_cli.errors import UsageError
from rzero_cli.fields import mark_of
from rzero_cli.options import presets
from rzero_cli.system.secrets import key_named_in

TO_THE_ENVIRONMENT = "put API keys in the environment (OPENAI_API_KEY, HF_TOKEN)"


def preset_given(ctx: typer.Context, value: str | None) -> str | None:
    """Apply `--preset` and return the presets in effect.

    Raises:
        UsageError: a preset is unknown, or rzero.toml is invalid.
    """
    ctx.params["preset"] = value
    _install_defaults(ctx)
    return value or (str(ctx.default_map["preset"]) if ctx.default_map else None)


def config_given(ctx: typer.Context, value: str | None) -> str | None:
    """Apply `--config`. Raises as `preset_given`."""
    ctx.params["config"] = value
    _install_defaults(ctx)
    return value


def _install_defaults(ctx: typer.Context) -> None:
    """Set the command's defaults from the preset and the configuration, parsed in either order."""
    config = _read_config(ctx)
    preset = str(ctx.params.get("preset") or config.get("preset") or presets.BASE_PRESET)
    _check_keys(ctx, config)
    values = presets.merge([*presets.layers(preset), config], ctx.command.name or "")
    options = {option.name: option for option in ctx.command.params}
    ctx.default_map = {
        name: _as_default(value, options[name]) if name in options else value
        for name, value in values.items()
    }
    ctx.default_map["preset"] = preset
    _check_values(ctx, config, options)


def _as_default(value: Any, option: Any) -> Any:
    """Return a value unchanged if its type fits the option, else as text, which typer then checks
    and refuses as if it had been typed."""
    kinds = {"integer": int, "float": (int, float), "boolean": bool, "text": str}
    kind: Any = kinds.get(option.type.name.removesuffix(" range"), str)

    def checked(item: Any) -> Any:
        fits = isinstance(item, kind) and isinstance(item, bool) == (kind is bool)
        return item if fits else str(item)

    if getattr(option, "multiple", False):
        return [checked(item) for item in (value if isinstance(value, list) else [value])]
    return checked(value)


def _read_config(ctx: typer.Context) -> presets.Layer:
    """Return the configuration, read once per call since it may be a pipe."""
    path = ctx.params.get("config")
    read: dict[str | None, presets.Layer] = ctx.meta.setdefault(__name__, {})
    if path not in read:
        there = path is not None or Path(presets.CONFIG_NAME).is_file()
        read[path] = presets.load_config(Path(path or presets.CONFIG_NAME)) if there else {}
    return read[path]


def _check_keys(ctx: typer.Context, config: presets.Layer) -> None:
    """Raise UsageError for a key or a table that nothing reads, such as a typing error."""
    root: Any = ctx.find_root().command
    where = ctx.params.get("config") or presets.CONFIG_NAME
    if name := key_named_in(config):
        raise UsageError(f"{where}: {name}: {TO_THE_ENVIRONMENT}")
    mine = {str(option.name) for option in ctx.command.params if option.param_type_name == "option"}
    for key, value in config.items():
        if not isinstance(value, dict):
            if key not in mine | _shared_names():
                raise UsageError(
                    f"{where}: no command shares an option {key!r}; put an option of a single "
                    "command into its [table]"
                )
        elif "preset" in value:
            raise UsageError(
                f"{where}: [{key}] preset: set the preset at the top, for all commands"
            )
        elif key not in root.commands:
            raise UsageError(f"{where}: [{key}] is not a command")
        elif key == ctx.command.name and (unknown := sorted(set(value) - mine)):
            raise UsageError(f"{where}: [{key}] has no option {unknown[0]!r}")


def _check_values(ctx: typer.Context, config: presets.Layer, options: dict[Any, Any]) -> None:
    """Raise UsageError if an option cannot have the value that the configuration gives it."""
    table = presets.table_of(config, ctx.command.name or "")
    for name, option in options.items():
        value = config.get(name)
        if name not in table and (value is None or isinstance(value, dict)):
            continue
        try:
            option.type_cast_value(ctx, ctx.default_map[name])  # type: ignore[index]
        except typer.BadParameter as error:
            where = ctx.params.get("config") or presets.CONFIG_NAME
            key = f"[{ctx.command.name}] {name}" if name in table else name
            raise UsageError(f"{where}: {key}: {error.format_message()}") from error


def _shared_names() -> set[str]:
    """Return the options of the shared groups, and all options that some preset sets."""
    from rzero_cli.options import file_groups, method_groups, model_groups

    modules = (file_groups, method_groups, model_groups)
    kinds = [kind for module in modules for kind in vars(module).values()]
    shared = [kind for kind in kinds if hasattr(kind, "PANEL")]
    options = (field for kind in shared for field in fields(kind))
    return {o.name for o in options if not mark_of(o).is_argument} | presets.preset_keys()


def typed_options(ctx: typer.Context) -> frozenset[str]:
    """Return the options given on the command line."""
    return _from(ctx, "COMMANDLINE")


def chosen_options(ctx: typer.Context) -> frozenset[str]:
    """Return the options given on the command line, in the environment or in rzero.toml."""
    config = _read_config(ctx) if "preset" in ctx.params else {}
    own = presets.table_of(config, ctx.command.name or "")
    named = {key for key, value in config.items() if not isinstance(value, dict)} | own.keys()
    return _from(ctx, "COMMANDLINE", "ENVIRONMENT") | named


def _from(ctx: typer.Context, *sources: str) -> frozenset[str]:
    """Return the options whose value comes from one of these sources."""
    found = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return frozenset(name for name, source in found.items() if source and source.name in sources)


def layers_of(ctx: typer.Context) -> list[presets.Layer]:
    """Return the presets of a command and its configuration, lowest precedence first."""
    preset = ctx.params.get("preset") or presets.BASE_PRESET
    return [*presets.layers(preset), _read_config(ctx)] if "preset" in ctx.params else []
