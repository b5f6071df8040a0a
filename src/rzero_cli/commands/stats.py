"""`rzero stats`: metrics of difficulty and diversity (`analysis/diversity.py`)."""

from __future__ import annotations

import json
import os.path
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from rzero_cli.analysis.contamination import NGRAM, Index, Overlap, index_benchmarks, watch
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.answers.references import reference_reader
from rzero_cli.data.jsonl import checked, read_lines
from rzero_cli.data.references import read_references, with_references
from rzero_cli.errors import DataError, UsageError
from rzero_cli.fields import option
from rzero_cli.method.filtering import Band, interval
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Json, OracleData, QuestionKey, Source
from rzero_cli.options.general import General
from rzero_cli.options.method_groups import Distance
from rzero_cli.options.panels import INPUT
from rzero_cli.options.source import Input
from rzero_cli.options.stage_progress import interval_of_filter, progress
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.system.terminal import plain, printable

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LookedFor:
    """The interval of kept questions, and the benchmarks to search for."""

    PANEL: ClassVar = INPUT
    delta: str | None = option(
        "Count questions as kept by `rzero filter` with this --delta.",
        default=None,
        unset="filter's interval in this preset and configuration",
    )
    against: list[str] | None = option(
        "Benchmark JSONL whose questions to search for (contamination). May be repeated.",
        default=None,
        unset=True,
        metavar="FILE",
    )
    against_key: str | None = option(
        "Key of the question in --against files.",
        default=None,
        unset="question, problem, prompt or input",
    )
    ngram: int = option(
        "Words that a match with a benchmark question must have: as many in a row, or as rare.",
        default=NGRAM,
        unset=True,
        min=1,
    )


@command("stats", General)
def stats(
    call: Call,
    source: Source,
    looked_for: LookedFor,
    distance: Distance,
    key: QuestionKey,
    oracle: OracleData,
    form: Json,
) -> None:
    """Report the difficulty and diversity of questions and labels, file by file.

    Self-play can collapse silently: p_hat stays near one half while the questions become a few
    templates. Distinct questions and answers, the most common answers, near-duplicates, self-BLEU,
    clusters and openings reveal it; a warning on standard error reports if they fall from the first
    file to a later one. Reads any JSONL with questions, `answer` or `p_hat`, in bounded memory;
    estimates are shown with their error. --limit applies to each file.

    The order of the files matters: each is compared with the first, and `seen before` counts the
    questions of earlier files. A shell's * sorts iter-10 before iter-2; `ls -v` does not.

    With a `reference` in the records (`rzero oracle`, `rzero grade --truth`) or in --oracle-data,
    it also reports the accuracy of the labels and of the Solver that gave them. --against searches
    the files for benchmark questions, by shared word n-grams.

    [bold]Examples[/]

      rzero stats $(ls -v runs/demo/iter-*/labeled.jsonl)

      rzero stats train.jsonl --against gsm8k.jsonl --against aime24.jsonl

      rzero stats questions.jsonl --json | jq .near_duplicates
    """
    distance.check()
    question_key, strict, limit = key.question_key, source.strict, source.limit
    oracle_data, as_json = oracle.oracle_data, form.as_json
    names = call.stdin_or_help(source.files)
    given = Input(call, names, source)
    sources = [read_lines([name], strict=strict, reject=given.reject) for name in names]
    index = None
    if looked_for.against:
        index = _index(
            looked_for.against, n=looked_for.ngram, key=looked_for.against_key, strict=strict
        )
    references = {}
    if oracle_data:
        truths = read_lines([oracle_data], strict=strict)
        references = read_references(truths, read=reference_reader())
    from rzero_cli.analysis.diversity import check, statistics
    from rzero_cli.analysis.drift import falls
    from rzero_cli.analysis.sketches import Distinct

    how: dict[str, Any] = {"question_key": question_key} | vars(distance)
    delta = looked_for.delta
    how["band"] = interval_of_filter(call) if delta is None else interval(delta)
    how["earlier"] = Distinct()
    # Checked before standard output is redirected.
    terminal = sys.stdout is not None and sys.stdout.isatty()
    total = given.at_most if limit is None else None
    shown: AbstractContextManager[Any] = nullcontext()
    if not (as_json and terminal):  # a bar would break up the lines
        shown = progress(call, total, lambda: {"done": given.good}, unit="records")
    with (
        given.rejecting(),
        protect_stdout() as stdout,
        Equivalence() as how["equivalence"],
    ):
        figures: list[Figures] = []
        overlaps, keys = [], []
        with shown:
            for name, lines in zip(names, sources, strict=True):
                if references:
                    lines = with_references(lines, references, question_key)
                overlap = Overlap(index) if index else None
                if overlap:
                    lines = watch(lines, overlap, question_key)
                lines = checked(lines, partial(check, question_key=question_key), given.reject)
                lines = given.counted(islice(lines, limit))
                first = next(lines, None)
                keys.append(list(first.record)[:8] if first else [])
                found = {"file": name} | statistics(chain([first] if first else [], lines), **how)
                if overlap and not found.get("questions"):
                    raise DataError(
                        f'{name}: no questions under "{question_key}" to search for benchmark '
                        "questions: set --question-key; keys in the file: "
                        f"{', '.join(overlap.keys[:8]) or 'none'}"
                    )
                overlaps.append(overlap)
                found |= {"benchmarks": overlap.by_benchmark()} if overlap else {}
                found |= {"warnings": list(falls(figures[0], found))} if figures else {}
                figures.append(found)
                if as_json:
                    stdout.write(json.dumps(figures[-1]).encode() + b"\n")
                    stdout.flush()
        if not as_json:
            text = _table(figures, how["band"], terminal=terminal) + _found(figures)
            stdout.write(text.encode())
    if timeouts := how["equivalence"].timeouts:
        call.say(f"{timeouts} comparisons timed out")
    if references and not any(figure.get("with_reference") for figure in figures):
        call.say(f"{oracle_data} has no true answer to any of these questions")
    for message in _messages(figures, overlaps, keys, question_key, "question_key" in call.chosen):
        call.say(message)


