"""The declared comparisons, checked by hand."""

from __future__ import annotations

from .comparisons import compare, comparisons
from .markdown_rows import rows_by_name
from .synthetic_runs import small_study


def test_the_declared_comparisons_by_hand() -> None:
    first, greedy, labels, absent = compare(small_study())
    assert first.differences == {1: 0.25, 2: 0.375}
    assert (first.p, first.adjusted) == (0.5, 1.0), "two signs, one of three primary tests"
    assert greedy.differences == {1: 0.25, 2: 0.25}
    assert (greedy.p, greedy.adjusted) == (0.5, None), "not in the family"
    assert greedy.interval == (0.25, 0.25)
    assert greedy.two_level and greedy.two_level[0] < 0.25 < greedy.two_level[1]
    assert labels.differences == {1: -0.5, 2: -0.5}
    assert (absent.differences, absent.p) == ({}, 1.0)
    rows = rows_by_name(comparisons(small_study()))
    cells = ["**2 of 3**", "+31.2", "-48.2 to +110.7", "2 of 2", "0.5000", "1.0000"]
    assert rows["**against the base (mean@8)**"][:6] == cells
    assert rows["greedy (greedy)"][4:6] == ["0.5000", "-"]
    assert rows["**not there (mean@8)**"] == ["**0 of 1**", *["-"] * 6]
