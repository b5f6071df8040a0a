"""Synthetic collected runs for the tests, as `collect` writes them."""

from __future__ import annotations

from typing import Any

from rzero_cli.world.questions import draw_base

from .declared_plan import Comparison, Part, Plan
from .metrics import Study

__all__ = ["collected", "iteration", "small_study", "solver"]

QUESTIONS, K = 720, 8


def solver(right: int, *, greedy: int = 360, majority: int = 540) -> dict[str, Any]:
    """Return a base model with `right` of 8 answers correct on each question. Its greedy answers
    are correct on the first `greedy` of 720 questions, its majorities on the first `majority`."""
    bits = {
        name: f"{int('1' * n + '0' * (QUESTIONS - n), 2):x}"
        for name, n in (("greedy", greedy), ("maj_at_k", majority))
    }
    return {
        "exam": {
            "mean_at_k": right / K,
            "greedy": greedy / QUESTIONS,
            "maj_at_k": majority / QUESTIONS,
            "verdicts": {"mean_at_k": f"{right}" * QUESTIONS, **bits},
            "tokens": 50_000,
            "seconds": 6.0,
            "start_up": 4.0,
        }
    }


def iteration(right: int, *, kept: int = 400, true: int = 300, **exam: int) -> dict[str, Any]:
    """Return an iteration that generates 600 questions, 60 % medium, 30 % hard, 10 % off-template,
    and keeps `kept` hard ones, `true` of them with true labels."""
    return {
        **solver(right, **exam),
        "asked": {
            "drawn": 600,
            "valid": 1.0,
            "distinct_questions": 590,
            "distinct_answers": 580,
            "top_10_answers": 0.05,
            "self_bleu": 0.12,
            "clusters": 50,
            "largest_cluster": 0.1,
            "near_duplicates": 0.9,
            "p_hat_mean": 0.55,
            "p_hat_histogram": [0, 0, 0, 0, 300, 300, 0, 0, 0, 0],
            "n": 600,
            "digits": 4.5,
            "kinds": [0, 360, 180, 60],
            "labelled": [0, 360, 180, 60],
            "true": [0, 360, 90, 0],
        },
        "kept": {
            "n": kept,
            "digits": 4.5,
            "kinds": [0, 0, kept, 0],
            "labelled": [0, 0, kept, 0],
            "true": [0, 0, true, 0],
        },
        "training": {"solver": {"updates": 60, "reward": [0.5, 0.7], "kl": 0.02}},
        "stages": {"label": {"seconds": 5.0, "tokens": 50_000}},
    }


def collected(base: int, models: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the collected run of a base with these models; `more` are further keys."""
    kinds = draw_base(base).kinds
    return {
        "base": base,
        "seed": base,
        "world": {
            kind: [p for p, of in kinds.items() if of == kind]
            for kind in ("mastered", "medium", "hard")
        },
        "versions": {"rzero-cli": "0.1.0"},
        "cores": 2,
        "finished": "2026-11-28",
        "questions": QUESTIONS,
        "k": K,
        **more,
        "models": models,
    }


def small_study(**more: Any) -> Study:
    """Return a study with two of three planned bases: the Solver gains 2/8 and 3/8, and the
    fraction of true labels falls from 3/4 to 1/4."""
    plan = Plan(
        "demo",
        [0],
        [
            Part("main", ["trained", "base-challenger"], 2, [1, 2, 3], difficulty=True),
            Part("controls", ["random-reward"], 2, [1]),
            Part("ten", ["trained"], 3, [1], guard=True),
            Part("collapse", ["trained"], 1, [1], guard=True, solver_flags="--learning-rate 1"),
        ],
        [
            Comparison("against the base", "trained/2", "base", "mean_at_k", primary=True),
            Comparison("greedy", "trained/2", "base", "greedy"),
            Comparison("labels", "trained/2", "trained/1", "label_accuracy", primary=True),
            Comparison("not there", "random-reward/2", "base", "mean_at_k", primary=True),
        ],
    )
    runs = {}
    for base, gain in ((1, 2), (2, 3)):
        models = {
            "base": solver(4),
            "trained/1": iteration(5),
            "trained/2": iteration(4 + gain, true=100, greedy=540),
            "base-challenger/1": iteration(4, kept=0, true=0),
            "base-challenger/2": iteration(4, kept=0, true=0),
        }
        if base == 1:
            models["trained/3"] = iteration(7, true=0)
            models["collapse/1"] = iteration(2)
            verdict: dict[str, Any] = {"ship": 2, "shipped": 0.75, "best": 0.9, "last": 0.8}
            guards = {n: verdict | {"trips": 3} for n in ("probe", "both")}
            guards |= {"diversity": verdict | {"trips": None}}
            fell = verdict | {"trips": 1, "ship": 0}
            more["guards"] = {
                "trained": {"scores": [0.5, 0.6, 0.7, 0.6], **guards},
                "collapse": {"scores": [0.5, 0.2], "probe": fell},
            }
        row: dict[str, Any] = {
            "questions": "iter-1",
            "n": 200,
            "p_hat_mean": 0.5,
            "label_accuracy": 0.8,
        }
        row["scores"] = {"base": 0.4 + 0.1 * base, "iter-1": 0.9}
        difficulty = {"solvers": ["base", "iter-1"], "rows": [row]}
        runs[base] = collected(base, models, difficulty=difficulty, **more)
        more = {}
    return Study(plan, runs)
