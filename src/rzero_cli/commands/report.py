"""`rzero report`: the summary of a run, as a table, a picture or a page (`report/summary.py`)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from rzero_cli.analysis.difficulty import difficulty as difficulty_of
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.data.whole_files import check_new_file, open_copy
from rzero_cli.engines.models import require
from rzero_cli.errors import UsageError
from rzero_cli.fields import argument, option
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Json, Quiet, Replacing
from rzero_cli.report.parts import percent
from rzero_cli.report.summary import over_runs, summarize_run
from rzero_cli.system.messages import print_json
from rzero_cli.system.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table

ENDINGS = (".json", ".txt", ".png", ".svg", ".html", ".md")
PAGES = (".html", ".md")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Shown:
    """The runs to report on, and the output files."""

    PANEL: ClassVar = None
    runs: list[Path] = argument("Folders of one or more runs.", metavar="RUN_DIR")
    output: list[Path] | None = option(
        f"Output file; its ending sets the format: {', '.join(ENDINGS)}. May be repeated.",
        "-o",
        "--output",
        default=None,
        unset=True,
        metavar="FILE",
    )
    form: str | None = option(
        "Write the full report into RUN_DIR, as report.html or report.md.",
        "--format",
        default=None,
        unset=True,
        metavar="html|md",
    )
    difficulty: bool = option(
        "Report how hard each iteration's questions are for every Solver instead.", default=False
    )


@command("report", Quiet)
def report(call: Call, shown: Shown, replacing: Replacing, form: Json) -> None:
    """Summarize a run: scores with intervals, label accuracy, difficulty, time.

    Several runs give the mean and spread over runs, and the paired differences to the base model
    and to the base-Challenger baseline. FILE.html is a self-contained page: accuracy, difficulty,
    training, questions with their votes, signs of collapse, time, lineage. FILE.md is a shorter
    version, with its pictures as SVG files next to it. Both also work for an unfinished or damaged
    run and list what is missing. --difficulty shows the results of `make difficulty`: the greedy
    score of every Solver on each iteration's questions, and the fraction of labels that are true.

    [bold]Examples[/]

      rzero report runs/demo

      rzero report runs/demo -o report.html -o summary.png

      rzero report runs/demo --format md

      rzero report runs/evidence-101 runs/evidence-102

      rzero report runs/demo --difficulty
    """
    runs, force = shown.runs, replacing.force
    targets = list(shown.output or [])
    for target in targets:
        if target.suffix not in ENDINGS:
            raise UsageError(f"-o {target}: unknown ending; known: {', '.join(ENDINGS)}")
        if not target.absolute().parent.is_dir():
            raise UsageError(f"-o {target}: no such folder")
        if targets.count(target) > 1:
            raise UsageError(f"-o {target}: given twice")
    if shown.form is not None:
        if f".{shown.form}" not in PAGES:
            raise UsageError(f"--format {shown.form}: unknown; known: html, md; -o FILE has more")
        if not any(target.suffix == f".{shown.form}" for target in targets):
            targets.append(runs[0] / f"report.{shown.form}")
    for target in targets:
        if target.parent.is_dir():  # a missing RUN_DIR gets its own error
            check_new_file(target, force=force)
    if shown.difficulty:
        if len(runs) > 1:
            raise UsageError("--difficulty takes a single run")
        with Equivalence() as equivalence:
            result = difficulty_of(runs[0], equivalence)
        table = _table_of_difficulty(result)
    elif len(runs) == 1:
        pages = [target for target in targets if target.suffix in PAGES]
        if pages:
            result = _write_pages(call, pages, runs[0], force=force)
        targets = [target for target in targets if target not in pages]
        if targets or form.as_json or not pages:
            result = summarize_run(runs[0])
        table = _rich(_columns(result))
    else:
        rows = over_runs([summarize_run(run) for run in runs])
        result = {"runs": [str(run) for run in runs], "rows": rows}
        table = _table_over_runs(result)
    if shown.difficulty or len(runs) > 1:
        for target in targets:
            if target.suffix not in (".json", ".txt"):
                what = "--difficulty" if shown.difficulty else "several runs"
                raise UsageError(f"-o {target}: {what} can only be written as .json or .txt")
    for target in targets:
        _write(target, result, table, force=force)
        call.say(str(target))
    if form.as_json:
        print_json(result)
    else:
        typer.echo(_as_text(table))


def _write_pages(call: Call, targets: list[Path], folder: Path, *, force: bool) -> dict[str, Any]:
    """Write the pages of a run, even a damaged one, and return its (possibly partial) summary."""
    require("report", "matplotlib", "jinja2")
    from rzero_cli.report.content import report_of
    from rzero_cli.report.run_folder import read_run

    run = read_run(folder)
    report = report_of(run, _columns(run.summary))
    for target in targets:
        if target.suffix == ".html":
            from rzero_cli.report.page import page

            _write_file(target, page(report), force=force)
        else:
            from rzero_cli.report.markdown import markdown

            text, pictures = markdown(report, target.stem)
            beside = {target.with_name(name): picture for name, picture in pictures.items()}
            for path in beside:
                check_new_file(path, force=force)
            for path, picture in beside.items():
                _write_file(path, picture, force=force)
            _write_file(target, text, force=force)
        call.say(str(target))
    for remark in run.remarks["accuracy"]:
        call.say(remark)
    return run.summary


def _write(target: Path, result: dict[str, Any], table: Table, *, force: bool) -> None:
    if target.suffix == ".json":
        _write_file(target, json.dumps(result, indent=2, ensure_ascii=False) + "\n", force=force)
    elif target.suffix == ".txt":
        _write_file(target, _as_text(table), force=force)
    else:
        require("report", "matplotlib", "jinja2")
        from rzero_cli.report.picture import picture

        _write_file(target, picture(result, target.suffix[1:]), force=force)


def _write_file(target: Path, content: str | bytes, *, force: bool) -> None:
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")  # file names may contain surrogates
    with open_copy(str(target), force=force) as stream:
        stream.write(content)


def _as_text(table: Table) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=120, no_color=True).print(table)
    return stream.getvalue()


def _columns(summary: dict[str, Any]) -> dict[str, list[str]]:
    """Return the table of one run, by column."""
    rows = summary["rows"]
    k = next((row["k"] for row in rows if row["k"]), 0)
    # Each task has its own protocol: some are greedy, some sampled.
    sampled = k and all(row["score"] == row["mean_at_k"] for row in rows)
    named = f"mean@{k} %" if sampled else "score %"

    def column(name: str, form: Callable[[Any], str] = str) -> list[str]:
        return ["-" if row[name] is None else form(row[name]) for row in rows]

    return {
        "model": column("model"),
        named: column("score", percent),
        "95 % interval": column("ci95", lambda ci95: "-".join(map(percent, ci95))),
        "greedy %": column("greedy", percent),
        f"maj@{k or 'k'} %": column("maj_at_k", percent),
        "true labels %": column("label_accuracy", percent),
        "p_hat": column("p_hat_mean", "{:.2f}".format),
        "questions": column("questions"),
        "kept": column("kept"),
        "seconds": column("seconds", "{:.0f}".format),
    }


def _table_of_difficulty(result: dict[str, Any]) -> Table:
    """Return a row per set of questions with a column for each Solver's greedy score on it."""
    rows = result["rows"]
    scores = {
        f"{solver} %": [percent(row["scores"].get(solver, {}).get("score")) for row in rows]
        for solver in result["solvers"]
    }
    return _rich(
        {
            "questions of": [row["questions"] for row in rows],
            "questions": [str(row["n"]) for row in rows],
            **scores,
            "p_hat": ["-" if r["p_hat_mean"] is None else f"{r['p_hat_mean']:.2f}" for r in rows],
            # Over all sampled questions; the table of a run has the kept ones.
            "true labels, all %": [percent(row["label_accuracy"]) for row in rows],
        }
    )


def _table_over_runs(result: dict[str, Any]) -> Table:
    def spread(value: dict[str, Any] | None) -> str:
        if value is None:
            return "-"
        sd = "" if value["sd"] is None else f" ± {100 * value['sd']:.1f}"
        return f"{100 * value['mean']:+.1f}{sd}"

    rows = result["rows"]
    return _rich(
        {
            "model": [row["model"] for row in rows],
            "runs": [str(row["runs"]) for row in rows],
            "mean@k %": [spread(row).lstrip("+") for row in rows],
            "minus base": [spread(row.get("minus_base")) for row in rows],
            "minus base Challenger": [spread(row.get("minus_base_challenger")) for row in rows],
            "by run": [" ".join(f"{100 * v:.1f}" for v in row["values"]) for row in rows],
        }
    )


def _rich(columns: dict[str, list[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(plain(name), justify="left" if number == 0 else "right")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(plain, cells))
    return table
