"""Which value wins: flag, environment, rzero.toml, preset, in that order.

`--preset` and `--config` are read before the other options and install what they say as the
command's defaults, by typer's own means for that (`default_map`). This is the one module that asks
typer where a value came from.
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

TO_THE_ENVIRONMENT = "a key belongs into the environment (OPENAI_API_KEY, HF_TOKEN)"


def preset_given(ctx: typer.Context, value: str | None) -> str | None:
    """Take in `--preset`; returns the presets that hold.

    Raises:
        UsageError: one is unknown, or rzero.toml is wrong.
    """
    ctx.params["preset"] = value
    _install_defaults(ctx)
    return value or (str(ctx.default_map["preset"]) if ctx.default_map else None)


def config_given(ctx: typer.Context, value: str | None) -> str | None:
    """Take in `--config`. Raises as `preset_given`."""
    ctx.params["config"] = value
    _install_defaults(ctx)
    return value


def _install_defaults(ctx: typer.Context) -> None:
    """Set the command's defaults from the preset and the configuration, known in either order."""
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


def _as_default(value: Any, option: Any) -> Any:
    """Return a value as it stands where its type is the option's; else as text, to be checked and
    refused as if it had been typed."""
    kinds = {"integer": int, "float": (int, float), "boolean": bool, "text": str}
    kind: Any = kinds.get(option.type.name.removesuffix(" range"), str)

    def checked(item: Any) -> Any:
        fits = isinstance(item, kind) and (kind is bool or not isinstance(item, bool))
        return item if fits or (isinstance(item, bool) and kind is bool) else str(item)

    if getattr(option, "multiple", False):
        return [checked(item) for item in (value if isinstance(value, list) else [value])]
    return checked(value)


def _read_config(ctx: typer.Context) -> presets.Layer:
    """Return the configuration, read once for a call: it may be a pipe."""
    path = ctx.params.get("config")
    read: dict[str | None, presets.Layer] = ctx.meta.setdefault(__name__, {})
    if path not in read:
        there = path is not None or Path(presets.CONFIG_NAME).is_file()
        read[path] = presets.load_config(Path(path or presets.CONFIG_NAME)) if there else {}
    return read[path]


def _check_keys(ctx: typer.Context, config: presets.Layer) -> None:
    """Refuse a slip of the pen: a key or a table that nothing reads. Raises UsageError."""
    root: Any = ctx.find_root().command
    where = ctx.params.get("config") or presets.CONFIG_NAME
    if name := key_named_in(config):
        raise UsageError(f"{where}: {name}: {TO_THE_ENVIRONMENT}")
    mine = {str(option.name) for option in ctx.command.params if option.param_type_name == "option"}
    for key, value in config.items():
        if not isinstance(value, dict):
            if key not in mine | _shared_names():
                raise UsageError(
                    f"{where}: no option {key!r} that commands share; one that "
                    "belongs to a single command goes into its [table]"
                )
        elif "preset" in value:
            raise UsageError(
                f"{where}: [{key}] preset: a preset holds for all commands, at the top"
            )
        elif key not in root.commands:
            raise UsageError(f"{where}: [{key}] is no command")
        elif key == ctx.command.name and (unknown := sorted(set(value) - mine)):
            raise UsageError(f"{where}: [{key}] has no option {unknown[0]!r}")


def _shared_names() -> set[str]:
    """Return the options of the groups that commands share, and whatever a preset gives a value."""
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
    """Return the options whose value has one of these sources."""
    found = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return frozenset(name for name, source in found.items() if source and source.name in sources)


def layers_of(ctx: typer.Context) -> list[presets.Layer]:
    """Return the presets of a command and its configuration, the weaker first."""
    preset = ctx.params.get("preset") or presets.BASE_PRESET
    return [*presets.layers(preset), _read_config(ctx)] if "preset" in ctx.params else []
