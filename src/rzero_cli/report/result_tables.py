"""The sections on results: the loop, accuracy, difficulty and labels, p_hat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rzero_cli.report.parts import Chart, Iteration, Section, Series, number, numbers
from rzero_cli.report.run_folder import Run
from rzero_cli.report.summary import CHAIN_NAMES, curves
from rzero_cli.report.training import Log

# ---------------------------------------------------------------- the loop


def loop(run: Run) -> Section:
    rows = {row["model"]: row for row in run.summary["chains"].get("trained", [])}
    before = run.summary["rows"][0]
    cards = []
    for found in run.iterations:
        row, metrics = rows.get(found.name, {}), found.metrics
        stations = {
            "Challenger": _first_to_last(
                found.logs.get("challenger", []), "reward", "r_unc", "r_rep"
            ),
            "Questions": list(_question_lines(found.records, metrics)),
            "Labels": list(_label_lines(found.records, metrics or row)),
            "Filter": list(_filter_lines(row)),
            "Solver": [
                *_score_line(before, row),
                *_first_to_last(found.logs.get("solver", []), "reward"),
            ],
        }
        cards.append(Iteration(f"loop-{found.name}", found.name, stations))
        before = row or before
    return Section(
        "loop",
        "The loop, with this run's numbers",
        "In each iteration the Challenger is trained to generate questions on which the frozen "
        "Solver is uncertain. The Solver answers each question many times and the majority becomes "
        "the label. The filter keeps questions that are neither easy nor hopeless, and the Solver "
        "trains on those.",
        [*cards],
        run.sources["loop"] if cards else [],
        [] if cards else ["no iteration has started yet"],
    )


def _first_to_last(log: Log, *keys: str) -> list[str]:
    values = {key: numbers(line.get(key) for line in log) for key in keys}
    return [f"{key} {ys[0]:.2f} → {ys[-1]:.2f}" for key, ys in values.items() if ys]


def _question_lines(records: dict[str, Any], metrics: dict[str, Any]) -> Iterator[str]:
    recorded = records.get("sample", {}).get("metrics", {})
    valid, sampled = number(recorded.get("questions")), number(recorded.get("drawn"))
    if valid is not None and sampled:
        yield f"{valid:.0f} of {sampled:.0f} valid"
    elif metrics.get("questions"):
        yield f"{metrics['questions']} questions"
    if metrics.get("questions"):
        yield f"{metrics['distinct_questions'] / metrics['questions']:.0%} distinct"
        yield f"{metrics['near_duplicates']:.0%} near-duplicates"


def _label_lines(records: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    m = number(records.get("label", {}).get("settings", {}).get("m"))
    if m:
        yield f"majority of {m:.0f} answers"
    if (p_hat := row.get("p_hat_mean")) is not None:
        yield f"p_hat {p_hat:.2f} on average"


def _filter_lines(row: dict[str, Any]) -> Iterator[str]:
    kept, of = row.get("kept"), row.get("questions")
    if kept is not None:
        yield f"{kept:.0f} of {of:.0f} kept" if of else f"{kept:.0f} kept"
    if (true := row.get("label_accuracy")) is not None:
        yield f"{true:.0%} of labels true"


def _score_line(before: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    if (last := row.get("score")) is not None:
        first = before["score"]
        yield ("" if first is None else f"{100 * first:.1f} → ") + f"{100 * last:.1f} % right"


# ---------------------------------------------------------------- accuracy and difficulty


def charts_of_shares(
    id: str,
    title: str,
    lines: Iterable[Series],
    ticks: Mapping[float, str],
    *,
    y: str = "%",
    least: int = 1,
) -> list[Chart]:
    """Return a chart of fractions over iterations if at least `least` lines have points."""
    there = [line for line in lines if line.y]
    chart = Chart(id, title, there, "iteration", y, format=".1f", limits=(0.0, 102.0), ticks=ticks)
    return [chart] if len(there) >= least else []


def over_iterations(
    rows: Sequence[dict[str, Any]], key: str, name: str, *, spans: bool = False
) -> Series:
    """Return the series of `key` in percent by iteration; with `spans`, with its intervals."""
    known = [row for row in rows if row.get(key) is not None]
    return Series(
        name,
        [_place(row) for row in known],
        [100 * row[key] for row in known],
        [_span(row["ci95"]) for row in known] if spans else (),
    )


def _iteration_ticks(chains: Iterable[Sequence[dict[str, Any]]]) -> dict[float, str]:
    last = int(max((_place(rows[-1]) for rows in chains), default=0))
    return {float(i): str(i) if i else "base" for i in range(0, last + 1, last // 12 + 1)}


def _span(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return (100 * interval[0], 100 * interval[1]) if interval else None


def _place(row: dict[str, Any]) -> float:
    """Return a row's iteration from its name, since some may be missing; 0 for the base model."""
    name = row["model"]
    return float(name[5:]) if name.startswith("iter-") else 0.0


