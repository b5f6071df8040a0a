"""A real training on recorded completions; run by `training/test_ranks.py`, with torchrun or alone.

TRL seeds its ranks differently, so they sample different completions. Here the first run, with a
single process, records its completions, and later runs get them by their row in the whole batch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from option_groups import group  # next to this script, which is run by its path

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import make_plan
from rzero_cli.method.prompts import CHALLENGER, SOLVER, prompt_for
from rzero_cli.system.processes import rank, world_size
from rzero_cli.system.stopwatch import Stopwatch
from rzero_cli.training import grpo
from rzero_cli.training.challenger import challenger_reward
from rzero_cli.training.settings import Grpo, Hardware
from rzero_cli.training.solver import solver_reward_function

OPTIONS: dict[str, Any] = {
    "grpo": group(Grpo, learning_rate=1e-4, weight_decay=1e-2, beta=1e-2, clip_dual=0.0),
    "hardware": group(Hardware),
    "sampling": group(SamplingOptions, temperature=1.0, top_p=1.0, top_k=0),
}


def replay(draw: Any, kept: Path) -> None:
    """Replay the completions in the file `kept`; sample and record them there if it is missing."""
    steps = json.loads(kept.read_text()) if kept.exists() else []
    recording = not steps

    def generate(self: Any, prompt_ids: list[list[int]], *rest: Any, **more: Any) -> Any:
        if recording:
            steps.append(draw(self, prompt_ids, *rest, **more)[0])
            kept.write_text(json.dumps(steps))
        # With one update per step, the number of updates is that of the step.
        first = rank() * len(prompt_ids)
        return steps[self.state.global_step][first : first + len(prompt_ids)], None

    grpo._Trainer._generate_single_turn = generate


class Scripted:
    """A Solver whose answers to a question depend only on its digits, the same on every rank."""

    spent = Stopwatch()

    def label(self, questions: Sequence[str], *, seed: int) -> Iterator[Any]:
        for question in questions:
            p_hat = sum(map(int, filter(str.isdigit, question))) % 11 / 10
            yield SimpleNamespace(vote=SimpleNamespace(p_hat=p_hat))


def main(model: str, folder: str, kept: str) -> None:
    plan = make_plan(
        steps=3, prompts=8, batch=8, group=4, max_tokens=24, per_device=8, processes=world_size()
    )
    Path(folder).mkdir(exist_ok=True)
    with Equivalence() as equivalence:
        asked = [{"prompt": prompt_for(CHALLENGER)}]
        labelled = [
            {"prompt": prompt_for(SOLVER, f"reverse the digits of {n}"), "answer": str(n)[::-1]}
            for n in range(400, 440)
        ]
        scripted: Any = Scripted()
        rewards = {
            "challenger": (asked, challenger_reward(scripted, bleu="13a")),
            "solver": (labelled, solver_reward_function(equivalence)),
        }
        draw = grpo._Trainer._generate_single_turn
        for role, (rows, reward) in rewards.items():
            replay(draw, Path(kept) / f"{role}.json")
            grpo.train(
                model,
                grpo.lay_out_rows(rows, plan, 0),
                reward,
                plan=plan,
                seed=0,
                **OPTIONS,
                part=Path(folder) / role,
                batch_size=256,
                on_update=lambda figures: None,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
