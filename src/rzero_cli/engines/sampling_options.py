"""Sampling options, shared by engines and training rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rzero_cli.fields import option


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SamplingOptions:
    """Sampling of completions."""

    PANEL: ClassVar = "Sampling"
    temperature: float = option("0 is greedy.", min=0.0)
    top_p: float = option("Nucleus; 1 is off.", min=0.0, max=1.0)
    top_k: int = option("Sample from this many most likely tokens; 0 is off.", min=0)
    max_tokens: int = option("Token limit of a completion.", min=1)
