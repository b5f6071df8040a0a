"""Collected runs of the study as `docs/evidence/collect.py` leaves them, made by code."""

from __future__ import annotations

from typing import Any

from rzero_cli.world.questions import draw_base

__all__ = ["collected", "iteration", "solver"]

QUESTIONS, K = 720, 8


def solver(right: int, *, greedy: int = 360, majority: int = 540) -> dict[str, Any]:
    """The base, of whose answers so many of 8 are right to each question; its greedy answers are
    right to the first `greedy` of 720 questions, its majorities to the first `majority`."""
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
    """An iteration that asks 600 questions, of which 6 in 10 are medium, 3 hard, 1 out of form, and
    keeps `kept` hard ones, with so many `true` labels."""
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
