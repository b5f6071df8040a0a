"""Paired comparison of two evaluations: metrics by hand, intervals, pairing, warnings."""

from __future__ import annotations

import copy
import random
import warnings
from math import sqrt
from statistics import stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evaluations import Json, evaluation, sample, task, verdicts
from rzero_cli.analysis.comparison import SCORES, compare_evaluations
from rzero_cli.errors import DataError


def without_warning(*pair: Json, **how: Any) -> Json:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compare_evaluations(*pair, **how)


# ---------------------------------------------------------------- metrics by hand


def test_comparison_metrics_by_hand() -> None:
    a = evaluation(
        t=task(
            sample("x", True, [True, False]),
            sample("y", False, [False, False]),
            sample("z", False, [True, True]),
            sample("w", True, [True, True]),
        )
    )
    b = evaluation(
        t=task(
            sample("x", True, [True, True]),
            sample("y", True, [True, False]),
            sample("z", True, [False, True]),
            sample("w", False, [True, True]),
        )
    )
    found = without_warning(a, b)
    assert (found["warnings"], found["averages"]) == ([], {})
    compared = found["tasks"]["t"]
    head = {key: compared[key] for key in ("n", "only_a", "only_b", "k")}
    assert head == {"n": 4, "only_a": 0, "only_b": 0, "k": [2, 2]}
    for score, (one, other, test) in {
        "greedy": (0.5, 0.75, {"b": 1, "c": 2, "p": 1.0}),
        "mean_at_k": (5 / 8, 6 / 8, None),
        "maj_at_k": (0.5, 0.5, {"b": 1, "c": 1, "p": 1.0}),
    }.items():
        metrics = compared[score]
        assert metrics["a"] == pytest.approx(one), score
        assert metrics["b"] == pytest.approx(other), score
        assert metrics["difference"] == pytest.approx(other - one), score
        low, high = metrics["ci95"]
        assert -1 <= low < metrics["difference"] < high <= 1, score
        assert metrics["mcnemar"] == test, score


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        # Twice the sum over i <= 6 of C(19, i), 1 + 19 + 171 + 969 + 3876 + 11628 + 27132, / 2^19.
        (6, 13, 2 * 43796 / 524288),
        (0, 5, 2 / 32),
        (9, 1, 2 * (1 + 10) / 1024),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
def test_exact_mcnemar_by_hand(b: int, c: int, p: float) -> None:
    a = evaluation(t=verdicts("1" * b + "0" * c + "1100"))
    other = evaluation(t=verdicts("0" * b + "1" * c + "1100"))
    found = without_warning(a, other)["tasks"]["t"]["greedy"]["mcnemar"]
    assert (found["b"], found["c"]) == (b, c)
    assert found["p"] == pytest.approx(p)


def test_mcnemar_needs_binary_scores() -> None:
    once = evaluation(t=task(*(sample(f"q{i}", None, [i < 3]) for i in range(9))))
    twice = evaluation(t=task(*(sample(f"q{i}", None, [i < 5] * 2) for i in range(9))))
    assert without_warning(once, once)["tasks"]["t"]["mean_at_k"]["mcnemar"]["p"] == 1.0
    assert without_warning(once, twice)["tasks"]["t"]["mean_at_k"]["mcnemar"] is None
    f1 = evaluation(t=task(*(sample(f"q{i}", i / 9) for i in range(9))))
    assert without_warning(f1, f1)["tasks"]["t"]["greedy"]["mcnemar"] is None


def test_interval_is_nearly_normal_for_many_questions() -> None:
    rng = random.Random(0)
    right = ["".join(rng.choice("01") for _ in range(1000)) for _ in range(2)]
    a, b = (evaluation(t=verdicts(text)) for text in right)
    found = without_warning(a, b)["tasks"]["t"]["greedy"]
    differences = [int(y) - int(x) for x, y in zip(*right, strict=True)]
    half = 1.96 * stdev(differences) / sqrt(1000)
    expected = [found["difference"] - half, found["difference"] + half]
    assert found["ci95"] == pytest.approx(expected, abs=0.1 * half)
    # Both models find the same questions hard: the interval is narrower than independent ones.
    similar = right[0][:950] + right[1][950:]
    low, high = without_warning(a, evaluation(t=verdicts(similar)))["tasks"]["t"]["greedy"]["ci95"]
    assert high - low < half


