"""`rzero train-solver`: the Solver learns from questions and pseudo-labels (paper, section 3.4).

The reward is 1 for an answer equivalent to the pseudo-label, else 0. Two null controls ignore the
label; gains under them do not come from the labels (Shao et al., 2025, arXiv 2506.10947, report
such gains).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.rules import PAPER
from rzero_cli.engines import derived_seed
from rzero_cli.method.rewards import solver_reward
from rzero_cli.system.processes import rank
from rzero_cli.system.stopwatch import VOTES, Stopwatch
from rzero_cli.training.challenger import text_of


def solver_reward_function(
    equivalence: Equivalence,
    *,
    rule: str = "paper",
    read: Callable[[str], str | None] = PAPER.read,
    kind: str = "label",
    seed: int = 0,
    spent: Stopwatch | None = None,
) -> Callable[..., list[float]]:
    """Return the Solver's reward function for TRL; rows have the pseudo-label as `answer`.

    Args:
        equivalence: decides whether an answer is equivalent to the label.
        rule: "paper" (binary) or "official" (0.9 * accuracy + 0.1 * format).
        read: extracts the answer from a completion.
        kind: "label", or a null control: "format" rewards any readable answer, "random" rewards 0
            or 1 with equal probability.
        seed: seeds "random", together with the update and the process.
        spent: counts the time.

    Returns:
        A function from this process's completions to their rewards.
    """

    spent = spent or Stopwatch()

    def reward(
        completions: Sequence[Any],
        answer: Sequence[str],
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> list[float]:
        texts = [text_of(completion) for completion in completions]
        with spent.during(VOTES):
            extracted = [read(text) for text in texts]
            correct = [
                found is not None and equivalence.equal(found, label)
                for found, label in zip(extracted, answer, strict=True)
            ]
        log_metric("readable", sum(found is not None for found in extracted) / len(texts))
        log_metric("agrees_with_label", sum(correct) / len(texts))
        if kind == "format":
            return [float(found is not None) for found in extracted]
        if kind == "random":
            coin = random.Random(derived_seed(seed, columns["trainer_state"].global_step, rank()))
            return [float(coin.getrandbits(1)) for _ in texts]
        return [solver_reward(c, text, rule=rule) for c, text in zip(correct, texts, strict=True)]

    reward.__name__ = "solver"  # TRL logs it under this name
    return reward


def shuffle_labels(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return the rows with their labels shuffled: a null control without anything to learn."""
    labels = [row["answer"] for row in rows]
    random.Random(seed).shuffle(labels)
    return [row | {"answer": label} for row, label in zip(rows, labels, strict=True)]
