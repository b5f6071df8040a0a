"""The plan of a GRPO stage: updates, rollouts and tokens, derived before it starts."""

from __future__ import annotations

from typing import Any

import pytest

from rzero_cli.errors import UsageError
from rzero_cli.method.plan import Plan, make_plan, tokens_written

SOLVER = {"steps": 15, "prompts": 512, "batch": 128, "group": 5, "max_tokens": 4096}
CHALLENGER = {"steps": 5, "prompts": 512, "batch": 16, "group": 4, "max_tokens": 4096}


def test_plan_of_the_papers_solver() -> None:
    plan = make_plan(**SOLVER)
    assert plan.per_device == 8
    assert plan.gradient_accumulation == 80  # 128 * 5 / 8
    assert plan.rollouts_per_step == 2560  # 512 * 5
    assert plan.updates_per_step == 4  # 512 / 128
    assert plan.updates == 60  # 15 * 4
    assert plan.rollouts == 38_400  # 15 * 2560
    assert plan.tokens == 157_286_400  # 38400 * 4096
    text = "15 steps x 4 updates = 60 updates; 38,400 rollouts (512 prompts x 5 a step), "
    assert plan.describe() == text + "at most 157,286,400 tokens"


def test_tokens_written_counts_each_generation_once() -> None:
    # Two steps of two updates each; only a step's first update logs metrics of its rollouts.
    log = [{"completions/mean_length": n} if n else {"loss": 0.1} for n in (12.5, 0, 10.0, 0)]
    assert tokens_written(log, 8) == 180  # 8 * 12.5 + 8 * 10
    assert tokens_written([], 8) == 0


def test_plan_of_the_papers_challenger() -> None:
    plan = make_plan(**CHALLENGER)
    assert plan.per_device == 8
    assert plan.gradient_accumulation == 8  # 16 * 4 / 8
    assert plan.rollouts_per_step == 2048  # 512 * 4
    assert plan.updates_per_step == 32  # 512 / 16
    assert plan.updates == 160  # 5 * 32


@pytest.mark.parametrize(
    ("changes", "per_device", "accumulation"),
    [
        ({"per_device": 4}, 4, 160),
        ({"per_device": 640}, 640, 1),
        # 640 rollouts over 4 processes are 160 each
        ({"processes": 4}, 8, 20),
        ({"processes": 4, "per_device": 160}, 160, 1),
        # 15 rollouts: of the sizes up to 8, 5 divides
        ({"prompts": 3, "batch": 3, "group": 5}, 5, 3),
        ({"prompts": 1, "batch": 1, "group": 11}, 1, 11),
        ({"prompts": 1, "batch": 1, "group": 2}, 2, 1),
    ],
)
def test_plan_divides_a_batch_among_devices(
    changes: dict[str, int], per_device: int, accumulation: int
) -> None:
    plan = make_plan(**SOLVER | changes)
    assert (plan.per_device, plan.gradient_accumulation) == (per_device, accumulation)
    rollouts = plan.per_device * plan.processes * plan.gradient_accumulation
    assert rollouts == plan.batch * plan.group


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": 500}, "--prompts 500 is not a multiple of --batch 128"),
        ({"prompts": 64}, "--prompts 64 is not a multiple of --batch 128"),
        ({"per_device": 7}, "--per-device 7 does not divide the 640 rollouts"),
        ({"per_device": 1280}, "--per-device 1280 does not divide the 640 rollouts"),
        ({"processes": 3}, "= 640 rollouts an update cannot be split over 3 processes"),
        ({"processes": 4, "per_device": 320}, "--per-device 320 does not divide the 160"),
        ({"group": 1}, "--group must be at least 2"),
    ],
)
def test_plan_refuses_numbers_that_do_not_divide(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(**SOLVER | changes)


def test_plan_record_has_derived_values() -> None:
    record: dict[str, Any] = Plan(**SOLVER, per_device=8, processes=1).as_record()
    assert record == SOLVER | {
        "per_device": 8,
        "processes": 1,
        "updates_per_step": 4,
        "updates": 60,
        "rollouts_per_step": 2560,
        "rollouts": 38_400,
        "gradient_accumulation": 80,
        "tokens": 157_286_400,
    }