def test_interval_covers_the_true_difference_in_95_percent() -> None:
    """Only B is right on 20 % of all questions, only A on 10 %: the true difference is 0.1."""
    rng, covered, times, n = random.Random(1), 0, 150, 100
    for _ in range(times):
        pairs = rng.choices(["01", "10", "11", "00"], [0.2, 0.1, 0.4, 0.3], k=n)
        a, b = (evaluation(t=verdicts("".join(side))) for side in zip(*pairs, strict=True))
        low, high = compare_evaluations(a, b)["tasks"]["t"]["greedy"]["ci95"]
        covered += low <= 0.1 <= high
    assert 0.90 <= covered / times <= 0.99


# ---------------------------------------------------------------- edge cases


def test_evaluation_compared_with_itself_has_no_difference() -> None:
    one = evaluation({"avg": {"score": 0.5, "of": ["t"]}}, t=verdicts("0110"))
    found = without_warning(one, one)
    assert found["warnings"] == []
    assert found["tasks"]["t"]["greedy"] == {
        "a": 0.5,
        "b": 0.5,
        "difference": 0.0,
        "ci95": [0.0, 0.0],
        "mcnemar": {"b": 0, "c": 0, "p": 1.0},
    }
    assert found["averages"]["avg"]["ci95"] == [0.0, 0.0]


@pytest.mark.parametrize(("n", "interval"), [(1, None), (5, [1.0, 1.0])])
def test_interval_of_one_question_and_of_no_variance(n: int, interval: list[float] | None) -> None:
    averages = {"avg": {"score": 0.5, "of": ["t"]}}
    a, b = (evaluation(averages, t=verdicts(c * n)) for c in "01")
    found = without_warning(a, b)
    assert found["tasks"]["t"]["greedy"]["ci95"] == interval
    assert found["averages"]["avg"]["ci95"] == interval
    assert found["averages"]["avg"]["difference"] == 1.0


def test_score_that_one_evaluation_lacks_is_not_compared() -> None:
    greedy = evaluation(t=task(sample("x", True), sample("y", False)))
    both = evaluation(t=task(sample("x", True, [True] * 3), sample("y", False, [False] * 3)))
    for found in (compare_evaluations(greedy, both), compare_evaluations(both, greedy)):
        assert found["tasks"]["t"]["greedy"] is not None
        assert found["tasks"]["t"]["mean_at_k"] is found["tasks"]["t"]["maj_at_k"] is None
        assert len(found["warnings"]) == 1
    sampled = evaluation(t=task(sample("x", None, [True]), sample("y", None, [False])))
    assert compare_evaluations(sampled, sampled)["tasks"]["t"]["greedy"] is None


# ---------------------------------------------------------------- pairing


def test_questions_are_paired_by_id_and_text() -> None:
    a = task(sample("x", True), sample("y", True), sample("z", True))
    b = task(
        sample("z", False), sample("x", True), sample("y", False, question="another"), k=a["k"]
    )
    found = compare_evaluations(evaluation(t=a), evaluation(t=b))
    compared = found["tasks"]["t"]
    assert (compared["n"], compared["only_a"], compared["only_b"]) == (2, 1, 1)
    assert (compared["greedy"]["a"], compared["greedy"]["b"]) == (1.0, 0.5)
    assert found["warnings"] == [
        "t: questions in both: 2; left out: 1 only in the first, 1 only in the second"
    ]
    # lm-eval's own tasks have no question texts, only ids.
    for one in [*a["samples"], *b["samples"]]:
        del one["question"]
    found = compare_evaluations(evaluation(t=a), evaluation(t=b))
    assert (found["tasks"]["t"]["n"], found["warnings"]) == (3, [])


def test_repeated_questions_are_paired_by_occurrence() -> None:
    a = evaluation(t=task(*(sample("x", c == "1") for c in "110"), sample("y", True)))
    b = evaluation(t=task(sample("y", True), *(sample("x", c == "1") for c in "01")))
    found = compare_evaluations(a, b)["tasks"]["t"]
    assert (found["n"], found["only_a"], found["only_b"]) == (3, 1, 0)
    # (1, 0), (1, 1) and y; the third x is only in the first.
    assert found["greedy"]["mcnemar"] == {"b": 1, "c": 0, "p": 1.0}


