"""`rzero compare`: paired comparison of evaluations (`analysis/comparison.py`)."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rzero_cli.analysis.comparison import SCORES, check_evaluation, compare_evaluations
from rzero_cli.errors import DataError, UsageError
from rzero_cli.fields import argument
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Json, Seed
from rzero_cli.options.general import General
from rzero_cli.system.messages import print_json
from rzero_cli.system.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Results:
    """The evaluations to compare."""

    files: list[str] = argument(
        "Results of `rzero eval`: the baseline first, then one or more to compare; - is stdin.",
        metavar="FILE",
    )


@command("compare", General)
def compare(call: Call, results: Results, seeded: Seed, form: Json) -> None:
    """Compare evaluations question by question: differences, intervals, McNemar's test.

    The first file is the baseline; each other file is compared with it on the tasks and questions
    that both contain. The interval of the difference is a bootstrap over questions. In McNemar's
    test, b counts the questions that only the baseline answers correctly, c those that only the
    other does. Other differences (protocol, data, versions) are reported on standard error.

    [bold]Examples[/]

      rzero compare runs/demo/base/eval.json runs/demo/iter-3/eval.json

      rzero compare base.json iter-*.json --json | jq '.comparisons[].tasks'
    """
    files = results.files
    if len(files) < 2:
        raise UsageError("compare requires at least two files, the baseline first")
    baseline, *others = [(name, _read(name)) for name in files]
    comparisons = []
    for name, other in others:
        try:
            found = compare_evaluations(baseline[1], other, seed=seeded.seed)
        except DataError as error:
            raise DataError(f"{baseline[0]}, {name}: {error}") from error
        comparisons.append({"file": name} | found)
    warnings = [
        f"{baseline[0]} -> {found['file']}: {warning}"
        for found in comparisons
        for warning in found.pop("warnings")
    ]
    if form.as_json:
        whole = {"baseline": baseline[0], "comparisons": comparisons, "warnings": warnings}
        print_json(whole)
    else:
        typer.echo(_as_text(baseline[0], comparisons), nl=False)
    for warning in warnings:
        call.say(warning)


def _read(name: str) -> dict[str, Any]:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return check_evaluation(json.loads(raw))
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from error
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: give a file written by `rzero eval -o`") from error


def _as_text(baseline: str, comparisons: list[dict[str, Any]]) -> str:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    with console.capture() as capture:
        for number, found in enumerate(comparisons):
            if number:
                console.print()
            console.print(plain(f"A = {baseline}, B = {found['file']}"), soft_wrap=True)
            console.print(_table(found))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _table(found: dict[str, Any]) -> Table:
    """Return one row per score and average: scores in %, differences in percentage points."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "score", "n", "A %", "B %", "B - A", "95 % interval", "b", "c", "p"):
        left = name in ("", "score")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "")
    for name, task in found["tasks"].items():
        title, n = plain(name), f"{task['n']:,}"
        k = task["k"][0] if task["k"][0] == task["k"][1] else "k"
        names = {"greedy": "greedy", "mean_at_k": f"mean@{k}", "maj_at_k": f"maj@{k}"}
        for score in SCORES:
            if task[score]:
                table.add_row(title, names[score], n, *_cells(task[score]))
                title, n = plain(""), ""
        if title:
            table.add_row(title, "none in both", n)
    if found["averages"]:
        table.add_section()
    for name, average in found["averages"].items():
        table.add_row(plain(name), "average", "", *_cells(average))
    return table


def _cells(compared: dict[str, Any]) -> list[str]:
    bounds = [f"{100 * bound:+.1f}" for bound in compared["ci95"] or ()]
    interval = " to ".join(bounds) or "-"
    scores = [f"{100 * compared[side]:.1f}" for side in ("a", "b")]
    cells = [*scores, f"{100 * compared['difference']:+.1f}", interval]
    if test := compared.get("mcnemar"):
        p = "< 0.001" if test["p"] < 0.001 else f"{test['p']:.3f}"
        cells += [f"{test['b']:,}", f"{test['c']:,}", p]
    return cells
