"""The content of a report, independent of its format: headline and sections, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rzero_cli.report import result_tables as results
from rzero_cli.report import workings
from rzero_cli.report.headline import facts, verdict, warnings
from rzero_cli.report.parts import Section, Table, shown
from rzero_cli.report.run_folder import Run
from rzero_cli.report.summary import forgiving

_SECTIONS = (
    *(results.loop, results.accuracy, results.difficulty, results.p_hats),
    *(workings.training, workings.questions, workings.collapse, workings.time, workings.settings),
)


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a run's report."""

    title: str
    verdict: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    table: Table
    sources: list[str]
    """The files that the headline is based on, as for a section."""
    sections: list[Section]


def report_of(run: Run, columns: Mapping[str, list[str]]) -> Report:
    """Return the report of a run.

    Args:
        run: the run, as read from its folder.
        columns: the columns of the summary table by their heads.
    """
    rows = [list(cells) for cells in zip(*columns.values(), strict=True)]
    return Report(
        title=f"rzero run: {shown(run.folder.resolve().name, 120)}",
        verdict=_guarded(verdict, run, "There is no verdict: the run's files are damaged."),
        facts=_guarded(facts, run, [("Run", shown(run.folder.resolve().name, 120))]),
        warnings=_guarded(warnings, run, ["There are no warnings: the run's files are damaged."]),
        table=Table("The base model, every baseline and every iteration", list(columns), rows),
        sources=run.sources["headline"],
        sections=[_guarded(section, run, _lost(section, run)) for section in _SECTIONS],
    )


Made = TypeVar("Made")


def _guarded(make: Callable[[Run], Made], run: Run, instead: Made) -> Made:
    """Return `make(run)`, or `instead` if an unexpected value in a file makes it fail."""
    made = [instead]
    with forgiving(run.remarks[make.__name__].append, run.folder):
        made.append(make(run))
    return made[-1]


def _lost(maker: Callable[[Run], Section], run: Run) -> Section:
    name = maker.__name__
    return Section(
        name,
        name.replace("_", " ").capitalize(),
        "This part cannot be shown: its files are damaged.",
        remarks=run.remarks[name],  # the list that `_guarded` adds the reason to
    )