def test_ids_of_different_types_stay_distinct() -> None:
    ids: list[Any] = [1, "1", True, None, [1], {"a": 1}, 1.5]
    rows = [sample("q", i % 2 == 0, id=name) for i, name in enumerate(ids)]
    both = evaluation(t=task(*rows)), evaluation(t=task(*rows[1:], rows[0]))
    found = compare_evaluations(*both)["tasks"]["t"]
    assert found["n"] == len(ids)
    assert found["greedy"]["mcnemar"] == {"b": 0, "c": 0, "p": 1.0}


QUESTIONS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.lists(st.booleans(), min_size=6, max_size=6)),
    min_size=2,
    max_size=12,
)


def two(rows: list[tuple[bool, bool, list[bool]]]) -> tuple[Json, Json]:
    a = task(*(sample(f"q{i}", one, row[:3]) for i, (one, _, row) in enumerate(rows)))
    b = task(*(sample(f"q{i}", other, row[3:]) for i, (_, other, row) in enumerate(rows)))
    averages = {"avg": {"score": 0.0, "of": ["t", "u"]}}
    return evaluation(averages, t=a, u=b), evaluation(averages, t=b, u=a)


@settings(max_examples=25)
@given(QUESTIONS)
def test_swapping_evaluations_flips_every_sign(rows: list[tuple[bool, bool, list[bool]]]) -> None:
    a, b = two(rows)
    there, back = without_warning(a, b, seed=3), without_warning(b, a, seed=3)
    scored = [(there["averages"]["avg"], back["averages"]["avg"])]
    for name in ("t", "u"):
        scored += [(there["tasks"][name][s], back["tasks"][name][s]) for s in SCORES]
    for one, other in scored:
        assert (one["a"], one["b"]) == (other["b"], other["a"])
        assert one["difference"] == pytest.approx(-other["difference"])
        low, high = one["ci95"]
        assert other["ci95"] == pytest.approx([-high, -low])
        if one.get("mcnemar"):
            assert one["mcnemar"]["p"] == other["mcnemar"]["p"]
            assert one["mcnemar"]["b"] == other["mcnemar"]["c"]


@settings(max_examples=25)
@given(QUESTIONS, st.randoms(use_true_random=False))
def test_comparison_ignores_the_order_of_samples(
    rows: list[tuple[bool, bool, list[bool]]], order: random.Random
) -> None:
    a, b = two(rows)
    expected = without_warning(a, b, seed=1)
    for one in (a, b):
        for each in one["tasks"].values():
            order.shuffle(each["samples"])
    assert without_warning(a, b, seed=1) == expected


