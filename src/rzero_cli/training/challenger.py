"""`rzero challenge`: the Challenger learns to generate questions that the Solver is uncertain of.

Paper, section 3.2. The reward is `method.rewards.challenger_rewards`, as in `rzero score`, over the
whole generation batch, so that the repetition penalty covers the questions of all processes. They
are split evenly among the processes' Solvers. A Solver at a server instead answers each question as
soon as it is generated (`early_answers`).
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
from rzero_cli.system.stopwatch import VOTES, WAITING
from rzero_cli.training.early_answers import EarlyAnswers


def challenger_reward(
    solver: Solver,
    *,
    early: EarlyAnswers | None = None,
    require_boxed: bool = False,
    seed: int = 0,
    **rule: Any,
) -> Callable[..., list[float]]:
    """Return the Challenger's reward function for TRL.

    Args:
        solver: the frozen Solver, which answers each question m times.
        early: the answers of a Solver at a server.
        require_boxed: treat a question without a boxed answer as malformed (`official`).
        seed: seeds the Solver's answers, together with the update and the process.
        rule: as for `method.rewards.challenger_rewards`.

    Returns:
        A function from this process's completions to their rewards.
    """

    def reward(
        completions: Sequence[Any],
        trainer_state: Any,
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> list[float]:
        spent = solver.spent
        with spent.during(VOTES):
            mine = [parse_question(text_of(c), require_boxed=require_boxed)[0] for c in completions]
        if early:
            answered = early.p_hats(mine, trainer_state.global_step)
            with spent.during(WAITING):
                questions, p_hats = gather_object(mine), gather_object(answered)
        else:
            with spent.during(WAITING):
                questions = gather_object(mine)
            p_hats = _answer(solver, questions, (seed, trainer_state.global_step))
        with spent.during(VOTES):
            rewards = challenger_rewards(questions, p_hats, **rule)
        for name, value in _metrics(rewards, p_hats).items():
            log_metric(name, value)
        first = PartialState().process_index * len(mine)
        return [r.reward for r in rewards[first : first + len(mine)]]

    reward.__name__ = "challenger"  # TRL logs it under this name
    return reward


def _answer(
    solver: Solver, questions: Sequence[str | None], place: tuple[int, int]
) -> list[float | None]:
    """Return p_hat of each question of all processes; None for a malformed one."""
    processes = PartialState()
    mine = split_evenly(questions, processes.num_processes)[processes.process_index]
    labelled = solver.label(
        [str(questions[i]) for i in mine], seed=derived_seed(*place, processes.process_index)
    )
    answered = [(i, one.vote.p_hat) for i, one in zip(mine, labelled, strict=True)]
    with solver.spent.during(WAITING):
        p_hats = dict(gather_object(answered))
    return [p_hats.get(i) for i in range(len(questions))]


def split_evenly(questions: Sequence[str | None], processes: int) -> list[list[int]]:
    """Return the indices of the questions for each process, sorted; malformed ones are skipped.

    The numbers of questions differ by at most one, and their lengths are similar: the longest are
    dealt out first.
    """
    valid = [(len(question), i) for i, question in enumerate(questions) if question is not None]
    valid.sort(reverse=True)
    return [sorted(i for _, i in valid[first::processes]) for first in range(processes)]


def _metrics(
    rewards: Sequence[ChallengerReward], p_hats: Sequence[float | None]
) -> dict[str, float]:
    """Return a step's metrics: validity, difficulty and repetition."""
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
    """Return the text of one of TRL's completions: messages for chat prompts, else a string."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
