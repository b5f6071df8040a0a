"""rzero: self-evolving language models as Unix-style stages (R-Zero, arXiv 2508.05004).

The functions behind the commands, for use in your own scripts. Each is imported when it is first
asked for, so that those without torch stay light:

    from rzero_cli import Equivalence, challenger_rewards, vote

`docs/api.md` has an example in a TRL script of one's own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rzero_cli.core.answers import (
        Conventions,
        canonical_key,
        extract_answer,
        extract_boxed,
    )
    from rzero_cli.core.bleu import distance_matrix
    from rzero_cli.core.compare import compare_evaluations
    from rzero_cli.core.equivalence import Equivalence
    from rzero_cli.core.intervals import mean_interval
    from rzero_cli.core.keep import band, keep
    from rzero_cli.core.near import near_duplicates
    from rzero_cli.core.plan import Plan, make_plan
    from rzero_cli.core.prompts import CHALLENGER, SOLVER, prompt_for
    from rzero_cli.core.questions import parse_question
    from rzero_cli.core.reading import Rules
    from rzero_cli.core.rewards import (
        challenger_rewards,
        cluster_questions,
        r_unc,
        solver_reward,
    )
    from rzero_cli.core.streams import read_lines
    from rzero_cli.core.votes import Vote, vote
    from rzero_cli.engines import Completion, Engine, Sampling, open_engine
    from rzero_cli.evaluation.exams import evaluate_data
    from rzero_cli.stages.label import Solver, open_solver
    from rzero_cli.stages.sample import sample_questions
    from rzero_cli.training.challenger import challenger_reward
    from rzero_cli.training.solver import solver_reward_function

_PLACES = {
    "core.answers": ("Conventions", "canonical_key", "extract_answer", "extract_boxed"),
    "core.bleu": ("distance_matrix",),
    "core.compare": ("compare_evaluations",),
    "core.equivalence": ("Equivalence",),
    "core.intervals": ("mean_interval",),
    "core.keep": ("band", "keep"),
    "core.near": ("near_duplicates",),
    "core.plan": ("Plan", "make_plan"),
    "core.prompts": ("CHALLENGER", "SOLVER", "prompt_for"),
    "core.questions": ("parse_question",),
    "core.reading": ("Rules",),
    "core.rewards": ("challenger_rewards", "cluster_questions", "r_unc", "solver_reward"),
    "core.streams": ("read_lines",),
    "core.votes": ("Vote", "vote"),
    "engines": ("Completion", "Engine", "Sampling", "open_engine"),
    "evaluation.exams": ("evaluate_data",),
    "stages.label": ("Solver", "open_solver"),
    "stages.sample": ("sample_questions",),
    "training.challenger": ("challenger_reward",),
    "training.solver": ("solver_reward_function",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "CHALLENGER",
    "SOLVER",
    "Completion",
    "Conventions",
    "Engine",
    "Equivalence",
    "Plan",
    "Rules",
    "Sampling",
    "Solver",
    "Vote",
    "band",
    "canonical_key",
    "challenger_reward",
    "challenger_rewards",
    "cluster_questions",
    "compare_evaluations",
    "distance_matrix",
    "evaluate_data",
    "extract_answer",
    "extract_boxed",
    "keep",
    "make_plan",
    "mean_interval",
    "near_duplicates",
    "open_engine",
    "open_solver",
    "parse_question",
    "prompt_for",
    "r_unc",
    "read_lines",
    "sample_questions",
    "solver_reward",
    "solver_reward_function",
    "vote",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"rzero_cli.{_PLACE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
