"""`rzero challenge`: the Challenger learns to ask what the frozen Solver is unsure of.

Paper, section 3.2. The reward is `method.rewards.challenger_rewards`, the very code of `rzero
score`, over the whole generation batch: with several processes the questions are gathered first, so
that the repetition penalty sees them all, and shared out again, so that each Solver answers as
many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from rzero_cli.engines import derived_seed
from rzero_cli.engines.answering import Solver
from rzero_cli.method.question import parse_question
from rzero_cli.method.rewards import ChallengerReward, challenger_rewards


def challenger_reward(
    solver: Solver, *, require_boxed: bool = False, seed: int = 0, **rule: Any
) -> Callable[..., list[float]]:
    """The reward function of the Challenger, for TRL.

    Args:
        solver: the frozen Solver, which answers each question m times.
        require_boxed: a question without a boxed answer is malformed (`official`).
        seed: of the Solver's answers, with the update and the process.
        rule: as for `method.rewards.challenger_rewards`.

    Returns:
        A function of this process's completions that returns their rewards.
    """

    def reward(
        completions: Sequence[Any],
        trainer_state: Any,
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> list[float]:
        mine = [parse_question(text_of(c), require_boxed=require_boxed)[0] for c in completions]
        questions = gather_object(mine)
        p_hats = _ask(solver, questions, (seed, trainer_state.global_step))
        rewards = challenger_rewards(questions, p_hats, **rule)
        for name, value in _figures(rewards, p_hats).items():
            log_metric(name, value)
        first = PartialState().process_index * len(mine)
        return [r.reward for r in rewards[first : first + len(mine)]]

    reward.__name__ = "challenger"  # the name TRL logs it under
    return reward


def _ask(
    solver: Solver, questions: Sequence[str | None], place: tuple[int, int]
) -> list[float | None]:
    """p_hat of each question of all processes; None for a malformed one."""
    processes = PartialState()
    mine = share_out(questions, processes.num_processes)[processes.process_index]
    labelled = solver.label(
        [str(questions[i]) for i in mine], seed=derived_seed(*place, processes.process_index)
    )
    told = [(i, answered.vote.p_hat) for i, answered in zip(mine, labelled, strict=True)]
    p_hats = dict(gather_object(told))
    return [p_hats.get(i) for i in range(len(questions))]


def share_out(questions: Sequence[str | None], processes: int) -> list[list[int]]:
    """The places of the questions that each process has answered, in their order.

    Each gets as many, give or take one, and about as long ones: the longest go round first.
    """
    asked = [(len(question), i) for i, question in enumerate(questions) if question is not None]
    asked.sort(reverse=True)
    return [sorted(i for _, i in asked[first::processes]) for first in range(processes)]


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
