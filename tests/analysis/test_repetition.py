"""The guards of `filter` against repeated questions and answers, on any input."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.analysis.repetition import guards
from rzero_cli.answers import canonical_key
from rzero_cli.method.similarity import distance_matrix

words = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=4, max_size=8)
questions = st.builds(" ".join, words) | st.builds(lambda w: "  ".join(w).upper(), words)
records = st.lists(st.tuples(questions, st.sampled_from(["1", "2/2", "3", "x"])), max_size=40)
most = st.none() | st.integers(1, 3)


@given(records, st.lists(questions, max_size=3), st.booleans(), most)
def test_exact_guards_agree_with_counting(
    questions: list[tuple[str, str]], seen: list[str], dedup: bool, per_answer: int | None
) -> None:
    guard = guards(dedup="exact" if dedup else None, seen=seen, max_per_answer=per_answer)
    texts = [text.lower().split() for text in seen] if dedup else []
    answers: list[Any] = []
    for question, answer in questions:
        same = question.lower().split() in texts
        key = canonical_key(answer) or answer
        full = per_answer is not None and answers.count(key) >= per_answer
        expected = "duplicates" if same else "over_max_per_answer" if full else None
        assert guard(question, answer) == expected
        if expected is None:
            answers.append(key)
            texts += [question.lower().split()] if dedup else []


@given(records, st.lists(questions, max_size=3))
def test_near_guard_drops_near_duplicates_only(
    questions: list[tuple[str, str]], seen: list[str]
) -> None:
    guard = guards(dedup="near", seen=seen)
    before = list(seen)
    for question, answer in questions:
        reason = guard(question, answer)
        distances = distance_matrix([*before, question])[-1, :-1]
        if reason == "near_duplicates":
            assert (distances < 0.5).any()
        if reason is None:
            before.append(question)
            # Of so few questions the index misses none that is the same in all but a word.
            assert not (distances < 0.1).any()


@given(records, st.integers(1, 3))
def test_cluster_guard_counts_questions_near_a_leader(
    questions: list[tuple[str, str]], per_cluster: int
) -> None:
    guard, single = guards(max_per_cluster=per_cluster), guards(max_per_cluster=1)
    kept = [guard(question, answer) is None for question, answer in questions]
    leads = [single(question, answer) is None for question, answer in questions]
    assert sum(kept) <= per_cluster * sum(leads)
    leaders: list[str] = []
    for (question, _), in_it, led in zip(questions, kept, leads, strict=True):
        if led:
            assert in_it, "the leader of a cluster is kept, whatever the limit"
            leaders.append(question)
        else:
            assert (distance_matrix([*leaders, question])[-1, :-1] < 0.5).any()
    assert kept == [True] * len(kept) or sum(kept) >= per_cluster