def _messages(
    figures: list[Figures],
    overlaps: list[Overlap | None],
    keys: list[list[str]],
    question_key: str,
    chosen: bool,
) -> Iterator[str]:
    """Report skipped records, benchmark questions found, missing questions and falling diversity.

    Args:
        overlaps: by file, the benchmark questions found in it.
        keys: by file, the keys of its first record.
        chosen: the user set `question_key`.
    """
    for figure, overlap in zip(figures, overlaps, strict=True):
        if overlap:
            without = figure["records"] - figure["questions"] - figure["malformed"]
            if without:
                yield (
                    f"{figure['file']}: {without:,} of {figure['records']:,} records have no "
                    f'"{question_key}" and were not searched for benchmark questions'
                )
            for key, count in overlap.left_out.items():
                yield (
                    f'{figure["file"]}: "{key}" has the wrong type in {count:,} records: left out '
                    "of the other metrics"
                )
    for figure, benchmark in _contaminated(figures):
        less = Counter(hit["confidence"] for hit in benchmark["hits"])
        parts = [f"{less[level]:,} with {level} confidence" for level in _LESS if less[level]]
        note = f" ({', '.join(parts)})" if parts else ""
        yield (
            f"{figure['file']}: contains {benchmark['found']:,} of the {benchmark['questions']:,} "
            f"questions of {benchmark['file']}{note}"
        )
    for figure, there in zip(figures, keys, strict=True):
        if there and "questions" not in figure and (chosen or not figure.keys() - _OF_ANY):
            yield (
                f'{figure["file"]}: no record has "{question_key}": set --question-key; keys in '
                f"the file: {', '.join(there)}"
            )
    for figure in figures[1:]:
        for warning in figure["warnings"]:
            yield f"{figures[0]['file']} -> {figure['file']}: {warning}"


def _index(files: list[str], *, n: int, key: str | None, strict: bool) -> Index:
    """Index the benchmarks of --against.

    Raises:
        UsageError: a file is given twice.
        DataError: a file has no questions; or as `index_benchmarks`.
    """
    seen: set[Path] = set()
    for name in files:
        if (path := Path(name).resolve()) in seen:
            raise UsageError(f"--against {name}: given twice")
        seen.add(path)
    index = index_benchmarks(read_lines(files, strict=strict), n=n, key=key)
    sources = {entry.source for entry in index.entries}
    for name in files:
        if ("<stdin>" if name == "-" else name) not in sources:
            raise DataError(f"--against {name}: no questions")
    return index


_OF_ANY = {"file", "records", "warnings"}
_ROWS = {
    "records": "{:,}",
    "questions": "{:,}",
    "malformed": "{:,}",
    "valid": "{:.1%}",
    "distinct_questions": "{:,}",
    "seen_before": "{:.1%}",
    "near_duplicates": "{:.1%}",
    "self_bleu": "{:.3f}",
    "clusters": "{:,}",
    "largest_cluster": "{:.1%}",
    "words": "{:.1f}",
    "words_quantiles": "{}",
    "labelled": "{:,}",
    "distinct_answers": "{:,}",
    "top_answer": "{:.1%}",
    "top_10_answers": "{:.1%}",
    "kept": "{:.1%}",
    "p_hat_mean": "{:.3f}",
    "vote_entropy": "{:.2f} bits",
    "with_reference": "{:,}",
    "label_accuracy": "{:.1%}",
    "label_accuracy_kept": "{:.1%}",
    "solver_accuracy": "{:.1%}",
}
_NAMES = {
    "kept": "kept, {} to {}",
    "p_hat_mean": "p_hat mean",
    "self_bleu": "self-BLEU",
    "words_quantiles": "words, 5-50-95 %",
}
_OF = {"near_duplicates": "compared", "clusters": "sampled"}
"""Metrics that depend on the number of questions compared, shown if not all were."""
_LABEL, _COLUMN = 21, 19
"""Terminal columns for a metric's name and for a file's values, including the gap."""
_OPENINGS = 3  # in the table
_MOST_NAMED = 5  # benchmark questions in the table's lines
_LESS = ("medium", "low")  # confidences that are named
_SURE = ("high", *_LESS)
_BARS = " ▁▂▃▄▅▆▇█"


