"""The guards of the loop: when they stop it and which Solver they ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.guarded_runs import MODEL, labelled, probed
from rzero_cli.analysis.collapse import judge


def test_probe_guard_trips_on_a_fall_beyond_noise(tmp_path: Path) -> None:
    """All models are right on nested sets, so only the n of 200 questions that are lost differ.

    The fraction lost is binomial. For n = 4 it is 2 % with a standard error of 0.99 %, and the 95 %
    interval of the fall is 0.5 % to 4 %, which excludes 0. For n = 2 the interval starts at 0.
    """
    found = judge(probed(tmp_path, 80, 120, 116), ["probe"])
    assert (found["tripped"], found["iteration"], found["best"]) == (True, 2, 1)
    probe = found["probe"]
    assert (probe["from"], probe["to"]) == (0.6, 0.58)
    assert probe["difference"] == pytest.approx(-0.02)
    assert probe["ci95"] == pytest.approx([-0.04, -0.005])
    assert not judge(probed(tmp_path, 80, 120, 118), ["probe"])["tripped"]


def test_probe_guard_compares_with_the_best_earlier_model(tmp_path: Path) -> None:
    # Each step down is within its noise, both together are not.
    found = judge(probed(tmp_path, 80, 120, 118, 115), ["probe"])
    assert (found["tripped"], found["iteration"], found["best"]) == (True, 3, 1)
    assert found["ship"] == str(tmp_path / "iter-1" / "solver")
    assert found["probe"]["scores"] == [0.4, 0.6, 0.59, 0.575]


def test_iterations_after_the_first_trip_are_ignored(tmp_path: Path) -> None:
    found = judge(probed(tmp_path, 80, 120, 60, 200), ["probe"])
    assert (found["iteration"], found["best"]) == (2, 1)
    assert judge(tmp_path, ["probe"], 1)["tripped"] is False


def test_least_fall_sets_a_margin(tmp_path: Path) -> None:
    probed(tmp_path, 80, 120, 100)
    assert judge(tmp_path, ["probe"], least_fall=0.05)["tripped"]
    assert not judge(tmp_path, ["probe"], least_fall=0.1)["tripped"]


def test_base_model_is_shipped_when_it_stays_the_best(tmp_path: Path) -> None:
    found = judge(probed(tmp_path, 100, 40), ["probe"])
    assert (found["tripped"], found["best"], found["ship"]) == (True, 0, MODEL)
    found = judge(probed(tmp_path, 100, 100), ["probe"])
    assert found["verdict"] == (
        "no guard tripped after iteration 1: best on the probe is the base model with 50.0 %; "
        f"ship {MODEL}"
    )


def apart(count: int) -> list[tuple[str, str | None]]:
    """Return questions that share no words, each with a different answer."""
    return [(f"a{n} b{n} c{n} d{n}", f"x{n}") for n in range(count)]


APART = apart(64)
KINDS = ["distinct_questions", "without_near_duplicate", "distinct_answers"]


@pytest.mark.parametrize(
    ("later", "fell"),
    [
        (APART, []),
        (APART[:32] * 2, []),  # half is not below half
        ([(question, str(n % 3)) for n, (question, _) in enumerate(APART)], KINDS[2:]),
        # two spellings of one number are one answer, two white spaces two questions
        (
            [(q, a) for (q, _), a in zip(APART, ["2", "4/2", "2.0", "3"] * 16, strict=True)],
            KINDS[2:],
        ),
        ([(f"one two three four five {n}", a) for n, (_, a) in enumerate(APART)], KINDS[1:2]),
        (APART[:20] * 3, KINDS),
        (APART[:10] * 4, []),  # with fewer than 50 questions the guard is silent ...
        ([], ["labelled"]),  # ... unless none is left
        ([(question, None) for question, _ in APART], ["labelled"]),
        # a larger file may have more duplicates, but not fewer distinct questions
        (apart(64) * 5, []),
        (apart(31) * 5, KINDS),
        # a smaller file has fewer distinct questions
        (apart(50), []),
    ],
)
def test_diversity_guard_compares_with_the_first_iteration(
    tmp_path: Path, later: list[tuple[str, str | None]], fell: list[str]
) -> None:
    found = judge(labelled(tmp_path, APART, later), ["diversity"])
    assert found["diversity"]["first"] == dict.fromkeys(KINDS, (64, 64))
    assert list(found["diversity"]["fell"]) == fell
    assert found["tripped"] == bool(fell)
    shipped = 1 if fell else 2
    assert found["ship"] == str(tmp_path / f"iter-{shipped}" / "solver")
    assert found["best"] is None


def test_without_labelled_questions_the_previous_solver_is_shipped(tmp_path: Path) -> None:
    found = judge(labelled(tmp_path, APART, []), ["diversity"])
    assert found["verdict"] == (
        f"stopped after iteration 2: no labelled question is left; ship {tmp_path}/iter-1/solver"
    )
    found = judge(labelled(tmp_path, [], APART), ["diversity"])
    assert found["verdict"] == (
        "stopped after iteration 1: no labelled question is left; ship the base model"
    )
    probed(tmp_path, 80, 120, 120)
    assert judge(tmp_path, ["probe", "diversity"])["ship"] == str(tmp_path / "iter-1/solver")


def test_probe_decides_what_to_ship_when_both_guards_run(tmp_path: Path) -> None:
    probed(tmp_path, 80, 120, 119)
    labelled(tmp_path, APART, APART[:24] * 3)
    found = judge(tmp_path, ["probe", "diversity"])
    assert not found["probe"]["tripped"] and found["diversity"]["tripped"]
    assert found["verdict"].startswith(
        "stopped after iteration 2: distinct questions fell from 64 of 64 (100%) to 24 of 72 "
    )
    assert found["ship"] == str(tmp_path / "iter-1" / "solver")
    fewer = judge(tmp_path, ["probe", "diversity"], least_share=0.3)
    assert not fewer["tripped"]
