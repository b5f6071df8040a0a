"""Run one command of rzero and append its CPU time by parts to a file, as a line of JSON.

    python tests/helpers/time_stage.py FILE sample --challenger base -n 40

Time counts for the innermost running part, a function of the stage, of TRL or of the trainer. Time
before the first part is start-up; time between or after parts is the rest.
"""

from __future__ import annotations

import atexit
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

STARTED = time.time()
spent: dict[str, float] = defaultdict(float)
parts = ["start-up"]
since = 0.0  # CPU seconds are counted from the start of the process


def look() -> None:
    """Add the time since the last call to the running part."""
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
    """Count the time in `owner.name` for `part`."""
    work: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        with at_work(part):
            return work(*args, **kwargs)

    call.__name__ = name
    setattr(owner, name, call)


def watch_engine(module: Any) -> None:
    timed(module.TransformersEngine, "_sample", "generation")


def watch_votes(module: Any) -> None:
    timed(module.Solver, "read", "rewards and votes")


def watch_training(module: Any) -> None:
    from accelerate.optimizer import AcceleratedOptimizer
    from trl import GRPOTrainer as trainer

    timed(trainer, "_generate_single_turn", "rollouts")
    timed(trainer, "_calculate_rewards", "rewards and votes")
    timed(trainer, "_get_per_token_logps_and_entropies", "log-probabilities")
    timed(trainer, "training_step", "gradients")
    timed(trainer, "_generate_and_score_completions", "rest of TRL")
    timed(AcceleratedOptimizer, "step", "optimizer")
    timed(trainer, "_save_checkpoint", "saving")
    timed(trainer, "save_model", "saving")
    timed(module._Log, "on_save", "saving")


WATCHED: dict[str, Callable[[Any], None]] = {
    "rzero_cli.engines.transformers": watch_engine,
    "rzero_cli.engines.answering": watch_votes,
    "rzero_cli.training.grpo": watch_training,
}


class Watching:
    """Installs the clocks when the stage imports the functions to measure."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in WATCHED else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_watch(module: Any) -> None:
            run(module)
            WATCHED[name](module)

        spec.loader.exec_module = run_and_watch  # type: ignore[method-assign]
        return spec


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
    sys.meta_path.insert(0, Watching)  # type: ignore[arg-type]
    from rzero_cli.cli import main

    main()