def _table(figures: list[Figures], kept: Band, *, terminal: bool) -> str:
    """Return a table with a column per file and a row per metric, split into several if too wide.

    Args:
        kept: the interval of p_hat that counts as kept.
        terminal: format for a terminal, with its colours and width.
    """
    from rich.console import Console

    console = Console(highlight=False, force_terminal=terminal)
    if not terminal:
        console.width = 40 + 40 * len(figures)
    most = max(1, (console.width - _LABEL) // _COLUMN)
    with console.capture() as capture:
        for place in range(0, len(figures), most):
            if place:
                console.print()
            console.print(_columns(figures[place : place + most], kept))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _columns(figures: list[Figures], kept: Band) -> Any:
    """Return the table of the files that fit side by side."""
    from rich.table import Table

    table = Table(box=None)
    table.add_column("", min_width=_LABEL - 2, overflow="fold")
    for name in _short([figure["file"] for figure in figures]):
        table.add_column(plain(name), overflow="fold")
    for key, form in _ROWS.items():
        if any(key in figure for figure in figures):
            cells = [_cell(figure, key, form) if key in figure else "" for figure in figures]
            name = _NAMES.get(key, key.replace("_", " "))
            table.add_row(name.format(*kept), *cells)
    if any("p_hat_histogram" in figure for figure in figures):
        table.add_row("p_hat, 0 to 1", *(_bars(f.get("p_hat_histogram", [])) for f in figures))
    for number in range(max(len(f.get("openings", ())[:_OPENINGS]) for f in figures)):
        found = [f.get("openings", [])[number : number + 1] for f in figures]
        texts = [plain(f"{one[0][1]:.1%} {one[0][0]}" if one else "") for one in found]
        for text in texts:
            text.no_wrap, text.overflow = True, "ellipsis"
        table.add_row("" if number else "openings", *texts)
    for number, benchmark in enumerate(figures[0].get("benchmarks", [])):
        found = [figure["benchmarks"][number] for figure in figures]
        title = plain(f"benchmark questions: {Path(benchmark['file']).stem}")
        counts = [f"{one['found']:,} ({one['share']:.1%})" for one in found]
        table.add_row(title, *[f"{benchmark['questions']:,}"] * len(found))
        table.add_row("found in it", *counts)
    return table


def _cell(figure: dict[str, Any], key: str, form: str) -> str:
    """Return a metric as text, with its error or its sample size if it has one."""
    value, error = figure[key], figure.get("approximate", {}).get(key)
    if key == "words_quantiles":
        return "-".join(f"{length:,}" for length in value)
    if key in _OF and (of := figure[_OF[key]]) < figure["questions"]:
        return f"{form.format(value)} of {of:,}"
    if not error:
        return form.format(value)
    return (
        f"{form.format(value)} ±{f'{error / value:.1%}' if form == '{:,}' else form.format(error)}"
    )


def _short(names: list[str]) -> list[str]:
    """Return the file names without their common folder."""
    absolute = {name.startswith("/") for name in names}
    shared = os.path.commonpath(names) if len(set(names)) > 1 and len(absolute) == 1 else ""
    if not all(name.startswith(shared + "/") for name in names):
        shared = ""
    names = [name.removeprefix(shared + "/") if shared else name for name in names]
    return ["standard input" if name == "-" else name for name in names]


def _contaminated(figures: list[Figures]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each file with each benchmark found in it."""
    for figure in figures:
        for benchmark in figure.get("benchmarks", []):
            if benchmark["found"]:
                yield figure, benchmark


def _found(figures: list[Figures]) -> str:
    """List the first benchmark questions found, one per line."""
    text = ""
    for figure, benchmark in _contaminated(figures):
        text += f"\n{printable(benchmark['file'])} in {printable(figure['file'])}:\n"
        ranked = sorted(benchmark["hits"], key=lambda hit: _SURE.index(hit["confidence"]))
        for hit in ranked[:_MOST_NAMED]:
            id = "" if hit["id"] is None else f" ({printable(str(hit['id']))})"
            more = ", ..." * (hit["records"] > len(hit["lines"]))
            lines = ", ".join(map(str, hit["lines"]))
            level = hit["confidence"]
            note = f" ({level} confidence, {hit['score']:.2f})" * (level in _LESS)
            question = printable(" ".join(hit["question"].split())[:60])
            text += f"  line {hit['line']}{id} in line {lines}{more}{note}: {question}\n"
        if (rest := benchmark["found"] - _MOST_NAMED) > 0:
            text += f"  and {rest:,} more: --json lists all\n"
    return text


def _bars(bins: list[int]) -> str:
    """Return a histogram as a line of characters; every non-empty bin is visible."""
    most = max(bins, default=0) or 1
    return "".join(_BARS[0 if not n else max(1, round(n / most * 8))] for n in bins)
