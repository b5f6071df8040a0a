"""The options of sampling, for whatever generates: engines and training rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rzero_cli.fields import option


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SamplingOptions:
    """How completions are sampled."""

    PANEL: ClassVar = "Drawing completions"
    temperature: float = option("0 is greedy.", min=0.0)
    top_p: float = option("Nucleus; 1 is off.", min=0.0, max=1.0)
    top_k: int = option("Most likely tokens; 0 is off.", min=0)
    max_tokens: int = option("Longest completion.", min=1)
