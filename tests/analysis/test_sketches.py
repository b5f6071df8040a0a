"""Counts and samples in bounded memory: exact for small inputs, estimated for large ones."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.analysis import sketches
from rzero_cli.analysis.sketches import EXACT, Distinct, Frequent, Sample, digest, same_text


def distinct(start: int, stop: int) -> Distinct:
    counted = Distinct()
    for number in range(start, stop):
        counted.add(digest(f"question {number}"))
    return counted


def test_distinct_count_is_exact_up_to_a_size_and_estimated_beyond() -> None:
    counted = distinct(0, EXACT)
    for number in range(1000):
        counted.add(digest(f"question {number}"))
    assert (counted.count, counted.error) == (EXACT, 0.0)
    for number in range(EXACT, 2 * EXACT):
        counted.add(digest(f"question {number}"))
    assert counted.error == pytest.approx(0.00276, abs=1e-5)
    assert abs(counted.count / (2 * EXACT) - 1) < 4 * counted.error
    assert len(counted.kept) <= EXACT
    assert counted.count != 2 * EXACT  # the test would not see an exact count


def test_distinct_count_error_is_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "EXACT", 128)
    monkeypatch.setattr(sketches, "_KEPT", 64)
    off = [distinct(2000 * k, 2000 * k + 2000).count / 2000 - 1 for k in range(200)]
    stated = 1 / math.sqrt(63)
    found = math.sqrt(sum(one**2 for one in off) / len(off))
    # It is that of the fewest that may be kept; between two halvings there are more.
    assert 0.5 * stated < found < 1.1 * stated
    assert abs(sum(off) / len(off)) < 3 * found / math.sqrt(len(off))


@pytest.mark.parametrize(("exact", "tolerance"), [(2**18, 0.0), (256, 0.3)])
def test_distinct_counts_of_several_files_are_merged(
    monkeypatch: pytest.MonkeyPatch, exact: int, tolerance: float
) -> None:
    monkeypatch.setattr(sketches, "EXACT", exact)
    monkeypatch.setattr(sketches, "_KEPT", exact // 2)
    together = distinct(0, 3000)
    together.update(distinct(2000, 5000))
    assert together.count == pytest.approx(5000, rel=tolerance)
    assert len(together.kept) <= exact
    assert all(one < together.limit for one in together.kept)


@given(st.lists(st.integers(0, 40), max_size=400), st.integers(1, 8))
def test_frequent_counts_are_low_by_no_more_than_stated(items: list[int], size: int) -> None:
    frequent: Frequent[int] = Frequent(size)
    for item in items:
        frequent.add(item)
        assert len(frequent.counts) <= 2 * size
    assert frequent.short <= len(items) / size
    for item, count in Counter(items).items():
        assert count - frequent.short <= frequent.counts.get(item, 0) <= count
    assert frequent.short or frequent.most(5) == Counter(items).most_common(5)


def test_frequent_item_is_found_among_ever_new_items() -> None:
    frequent: Frequent[int] = Frequent(100)
    for number in range(20_000):
        frequent.add(-1 if number % 20 == 0 else number)
    ((item, count),) = frequent.most(1)
    assert (item, 800 <= count <= 1000) == (-1, True)


def test_sample_is_ordered_repeatable_and_uniform() -> None:
    def sampled(n: int, seed: int) -> list[int]:
        sample: Sample[int] = Sample(20, seed)
        for number in range(n):
            sample.add(number)
        return sample.in_order()

    assert sampled(20, 0) == list(range(20))
    assert sampled(5, 0) == list(range(5))
    assert sampled(100, 1) == sampled(100, 1) == sorted(sampled(100, 1))
    assert sampled(100, 1) != sampled(100, 2)
    taken = Counter(number for seed in range(1000) for number in sampled(100, seed))
    assert len(taken) == 100  # the first and the last among them
    assert sum((taken[k] - 200) ** 2 / 160 for k in range(100)) < 160  # chi squared of about 99


def test_same_text_of_long_questions_is_linear_in_time_and_memory() -> None:
    rng = random.Random(0)
    for _ in range(3):
        text = "".join(rng.choices(["A", "b", "ß", " ", "\n", "\x1c", "\u3000", "c d"], k=70_000))
        assert same_text(text) == " ".join(text.casefold().split())
    assert same_text("a" + " " * 10**6) == "a", "in no time that grows with the square"
    text = "ab c " * 10**6
    tracemalloc.start()
    try:
        assert same_text(text) == text[:-1].casefold()
        assert tracemalloc.get_traced_memory()[1] < 5 * len(text)
    finally:
        tracemalloc.stop()
