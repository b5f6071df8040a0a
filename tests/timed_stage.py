"""Run one command of rzero and append to a file, as a line of JSON, where its CPU time went.

    python tests/timed_stage.py FILE sample --challenger base -n 40

Time belongs to the innermost part that is at work; a part is a function of the stage, of TRL's or
of the trainer's. What comes before the first of them is start-up, what comes between, or after, is
the rest.
"""

from __future__ import annotations

import atexit
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTED = time.time()
spent: dict[str, float] = defaultdict(float)
parts = ["start-up"]
since = 0.0  # CPU seconds are counted from the start of the process


def look() -> None:
    """Book what has gone by to the part at work."""
    global since
    now = time.process_time()
    spent[parts[-1]] += now - since
    since = now


@contextmanager
def at_work(part: str) -> Iterator[None]:
    look()
    parts[0] = "rest"
    parts.append(part)
    try:
        yield
    finally:
        look()
        parts.pop()


def timed(owner: Any, name: str, part: str) -> None:
    """Let what is done in `owner.name` belong to `part`."""
    work: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        with at_work(part):
            return work(*args, **kwargs)

    call.__name__ = name
    setattr(owner, name, call)


def watch(stage: str) -> None:
    """What is imported here the stage would import, too."""
    if stage not in ("challenge", "sample", "label", "train-solver"):
        return
    from rzero_cli.engines.transformers import TransformersEngine
    from rzero_cli.stages.label import Solver

    timed(TransformersEngine, "_draw", "generation")
    timed(Solver, "read", "rewards and votes")
    if stage in ("challenge", "train-solver"):
        from accelerate.optimizer import AcceleratedOptimizer
        from trl import GRPOTrainer

        from rzero_cli.training import grpo

        timed(GRPOTrainer, "_generate_single_turn", "rollouts")
        timed(GRPOTrainer, "_calculate_rewards", "rewards and votes")
        timed(GRPOTrainer, "_get_per_token_logps_and_entropies", "log-probabilities")
        timed(GRPOTrainer, "training_step", "gradients")
        timed(GRPOTrainer, "_generate_and_score_completions", "rest of TRL")
        timed(AcceleratedOptimizer, "step", "optimizer")
        timed(GRPOTrainer, "_save_checkpoint", "saving")
        timed(GRPOTrainer, "save_model", "saving")
        timed(grpo._Log, "on_save", "saving")


def write(file: str, stage: str) -> None:
    look()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = {
        "stage": stage,
        "wall": time.time() - STARTED,
        "cpu": time.process_time(),
        "children": children.ru_utime + children.ru_stime,
        "parts": dict(spent),
    }
    with Path(file).open("a") as stream:
        stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    file, stage = sys.argv[1:3]
    del sys.argv[1]
    atexit.register(write, str(Path(file).resolve()), stage)
    watch(stage)
    from rzero_cli.cli import main

    main()