def accuracy(run: Run) -> Section:
    chains = curves(run.summary)
    series = [
        over_iterations(rows, "score", CHAIN_NAMES.get(name, name), spans=True)
        for name, rows in chains.items()
    ]
    base_and_trained = chains.get("trained", run.summary["rows"][:1])
    names = {"mean_at_k": "mean@k", "greedy": "greedy", "maj_at_k": "maj@k"}
    ways = [over_iterations(base_and_trained, key, name) for key, name in names.items()]
    shape: dict[str, Any] = {"ticks": _iteration_ticks(chains.values()), "y": "% right"}
    charts = charts_of_shares("accuracy", "Accuracy on held-out questions", series, **shape)
    title = "The same Solvers by other metrics"
    charts += charts_of_shares("ways", title, ways, least=2, **shape)
    return Section(
        "accuracy",
        "Accuracy of the Solver",
        "Accuracy of each iteration's Solver on held-out questions, with 95 % intervals over "
        "questions, next to chains that leave out a part of the method. All start from the base "
        "model. If mean@k rises while maj@k does not, the Solver gains confidence, not accuracy.",
        [*charts],
        run.sources["accuracy"],
        run.remarks["accuracy"] + ([] if charts else ["no score yet"]),
    )


def difficulty(run: Run) -> Section:
    chains = run.summary["chains"]
    rows = chains.get("trained", [])
    by_name = {row["model"]: row for row in run.difficulty}
    sampled = [by_name[row["model"]] for row in rows if row["model"] in by_name]
    lines = [
        over_iterations(rows, "p_hat_mean", "mean p_hat"),
        over_iterations(rows, "label_accuracy", "true labels, kept questions"),
        over_iterations(sampled, "score", "base model, greedy, sample"),
        over_iterations(sampled, "label_accuracy", "true labels, sample"),
    ]
    by_chain = [
        over_iterations(found, "label_accuracy", CHAIN_NAMES.get(name, name))
        for name, found in chains.items()
    ]
    ticks = {x: label for x, label in _iteration_ticks(chains.values()).items() if x}
    charts = charts_of_shares("difficulty", "Difficulty and true labels", lines, ticks)
    title = "True labels of the kept questions, by chain"
    charts += charts_of_shares("labels", title, by_chain, ticks, least=2)
    return Section(
        "difficulty",
        "Difficulty and labels",
        "p_hat, the fraction of the Solver's answers that agree, stays near one half if the "
        "Challenger is well trained. It does not show whether the majority is right: if true "
        "labels fall while p_hat stays, the loop teaches mistakes.",
        [*charts],
        run.sources["difficulty"],
        run.remarks["difficulty"] + ([] if charts else ["no labels yet"]),
    )


def p_hats(run: Run) -> Section:
    there = {
        found.name: found.metrics
        for found in run.iterations
        if found.metrics.get("p_hat_histogram")
    }
    most = max((max(metrics["p_hat_histogram"]) for metrics in there.values()), default=0)
    charts = [
        Chart(
            f"p-hat-{name}",
            f"{name}: mean {metrics['p_hat_mean']:.2f}",
            [Series("", [i / 10 for i in range(10)], metrics["p_hat_histogram"])],
            "p_hat",
            "questions",
            kind="bars",
            format=".0f",
            limits=(0, 1.05 * most),  # one scale, so that heights can be compared
            shade=metrics["band"],
            small=True,
        )
        for name, metrics in there.items()
    ]
    return Section(
        "p-hat",
        "The Solver's confidence",
        "Questions by p_hat, one chart per iteration: the further right, the more confident the "
        "Solver. The filter keeps the shaded interval.",
        [*charts],
        run.sources["p-hat"],
        run.remarks["questions"] or ([] if charts else ["no labels yet"]),
    )
