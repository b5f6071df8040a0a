"""Progress of a training: one line per step, and means for the progress bar."""

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
        """Current values for `progress_display.Look`."""

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add TRL's metrics of an update."""
        self._recent.append(metrics)
        # The first call has the total of the interrupted run; each update adds its rollouts.
        tokens = metrics.get("tokens", self.seen.get("tokens", 0))
        tokens += tokens_written([metrics], self._plan.rollouts_per_step)
        seen = {"done": metrics["update"], "tokens": tokens}
        for key, name in _SHOWN.items():
            # TRL reports metrics of rollouts only with the first update of a step.
            if values := [update[key] for update in self._recent if key in update]:
                seen[name] = sum(values) / len(values)
        self.seen = seen  # replaced as a whole: another thread reads it


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
    "sampling/kl": "vLLM kl",
    "entropy": "entropy",
    LENGTH: "length",
}


def line_of(metrics: Mapping[str, Any], plan: Plan) -> str:
    """Return a line of text with a step's metrics."""
    shown = [f"{name} {metrics[key]:.3g}" for key, name in _SHOWN.items() if key in metrics]
    return f"step {step_of(metrics, plan)}/{plan.steps}: {', '.join(shown)}"


def step_of(metrics: Mapping[str, Any], plan: Plan) -> int:
    """Return the number, from 1, of the step that an update belongs to."""
    return (int(metrics["update"]) - 1) // plan.updates_per_step + 1
