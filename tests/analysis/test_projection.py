"""The projected time of a run, from short runs of its stages."""

from __future__ import annotations

import pytest

from rzero_cli.analysis.projection import (
    Further,
    Generation,
    Projected,
    Run,
    Step,
    Training,
    fit,
    fit_like,
    training,
    whole,
)
from rzero_cli.method.plan import make_plan


def run(texts: int, *, start: float, wait: float, each: float, tokens: int = 20) -> Run:
    """A run whose engine takes all texts at once: it waits for the longest one in any case."""
    work = wait + each * texts
    return Run(texts, tokens * texts, work, start + work)


def test_two_sizes_separate_start_and_wait_from_the_texts() -> None:
    small, large = (run(n, start=40.0, wait=50.0, each=0.02) for n in (256, 512))
    found = fit(small, large, limit=100)
    assert found.each == pytest.approx(0.02)
    assert found.fixed == pytest.approx(90.0)
    assert (found.length, found.tokens_per_second) == pytest.approx((20, 1000))
    # One size would charge each text with a part of the wait: 0.118 s instead of 0.02.
    assert found.seconds(80_000) == pytest.approx(90 + 1600)
    assert found.seconds(80_000, longest=True) == pytest.approx(90 + 5 * 1600)


def test_noise_never_makes_texts_free() -> None:
    small, large = Run(64, 640, 3.0, 13.0), Run(128, 1280, 2.56, 12.56)
    found = fit(small, large, limit=10)
    assert found.each == pytest.approx(0.02)
    assert found.fixed == pytest.approx((13 - 1.28 + 12.56 - 2.56) / 2)
    assert found.seconds(1000) > found.seconds(999) > 0
    no_tokens = fit(Run(1, 0, 1.0, 2.0), Run(2, 0, 2.0, 3.0), limit=10)
    assert no_tokens.seconds(10, longest=True) == pytest.approx(1 + 10 * 10)


def test_a_stage_that_is_run_once_takes_another_stages_time_per_token() -> None:
    label = Generation(fixed=10.0, each=0.02, length=20.0, limit=100)
    found = fit_like(Run(100, 4000, 0.0, 30.0), label, limit=50)
    assert (found.each, found.length, found.limit) == pytest.approx((0.04, 40, 50))
    assert found.fixed == pytest.approx(26.0)


STEP = Step(rollouts=4.0, answers=8.0, rewards=0.5, update=3.0, saving=6.0)


def test_training_charges_each_activity_by_its_count() -> None:
    cost = training(90.0, STEP, 2, size=64, length=100.0, limit=400)
    assert cost.fixed == pytest.approx(90 - 2 * 21.5)
    plan = make_plan(steps=5, prompts=512, batch=16, group=4, max_tokens=400)
    further = Further(rollout=0.01, answers=0.1)
    more = 2048 - 64
    step = (4 + more * 0.01) + (8 + more * 0.1) + 0.5 * 2048 / 64 + 32 * 3
    assert cost.seconds(plan, 1, further) == pytest.approx(cost.fixed + 5 * (step + 6))
    assert cost.seconds(plan, 2, further) == pytest.approx(cost.fixed + 5 * step + 2 * 6)
    stretched = 4 * (4 + more * 0.01) + 3 * (8 + more * 0.1) + 16 + 4 * 32 * 3
    most = cost.seconds(plan, 1, further, longest=True, answer_stretch=3.0)
    assert most == pytest.approx(cost.fixed + 5 * (stretched + 6))
    assert cost.tokens_per_second == pytest.approx({"rollouts": 1600, "updates": 6400 / 3})


def test_training_of_the_measured_size_takes_the_measured_time() -> None:
    plan = make_plan(steps=2, prompts=16, batch=16, group=4, max_tokens=400)
    cost = training(90.0, STEP, 2, size=64, length=100.0, limit=400)
    assert cost.seconds(plan, 1, Further(1.0, 1.0)) == pytest.approx(90.0)
    # Two updates: their time is part of the step's.
    cost = training(90.0, STEP, 2, updates=2, size=64, length=100.0, limit=400)
    plan = make_plan(steps=2, prompts=16, batch=8, group=4, max_tokens=400)
    assert cost.seconds(plan, 1, Further(1.0, 1.0)) == pytest.approx(90.0)
    assert cost.tokens_per_second["updates"] == pytest.approx(6400 / (2 * STEP.update))
    # Starting cannot take less than nothing, whatever the clock's noise.
    assert training(1.0, STEP, 2, size=64, length=1.0, limit=1).fixed == 0
    assert Training(0.0, Step(0, 0, 0, 0, 0), 1, 0.0, 1).tokens_per_second == {
        "rollouts": 0,
        "updates": 0,
    }


def test_run_sums_its_stages() -> None:
    stages = [Projected("label", 3, 10.0, 40.0), Projected("eval", 4, 5.0, 5.0)]
    assert whole(stages) == (50.0, 140.0)
