"""Training passes of rzero and of plain TRL on the same completions, in turns: their number per
second of CPU time, and the weights after 8 updates.

A small random Llama with 8,192 positions and the preset `paper`, but for the plan: 2 steps of 32
rollouts and 4 updates, in passes of 2. The lengths are log-normal with a standard deviation of 1 of
their logarithm, cut at 4,096 tokens.
"""

from __future__ import annotations

import random
from math import log
from pathlib import Path
from statistics import fmean

from helpers.recorded_passes import Case, Training, make_model, train

LIMIT, ROUNDS = 4096, 2
MEDIANS = {500: 308, 1200: 815}
"""The median whose lengths have the given mean after the cut."""


def lengths(middle: float, count: int, rng: random.Random) -> list[int]:
    return [min(LIMIT, max(1, round(rng.lognormvariate(log(middle), 1)))) for _ in range(count)]


def bench_passes(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", hidden=64, heads=1)
    for mean, middle in MEDIANS.items():
        rng = random.Random(mean)
        case = Case(
            completions=[lengths(middle, 32, rng) for _ in range(2)],
            prompts=[rng.randint(50, 200) for _ in range(8)],
            updates_per_step=4,
            per_device=2,
            beta=1e-2,
            clip=0.2,
            learning_rate=1e-6,
            optim="adamw_torch_fused",
        )
        ratios = []
        for number in range(ROUNDS):
            done: dict[str, Training] = {}
            for name in ("trl", "rzero"):
                done[name] = train(name, case, model, tmp_path / f"{name}-{mean}-{number}")
            assert len(done["trl"].passes) == len(done["rzero"].passes)
            ratios.append(done["trl"].seconds / done["rzero"].seconds)
        trl, rzero = done["trl"], done["rzero"]
        columns = [sum(one.columns for one in each.passes) for each in (trl, rzero)]
        apart = max(float((trl.weights[n] - rzero.weights[n]).abs().max()) for n in trl.weights)
        assert apart < 1e-6
        written = [n for step in case.completions for n in step]
        print(
            f"\n{len(written)} completions of {fmean(written):.0f} tokens on average, "
            f"{max(written)} at most: {' and '.join(f'{ratio:.2f}' for ratio in ratios)} times "
            f"plain TRL's passes per second, with {columns[1] / columns[0]:.2f} of its columns; "
            f"weights differ by at most {apart:.1g} after {len(trl.log)} updates"
        )
