"""Reading the plan of the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from .declared_plan import Comparison, Part, read_plan

PLANNED = """\
size = "demo"
[development]
bases = [0]
[main]
chains = ["trained"]
iterations = 3
bases = [1, 2]
difficulty = true
[[comparison]]
name = "a gain"
a = "trained/3"
b = "base"
measure = "greedy"
"""


def test_read_plan_refuses_a_typing_error(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLANNED)
    plan = read_plan(path)
    assert plan.parts == [Part("main", ["trained"], 3, [1, 2], difficulty=True)]
    assert plan.comparisons == [Comparison("a gain", "trained/3", "base", "greedy")]
    path.write_text(PLANNED.replace("greedy", "greed"))
    with pytest.raises(ValueError, match="measure 'greed'"):
        read_plan(path)
    path.write_text(PLANNED.replace("[1, 2]", "[0, 1]"))
    with pytest.raises(ValueError, match=r"main: bases \[0\] are development bases"):
        read_plan(path)
    path.write_text(PLANNED.replace("difficulty", "dificulty"))
    with pytest.raises(TypeError, match="dificulty"):
        read_plan(path)
