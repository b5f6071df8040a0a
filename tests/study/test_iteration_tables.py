"""The tables of the loop by iteration, checked by hand."""

from __future__ import annotations

from .iteration_tables import iterations, long_run
from .markdown_rows import rows, rows_by_name
from .synthetic_runs import small_study


def test_iterations_shows_generated_and_kept_questions() -> None:
    trained, base = (row for row in rows(iterations(small_study())) if row[1] == "2")
    assert trained[2:7] == ["**2 of 3**", "0.55", "400", "75.0", "25.0 ± 0.0"]
    assert trained[-4:] == ["0.0", "60.0", "30.0", "10.0"]
    assert base[4:7] == ["0", "75.0", "-"], "no label if no question is kept"


def test_long_run_shows_iterations_and_verdicts_of_guards() -> None:
    block = long_run(small_study(), "ten")
    by_iteration = rows_by_name(block)
    assert list(by_iteration) == ["0", "1", "2", "3"]
    assert by_iteration["3"][:5] == ["1", "87.5", "50.0", "60.0", "0.0"]
    assert "| 1 | probe | after 3 | 2 | 75.0 | 90.0 | 80.0 |" in block
    assert "| 1 | diversity | never | 2 |" in block
    assert "Not complete" not in block
    fell = long_run(small_study(), "collapse")
    assert rows_by_name(fell)["1"][:4] == ["1", "25.0", "50.0", "20.0"]
    assert "| 1 | probe | after 1 | 0 |" in fell
