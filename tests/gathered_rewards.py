"""Run by torchrun from test_training: each process rewards its half of one generation batch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from accelerate import PartialState

from rzero_cli.core.prompts import SOLVER
from rzero_cli.engines import Sampling
from rzero_cli.stages.label import open_solver
from rzero_cli.training.challenger import challenger_reward

ALIKE = "reverse the digits of {}"
BATCH = [
    [ALIKE.format(123), ALIKE.format(456), ALIKE.format(789), None],
    [ALIKE.format(321), "fill up to nines 4444", "turn around 90", "write out again 5"],
]


def main(model: str, folder: str) -> None:
    rank = PartialState(cpu=True).process_index
    texts = ["nothing" if q is None else f"<question>{q}</question>" for q in BATCH[rank]]
    figures: dict[str, float] = {}
    with open_solver(
        "transformers", model, Sampling(n=4, max_tokens=24), SOLVER, batch_size=64
    ) as solver:
        rewards = challenger_reward(solver)(
            texts, trainer_state=SimpleNamespace(global_step=0), log_metric=figures.__setitem__
        )
    assert len(rewards) == len(texts)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
