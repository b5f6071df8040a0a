"""The Solver's rows, labels and rewards."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.method.plan import make_plan
from rzero_cli.training.grpo import lay_out_rows
from rzero_cli.training.solver import shuffle_labels, solver_reward_function

pytestmark = pytest.mark.slow


def test_rows_are_laid_out_evenly() -> None:
    plan = make_plan(steps=3, prompts=8, batch=4, group=2, max_tokens=8)
    rows = [{"answer": str(i)} for i in range(5)]
    laid_out = lay_out_rows(rows, plan, seed=0)
    counts = [sum(row is r for r in laid_out) for row in rows]
    assert len(laid_out) == 24
    assert max(counts) - min(counts) <= 1
    assert laid_out != lay_out_rows(rows, plan, seed=1)
    large = [{"answer": str(i)} for i in range(100)]
    used = lay_out_rows(large, plan, seed=0)
    assert len({row["answer"] for row in used}) == 24


def test_shuffle_labels_permutes_the_labels() -> None:
    rows = [{"prompt": i, "answer": str(i)} for i in range(50)]
    shuffled = shuffle_labels(rows, seed=0)
    assert [row["prompt"] for row in shuffled] == list(range(50))
    assert sorted(row["answer"] for row in shuffled) == sorted(row["answer"] for row in rows)
    assert sum(a == b for a, b in zip(rows, shuffled, strict=True)) < 10


@pytest.mark.parametrize(
    ("kind", "expected"), [("label", [1.0, 0.0, 0.0]), ("format", [1.0, 1.0, 0.0])]
)
def test_solver_reward_kinds(kind: str, expected: list[float]) -> None:
    texts = [r"\boxed{12}", r"\boxed{13}", "12"]
    with Equivalence() as equivalence:
        reward = solver_reward_function(equivalence, kind=kind)
        assert reward(texts, ["12"] * 3, log_metric=lambda name, value: None) == expected


def test_random_reward_depends_only_on_seed_and_update() -> None:
    metrics: dict[str, float] = {}
    with Equivalence() as equivalence:

        def tossed(seed: int, update: int) -> list[float]:
            reward = solver_reward_function(equivalence, kind="random", seed=seed)
            state = SimpleNamespace(global_step=update)
            texts, labels = [r"\boxed{12}"] * 400, ["12"] * 400
            return reward(texts, labels, trainer_state=state, log_metric=metrics.__setitem__)

        first = tossed(0, 1)
        assert set(first) == {0.0, 1.0}
        assert 150 < sum(first) < 250
        assert first == tossed(0, 1)
        assert first != tossed(0, 2)
        assert first != tossed(1, 1)
    assert metrics["agrees_with_label"] == 1, "the logged agreement ignores the random reward"
