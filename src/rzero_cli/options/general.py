"""The general options of commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rzero_cli.fields import option
from rzero_cli.options import presets
from rzero_cli.options.file_groups import Messages, Quiet
from rzero_cli.options.panels import OUTPUT
from rzero_cli.options.precedence import config_given, preset_given


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Defaults:
    """The sources of default values."""

    PANEL: ClassVar = OUTPUT
    preset: str = option(
        lambda: f"Preset of defaults: {', '.join(presets.preset_names())}; combine with commas.",
        default=None,
        unset=presets.BASE_PRESET,
        envvar="RZERO_PRESET",
        is_eager=True,
        callback=preset_given,
    )
    config: str | None = option(
        f"Read options from this TOML file instead of ./{presets.CONFIG_NAME}.",
        default=None,
        envvar="RZERO_CONFIG",
        is_eager=True,
        callback=config_given,
        metavar="FILE",
        recorded=False,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class General(Defaults, Quiet):
    """The general options of commands that read presets."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Logged(Defaults, Messages):
    """The general options of long stages."""