def test_interval_depends_only_on_the_seed() -> None:
    rng = random.Random(0)
    a, b = (
        evaluation(t=task(*(sample(f"q{i}", rng.random()) for i in range(100)))) for _ in range(2)
    )
    first, again, other = (
        compare_evaluations(a, b, seed=seed)["tasks"]["t"]["greedy"]["ci95"] for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other
    assert first == pytest.approx(other, abs=0.01)


# ---------------------------------------------------------------- averages


def test_averages_weigh_tasks_equally_and_nest() -> None:
    averages = {
        "math": {"score": 0.0, "of": ["small", "large"]},
        "overall": {"score": 0.0, "of": ["math", "other"]},
    }
    a = evaluation(
        averages, small=verdicts("00"), large=verdicts("0" * 40), other=verdicts("1" * 10)
    )
    b = evaluation(
        averages,
        small=verdicts("11"),
        large=verdicts("1" * 20 + "0" * 20),
        other=verdicts("1" * 5 + "0" * 5),
    )
    found = without_warning(a, b)["averages"]
    assert found["math"]["of"] == ["small", "large"]
    assert [found["math"][key] for key in ("a", "b", "difference")] == [0.0, 0.75, 0.75]
    # Half of `math`, half of `other`.
    assert found["overall"]["a"] == 0.5
    assert found["overall"]["b"] == pytest.approx((0.75 + 0.5) / 2)
    low, high = found["math"]["ci95"]
    # Only `large` varies, with half its weight: sd of its mean is sqrt(1/4 / 40).
    assert (low, high) == pytest.approx(
        (0.75 - 1.96 * sqrt(1 / 160) / 2, 0.75 + 1.96 * sqrt(1 / 160) / 2), abs=0.02
    )


def test_average_uses_the_metric_of_each_task() -> None:
    averages = {"avg": {"score": 0.0, "of": ["t", "u"]}}

    def made(right: int) -> Json:
        answers = [True] * right + [False] * (4 - right)
        sampled = task(*(sample(f"q{i}", False, answers) for i in range(4)), metric="mean_at_k")
        plain = task(*(sample(f"q{i}", True) for i in range(4)), metric="exact_match,strict-match")
        return evaluation(averages, t=sampled, u=plain)

    found = without_warning(made(1), made(3))["averages"]["avg"]
    assert (found["a"], found["b"]) == ((0.25 + 1) / 2, (0.75 + 1) / 2)


def test_average_of_different_tasks_is_left_out_with_a_warning() -> None:
    t, u = verdicts("01"), verdicts("11")
    a = evaluation({"avg": {"score": 0.0, "of": ["t", "u"]}, "mine": {"of": ["t"]}}, t=t, u=u)
    b = evaluation({"avg": {"score": 0.0, "of": ["t"]}}, t=t, u=u)
    found = compare_evaluations(a, b)
    assert found["averages"] == {}
    assert found["warnings"] == ["the average avg is left out: it averages different scores"]
    itself = evaluation({"avg": {"of": ["avg"]}, "x": {"of": ["y"]}, "y": {"of": ["x"]}}, t=t)
    assert compare_evaluations(itself, itself)["averages"] == {}


# ---------------------------------------------------------------- differences


def test_differing_settings_are_reported_once_for_all_tasks() -> None:
    a = evaluation(**{name: verdicts("0110") for name in "tuvwxy"})
    b = copy.deepcopy(a)
    for name in "tuvwxy":
        b["tasks"][name]["protocol"] |= {"temperature": 0.6}
    b["tasks"]["t"]["protocol"] |= {"prompt_sha256": "ef" * 32, "stop": ["\n\n"], "extra": True}
    b["tasks"]["t"] |= {"version": 2.0, "k": 4, "data_sha256": "01" * 32, "metric": "maj_at_k"}
    b["origin"]["versions"] |= {"torch": "2.14.0", "vllm": "0.31.0", "python": "3.12"}
    found = compare_evaluations(a, b)["warnings"]
    assert sorted(found) == [
        "made with other versions: torch 2.13.0 -> 2.14.0, vllm none -> 0.31.0",
        "t, u, v, w and 2 more: temperature 1.0 -> 0.6",
        "t: data_sha256 cdcdcdcdcdcd... -> 010101010101...",
        "t: extra none -> true",
        "t: k 0 -> 4",
        "t: metric greedy -> maj_at_k",
        "t: prompt_sha256 abababababab... -> efefefefefef...",
        't: stop [] -> ["\\n\\n"]',
        "t: version 1.0 -> 2.0",
    ]


def test_tasks_and_questions_in_one_evaluation_only_are_reported() -> None:
    a = evaluation(t=verdicts("01"), u=verdicts("01"), w=verdicts("1"))
    other = task(sample("elsewhere", True))
    b = evaluation(t=verdicts("01"), v=verdicts("01"), w=other)
    found = compare_evaluations(a, b)
    assert list(found["tasks"]) == ["t"]
    assert found["warnings"] == [
        "only in the first, and left out: u",
        "only in the second, and left out: v",
        "w: questions in both: 0; left out: 1 only in the first, 1 only in the second",
    ]
    perplexity = {"samples": [], "metric": "word_perplexity,none", "k": 0}
    both = evaluation(t=verdicts("01"), p=perplexity)
    assert compare_evaluations(both, both)["warnings"] == [
        "p: left out: its score is not a mean over questions"
    ]
    with pytest.raises(DataError, match=r"^no task in common \(t; v\)"):
        compare_evaluations(evaluation(t=verdicts("01")), evaluation(v=verdicts("01")))
    with pytest.raises(DataError, match=r"^no question in common, by id and text, in w"):
        compare_evaluations(evaluation(w=verdicts("1")), evaluation(w=other))
