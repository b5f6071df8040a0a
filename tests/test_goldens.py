"""The public interface equals the files in `goldens/`, so that it never changes by accident."""

from __future__ import annotations

import shutil
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from conftest import _run
from goldens.write import REWRITE, api, as_text, commands, golden, records
from helpers.forkserver import ForkServer
from small_pipeline import STAGES, Step, prepare, run_steps

SHOWN = 200
"""Lines of a difference that are printed."""


def check(name: str, described: Any) -> None:
    path = golden(name)
    was, now = path.read_text("utf-8"), as_text(described)
    if was != now:
        lines = list(unified_diff(was.splitlines(), now.splitlines(), path.name, "the code", n=6))
        shown = "\n".join(lines[:SHOWN] + ["..."] * (len(lines) > SHOWN))
        pytest.fail(f"{shown}\n\nIf this is intended: {REWRITE}", pytrace=False)


def test_commands_and_their_options_are_the_golden_ones() -> None:
    check("commands", commands())


def test_names_for_scripts_and_their_signatures_are_the_golden_ones() -> None:
    check("api", api())


def test_a_changed_option_is_shown_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = commands()
    option = next(p for p in changed["label"]["parameters"] if p["name"] == "m")
    option["min"] = 2
    with pytest.raises(pytest.fail.Exception, match=r'(?s)"--m".*- +"min": 1,.*\+ +"min": 2,') as e:
        check("commands", changed)
    assert str(e.value).endswith(REWRITE)


@pytest.mark.slow
def test_records_of_every_stage_have_the_golden_keys(
    tmp_path: Path, forks: ForkServer, small_base: Path
) -> None:
    def run(step: Step, folder: Path) -> Any:
        given = {"input": step.given, "environment": dict(step.environment), "timeout": 300}
        return _run(folder, step.arguments, forks=forks, **given)

    work = tmp_path / "work"
    prepare(work)
    shutil.copytree(small_base, work / "base")
    run_steps(STAGES, work, run)
    check("records", records(work))
