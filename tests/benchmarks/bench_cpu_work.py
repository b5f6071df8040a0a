"""All work on the CPU in a training step at the paper's sizes, as a share of the step's time.

The text is GSM8K's: its questions, and its solutions put together to about 1,000 tokens per answer.
Half of a question's answers agree. For a fifth of the questions they are spellings from the
recorded pairs of answers, which may need the worker. The step's time is the arithmetic of
`docs/costs.py` for 8 GPUs of 80 GB, where it is shortest. There each process votes on an eighth of
the answers, and clusters all questions.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from docs import costs
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER
from rzero_cli.method.question import parse_question
from rzero_cli.method.rewards import challenger_rewards
from rzero_cli.method.votes import vote
from rzero_cli.training.solver import solver_reward_function

DATA = Path(__file__).parents[3] / "shared" / "data"
MODEL, GPUS = "qwen3-4b", 8
CHARACTERS = 4000  # of an answer


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is missing")
def bench_cpu_work_of_a_step() -> None:
    rng = random.Random(0)
    solved = rows("benchmarks/gsm8k_test.jsonl")
    hard = [row for name in ("answer_pairs", "answer_pairs_2") for row in rows(f"{name}.jsonl")]

    def answer(text: str) -> str:
        worked = ""
        while len(worked) < CHARACTERS:
            worked += rng.choice(solved)["answer"] + "\n"
        return rf"{worked} \boxed{{{text}}}"

    def answers(number: int, m: int) -> list[str]:
        if number % 5 == 0:
            some = rng.sample(hard, 3)
            spellings = [text for row in some for text in (row["a"], row["b"])]
        else:
            final = [rng.choice(solved)["answer"].split()[-1] for _ in range(5)]
            spellings = [final[0]] * 5 + final
        return [answer(rng.choice(spellings)) for _ in range(m)]

    seconds, (challenge, solver) = costs.iteration(MODEL, GPUS, costs.H100)
    of_step = {
        stage: sum(value for name, value in seconds.items() if f"`{stage}`" in name) / plan.steps
        for stage, plan in (("challenge", challenge.plan), ("train-solver", solver.plan))
    }
    m, rollouts = costs.values("label")["m"], challenge.plan.rollouts_per_step
    texts = [f"<question>{rng.choice(solved)['question']}</question>" for _ in range(rollouts)]
    sampled = [answers(number, m) for number in range(rollouts // GPUS)]
    with Equivalence() as equivalence:
        equivalence.equal(r"\log_2 8", "3")  # starts the worker
        start = time.perf_counter()
        questions = [parse_question(text)[0] for text in texts]
        parsed = time.perf_counter()
        for completions in sampled:
            vote([PAPER.read(text) for text in completions], equivalence)
        voted = time.perf_counter()
        challenger_rewards(questions, [0.5] * rollouts)
        rewarded = time.perf_counter()
        parts = {"parsing": parsed - start, "votes": voted - parsed, "rewards": rewarded - voted}
        _print("challenge", parts, of_step["challenge"])

        graded = solver.plan.rollouts_per_step // GPUS
        completions = [text for n in range(graded // m + 1) for text in answers(n, m)][:graded]
        labels = [rng.choice(solved)["answer"].split()[-1] for _ in completions]
        reward = solver_reward_function(equivalence)
        start = time.perf_counter()
        reward(completions, labels, log_metric=lambda name, value: None)
        _print("train-solver", {"grading": time.perf_counter() - start}, of_step["train-solver"])


def _print(stage: str, parts: dict[str, float], step: float) -> None:
    total = sum(parts.values())
    each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    print(
        f"\n{stage}: {total:.2f} s on one core ({each}); a step on {GPUS} x 80 GB takes {step:.0f} "
        f"s by the arithmetic: {total / step:.2%}"
    )
