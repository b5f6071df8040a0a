"""rzero: self-evolving language models as Unix-style stages (R-Zero, arXiv 2508.05004).

The functions behind the commands, for use in your own scripts. Each is imported on first access, so
functions that do not need torch stay light:

    from rzero_cli import Equivalence, challenger_rewards, vote

`docs/api.md` shows them in a TRL script.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rzero_cli.analysis.comparison import compare_evaluations
    from rzero_cli.analysis.intervals import mean_interval
    from rzero_cli.analysis.near_duplicates import near_duplicates
    from rzero_cli.answers import (
        Conventions,
        canonical_key,
        extract_answer,
        extract_boxed,
    )
    from rzero_cli.answers.equivalence import Equivalence
    from rzero_cli.answers.rules import Rules
    from rzero_cli.data.jsonl import read_lines
    from rzero_cli.engines import Completion, Engine, Sampling, open_engine
    from rzero_cli.engines.answering import Solver, open_solver
    from rzero_cli.engines.asking import sample_questions
    from rzero_cli.evaluation.passes import evaluate_data
    from rzero_cli.method.filtering import band, keep
    from rzero_cli.method.plan import Plan, make_plan
    from rzero_cli.method.prompts import CHALLENGER, SOLVER, prompt_for
    from rzero_cli.method.question import parse_question
    from rzero_cli.method.rewards import (
        challenger_rewards,
        cluster_questions,
        r_unc,
        solver_reward,
    )
    from rzero_cli.method.similarity import distance_matrix
    from rzero_cli.method.votes import Vote, vote
    from rzero_cli.training.challenger import challenger_reward
    from rzero_cli.training.solver import solver_reward_function

_PLACES = {
    "answers": ("Conventions", "canonical_key", "extract_answer", "extract_boxed"),
    "method.similarity": ("distance_matrix",),
    "analysis.comparison": ("compare_evaluations",),
    "answers.equivalence": ("Equivalence",),
    "analysis.intervals": ("mean_interval",),
    "method.filtering": ("band", "keep"),
    "analysis.near_duplicates": ("near_duplicates",),
    "method.plan": ("Plan", "make_plan"),
    "method.prompts": ("CHALLENGER", "SOLVER", "prompt_for"),
    "method.question": ("parse_question",),
    "answers.rules": ("Rules",),
    "method.rewards": ("challenger_rewards", "cluster_questions", "r_unc", "solver_reward"),
    "data.jsonl": ("read_lines",),
    "method.votes": ("Vote", "vote"),
    "engines": ("Completion", "Engine", "Sampling", "open_engine"),
    "evaluation.passes": ("evaluate_data",),
    "engines.answering": ("Solver", "open_solver"),
    "engines.asking": ("sample_questions",),
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
    if name == "__version__":
        return _version()
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"rzero_cli.{_PLACE_OF[name]}"), name)


def _version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rzero-cli")
    except PackageNotFoundError:  # a source tree on PYTHONPATH
        return "unknown (not installed)"


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
