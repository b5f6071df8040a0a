"""The metrics of each update, in the checkpoint's `log.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rzero_cli.data.whole_files import write_text
from rzero_cli.method.plan import tokens_written
from rzero_cli.training.ranks import wait
from rzero_cli.training.saving import only_state

LOG_NAME = "log.jsonl"


class UpdateLog(TrainerCallback):  # type: ignore[misc]
    """Logs TRL's metrics, one JSON object per update, and passes them to `on_update`."""

    def __init__(
        self, path: Path, on_update: Callable[[dict[str, float]], None], rollouts_per_step: int
    ) -> None:
        self._path, self._on_update = path, on_update
        self._rollouts_per_step = rollouts_per_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop the metrics of updates that a continued run repeats."""
        if state.is_world_process_zero:
            kept = [line for line in read_log(self._path) if line["update"] <= state.global_step]
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            tokens = tokens_written(kept, self._rollouts_per_step)
            self._on_update({"update": state.global_step, "tokens": tokens})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove older states after every process has written its part of the new one."""
        wait()
        if state.is_world_process_zero:
            only_state(self._path.parent)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or "loss" not in logs:
            return
        metrics = {"update": state.global_step} | {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in logs.items()
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(metrics) + "\n")
        self._on_update(metrics)


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the metrics of the updates, except for an incomplete line."""
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last is empty, or incomplete
