"""What a person sees of a training's steps: one line each, and means for the progress bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from rzero_cli.method.plan import LENGTH, Plan, tokens_written


class Watched:
    """The metrics of the last step, and the tokens so far.

    Args:
        plan: of the training.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=plan.updates_per_step)
        self.seen: dict[str, float] = {}
        """As `progress_display.Look` gives it."""

    def add(self, figures: Mapping[str, Any]) -> None:
        """Take in TRL's metrics of an update."""
        self._recent.append(figures)
        # Given at the start; of an update, what the rollouts of its step have written.
        tokens = figures.get("tokens", self.seen.get("tokens", 0))
        tokens += tokens_written([figures], self._plan.rollouts_per_step)
        seen = {"done": figures["update"], "tokens": tokens}
        for key, name in _SHOWN.items():
            # TRL gives metrics of rollouts with the first update of a step alone.
            if values := [update[key] for update in self._recent if key in update]:
                seen[name] = sum(values) / len(values)
        self.seen = seen  # at once: another thread reads it


_SHOWN = {
    "reward": "reward",
    "p_hat": "p_hat",
    "r_unc": "r_unc",
    "r_rep": "r_rep",
    "valid": "valid",
    "clusters": "clusters",
    "readable": "readable",
    "frac_reward_zero_std": "zero-variance",
    "kl": "kl",
    "entropy": "entropy",
    LENGTH: "length",
}


def line_of(figures: Mapping[str, Any], plan: Plan) -> str:
    """Return one step as a line of text."""
    shown = [f"{name} {figures[key]:.3g}" for key, name in _SHOWN.items() if key in figures]
    return f"step {step_of(figures, plan)}/{plan.steps}: {', '.join(shown)}"


def step_of(figures: Mapping[str, Any], plan: Plan) -> int:
    """Return the number of the step, from 1, that an update belongs to."""
    return (int(figures["update"]) - 1) // plan.updates_per_step + 1
