"""The page of the study: its blocks and the commands `tables` and `check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.run_folders import write

from . import __main__ as command_line
from . import evidence_page
from .__main__ import main
from .declared_plan import read_plan
from .evidence_page import BLOCKS, EVIDENCE
from .metrics import Study
from .synthetic_runs import collected, iteration, solver


def test_the_page_is_up_to_date_with_the_collected_runs() -> None:
    assert main(["check"]) == 0


def test_check_fails_if_the_page_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evidence").mkdir()
    for name, path in (("PAGE", evidence_page.PAGE), ("README", evidence_page.README)):
        copy = tmp_path / path.name
        copy.write_text(path.read_text("utf-8"), "utf-8")
        monkeypatch.setattr(evidence_page, name, copy)
    monkeypatch.setattr(evidence_page, "EVIDENCE", tmp_path / "evidence")
    monkeypatch.setattr(command_line, "COLLECTED", tmp_path / "collected")
    main_part = read_plan(EVIDENCE / "plan.toml").parts[0]
    base, models = main_part.bases[0], {"base": solver(4)}
    for k in range(1, main_part.iterations + 1):
        models |= {f"{chain}/{k}": iteration(5) for chain in main_part.chains}
    write(tmp_path / "collected" / f"{base}.json", collected(base, models))
    assert main(["check"]) == 1
    assert main(["tables"]) == 0
    assert main(["check"]) == 0
    assert (tmp_path / "evidence" / "scores.svg").is_file()
    assert f"1 of {len(main_part.bases)} bases" in copy.read_text()
    copy.write_text(copy.read_text().replace("62.5", "99.9"))
    capfd.readouterr()
    assert main(["check"]) == 1
    assert capfd.readouterr().out.startswith(f"{copy}: out of date")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_without_runs_names_the_missing_bases(name: str) -> None:
    plan = read_plan(EVIDENCE / "plan.toml")
    block = BLOCKS[name](Study(plan, {}))
    base = plan.parts[0].bases[0]
    assert f"missing: {base}" in block or f"| {base} |  | none of main" in block
