"""The tables of scores, checked by hand."""

from __future__ import annotations

from rzero_cli.world import questions as world

from .markdown_rows import rows_by_name
from .metrics import Study
from .score_tables import difficulty, scores, skills
from .synthetic_runs import small_study


def test_scores_are_means_over_the_collected_bases() -> None:
    block = scores(small_study())
    rows = rows_by_name(block)
    assert rows["base model"][:2] == ["**2 of 3**", "50.0 ± 0.0"]
    last = rows["trained Challenger after 2"]
    assert last[1] == "81.2 ± 8.8"  # of 75 and 87.5
    # t of one degree of freedom is 12.706; times the standard error 12.5 / 2.
    assert last[4] == "+31.2 (-48.2 to +110.7)"
    assert rows["random reward after 2"][:2] == ["**0 of 1**", "-"]
    assert "2 of 3 bases; missing: 3" in block
    assert "(random reward after 2): 0 of 1 bases; missing: 1" in block


def test_skills_group_questions_by_what_the_base_knows() -> None:
    found = small_study()
    verdicts = ""
    for phrasing in world.PHRASINGS:
        hard = phrasing in found.runs[1]["world"]["hard"]
        verdicts += ("0" if hard else "8") * 30
    found.runs[1]["models"]["base"]["exam"]["verdicts"]["mean_at_k"] = verdicts
    rows = rows_by_name(skills(Study(found.plan, {1: found.runs[1]})))
    assert [rows[kind][0] for kind in ("mastered", "medium", "hard")] == ["100.0", "100.0", "0.0"]
    assert rows["3 digits"][0] == "41.7"  # 10 of 24 phrasings are not hard


def test_difficulty_is_a_mean_over_bases() -> None:
    block = difficulty(small_study())
    assert rows_by_name(block)["of iteration 1"][:2] == ["55.0 ± 7.1", "90.0 ± 0.0"]
    assert "2 of 3 bases; missing: 3" in block
