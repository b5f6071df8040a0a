"""`rzero challenge`: the Challenger learns to ask what the frozen Solver is unsure of.

Paper, section 3.2. The reward is `core.rewards.challenger_rewards`, the very code of `rzero score`,
over the whole generation batch: with several processes the questions are gathered first, so that
the repetition penalty sees them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from accelerate.utils import gather_object

from rzero_cli.core.questions import parse_question
from rzero_cli.core.rewards import ChallengerReward, challenger_rewards
from rzero_cli.engines import derived_seed
from rzero_cli.stages.label import Solver

__all__ = ["challenger_reward", "text_of"]


def challenger_reward(
    solver: Solver, *, require_boxed: bool = False, seed: int = 0, **rule: Any
) -> Callable[..., list[float]]:
    """The reward function of the Challenger, for TRL.

    Args:
        solver: the frozen Solver, which answers each question m times.
        require_boxed: a question without a boxed answer is malformed (`official`).
        seed: of the Solver's answers, with the update and the process.
        rule: as for `core.rewards.challenger_rewards`.

    Returns:
        A function of this process's completions that returns their rewards.
    """

    def reward(
        completions: Sequence[Any],
        trainer_state: Any,
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> list[float]:
        from accelerate import PartialState

        process = PartialState().process_index
        mine = [parse_question(text_of(c), require_boxed=require_boxed)[0] for c in completions]
        place = derived_seed(seed, trainer_state.global_step, process)
        p_hats = _ask(solver, mine, place)
        everyone = gather_object(list(zip(mine, p_hats, strict=True)))
        rewards = challenger_rewards([q for q, _ in everyone], [p for _, p in everyone], **rule)
        for name, value in _figures(rewards, [p for _, p in everyone]).items():
            log_metric(name, value)
        first = process * len(mine)
        return [r.reward for r in rewards[first : first + len(mine)]]

    reward.__name__ = "challenger"  # the name TRL logs it under
    return reward


def _ask(solver: Solver, questions: Sequence[str | None], seed: int) -> list[float | None]:
    """p_hat of each question; None for a malformed one."""
    asked = [question for question in questions if question is not None]
    labelled = solver.label(asked, seed=seed)
    return [None if q is None else next(labelled).vote.p_hat for q in questions]


def _figures(
    rewards: Sequence[ChallengerReward], p_hats: Sequence[float | None]
) -> dict[str, float]:
    """What a step is watched by: validity, difficulty and repetition."""
    valid = [r for r in rewards if r.cluster is not None]
    known = [p for p in p_hats if p is not None]
    sizes = Counter(r.cluster for r in valid)
    some = max(1, len(valid))
    return {
        "valid": len(valid) / len(rewards),
        "p_hat": sum(known) / some,
        "r_unc": sum(r.r_unc or 0.0 for r in valid) / some,
        "r_rep": sum(r.r_rep or 0.0 for r in valid) / some,
        "clusters": float(len(sizes)),
        "largest_cluster": max(sizes.values(), default=0) / len(rewards),
    }


def text_of(completion: Any) -> str:
    """The text of a completion as TRL hands it out: messages for chat prompts, else a string."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
