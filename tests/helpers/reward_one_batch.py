"""Each rank rewards its part of one batch; run by `training/test_ranks.py`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from accelerate import PartialState

from rzero_cli.engines import Completed, Engine, K, Prompts, Sampling
from rzero_cli.engines.answering import open_solver
from rzero_cli.method.prompts import SOLVER
from rzero_cli.training.challenger import challenger_reward

ALIKE = "reverse the digits of {}"
BATCH = [
    *(None, None, None, ALIKE.format(789)),
    *(ALIKE.format(321), "fill up to nines 4444", "turn around 90", ALIKE.format(4)),
]


class Counting(Engine):
    """A real engine that counts its requests."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.asked = engine, 0

    def complete(self, prompts: Prompts[K], sampling: Sampling, **more: Any) -> Completed[K]:
        prompts = list(prompts)
        self.asked += len(prompts)
        return self.engine.complete(prompts, sampling, **more)


def main(model: str, folder: str) -> None:
    state = PartialState(cpu=True)
    size = len(BATCH) // state.num_processes
    first = state.process_index * size
    texts = [
        "nothing" if q is None else f"<question>{q}</question>" for q in BATCH[first : first + size]
    ]
    figures: dict[str, float] = {}
    # Greedy answers are the same on every rank, and `official` then gives only -r_rep.
    sampling = Sampling(n=4, temperature=0.0, max_tokens=24)
    with open_solver("transformers", model, sampling, SOLVER, batch_size=64) as solver:
        engine = Counting(solver.engine)
        rewards = challenger_reward(replace(solver, engine=engine), rule="official", bleu="13a")(
            texts, trainer_state=SimpleNamespace(global_step=0), log_metric=figures.__setitem__
        )
    told = {"rewards": rewards, "figures": figures, "asked": engine.asked}
    (Path(folder) / f"{state.process_index}-of-{state.num_processes}.json").write_text(
        json.dumps(told)
    )
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
