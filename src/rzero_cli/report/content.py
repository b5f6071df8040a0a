"""A run's whole report, before it is a page or Markdown: headline and sections, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rzero_cli.report import results, workings
from rzero_cli.report.headline import facts, verdict, warnings
from rzero_cli.report.parts import Section, Table, shown
from rzero_cli.report.reading import Run

__all__ = ["Report", "report_of"]

_SECTIONS = (
    *(results.loop, results.accuracy, results.difficulty, results.p_hats),
    *(workings.training, workings.asked, workings.collapse, workings.spent, workings.settings),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows of a run."""

    title: str
    verdict: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    table: Table
    sections: list[Section]


def report_of(run: Run, columns: Mapping[str, list[str]]) -> Report:
    """The report of a run that has been read; `columns` is the table of the command."""
    rows = [list(cells) for cells in zip(*columns.values(), strict=True)]
    return Report(
        title=f"rzero run: {shown(run.folder.resolve().name, 120)}",
        verdict=verdict(run),
        facts=facts(run),
        warnings=warnings(run),
        table=Table("The base model, every baseline and every iteration", list(columns), rows),
        sections=[section(run) for section in _SECTIONS],
    )
