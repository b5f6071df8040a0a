"""The sections on what came out: the loop, accuracy, difficulty and labels, p_hat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rzero_cli.report.parts import Chart, Iteration, Section, Series, number
from rzero_cli.report.run_folder import Run
from rzero_cli.report.summary import curves

__all__ = ["CHAIN_NAMES", "PERCENT", "accuracy", "difficulty", "loop", "over_iterations", "p_hats"]

CHAIN_NAMES = {
    "base": "base model",
    "trained": "trained Challenger",
    "base-challenger": "base Challenger",
    "no-penalty": "no repetition penalty",
    "no-filter": "no filter",
    "one-model": "one model in both roles",
    "official": "the authors' rules",
    "true-labels": "true labels",
    "shuffled-labels": "shuffled labels",
    "random-reward": "random reward",
    "format-reward": "format reward",
}
PERCENT = (0.0, 102.0)


# ---------------------------------------------------------------- the loop


def loop(run: Run) -> Section:
    rows = {row["model"]: row for row in run.summary["chains"].get("trained", [])}
    before = run.summary["rows"][0]
    cards = []
    for found in run.iterations:
        row = rows.get(found.name, {})
        stations = {
            "Challenger": [
                *_first_to_last(found.logs.get("challenger")),
                *_first_to_last(found.logs.get("challenger"), "r_unc"),
                *_first_to_last(found.logs.get("challenger"), "r_rep"),
            ],
            "Questions": list(_question_lines(found.records, found.figures or {})),
            "Labels": list(_label_lines(found.records, found.figures or row)),
            "Filter": list(_filter_lines(row)),
            "Solver": [*_score_line(before, row), *_first_to_last(found.logs.get("solver"))],
        }
        cards.append(Iteration(f"loop-{found.name}", found.name, stations))
        before = row or before
    return Section(
        "loop",
        "The loop, with this run's numbers",
        "In each iteration the Challenger is trained to ask what the frozen Solver is unsure of. "
        "The Solver answers each question many times, the majority becomes the label, the filter "
        "keeps what is neither easy nor hopeless, and the Solver trains on that.",
        [*cards],
        run.sources["loop"] if cards else [],
        [] if cards else ["no iteration has begun yet"],
    )


def _first_to_last(log: Sequence[dict[str, Any]] | None, key: str = "reward") -> list[str]:
    values = [y for line in log or () if (y := number(line.get(key))) is not None]
    return [f"{key} {values[0]:.2f} → {values[-1]:.2f}"] if values else []


def _question_lines(records: dict[str, Any], figures: dict[str, Any]) -> Iterator[str]:
    metrics = records.get("sample", {}).get("metrics", {})
    asked, drawn = number(metrics.get("questions")), number(metrics.get("drawn"))
    if asked is not None and drawn:
        yield f"{asked:.0f} of {drawn:.0f} valid"
    elif figures.get("questions"):
        yield f"{figures['questions']} questions"
    if figures.get("questions"):
        yield f"{figures['distinct_questions'] / figures['questions']:.0%} distinct"
        yield f"{figures['near_duplicates']:.0%} near-duplicates"


def _label_lines(records: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    m = number(records.get("label", {}).get("settings", {}).get("m"))
    if m:
        yield f"majority of {m:.0f} answers"
    if (p_hat := number(row.get("p_hat_mean"))) is not None:
        yield f"p_hat {p_hat:.2f} on average"


def _filter_lines(row: dict[str, Any]) -> Iterator[str]:
    kept, of = number(row.get("kept")), number(row.get("questions"))
    if kept is not None:
        yield f"{kept:.0f} of {of:.0f} kept" if of else f"{kept:.0f} kept"
    if (true := number(row.get("label_accuracy"))) is not None:
        yield f"{true:.0%} of labels true"


def _score_line(before: dict[str, Any], row: dict[str, Any]) -> list[str]:
    last = number(row.get("score"))
    first = number(before.get("score"))
    if last is None:
        return []
    from_ = "" if first is None else f"{100 * first:.1f} → "
    return [f"{from_}{100 * last:.1f} % right"]


# ---------------------------------------------------------------- accuracy and difficulty


def _iteration_ticks(last: float) -> dict[float, str]:
    every = int(last // 12) + 1
    return {float(i): ("base" if i == 0 else str(i)) for i in range(0, int(last) + 1, every)}


def accuracy(run: Run) -> Section:
    found = [
        (name, scored)
        for name, rows in curves(run.summary).items()
        if (scored := [row for row in rows if number(row["score"]) is not None])
    ]
    series = [
        Series(
            CHAIN_NAMES.get(name, name),
            [_place(row) for row in rows],
            [100 * row["score"] for row in rows],
            [_span(row["ci95"]) for row in rows],
        )
        for name, rows in found
    ]
    last = max((_place(rows[-1]) for rows in curves(run.summary).values()), default=0)
    blocks = []
    shape: dict[str, Any] = {"x": "iteration", "y": "% right", "format": ".1f"}
    ticks = _iteration_ticks(last)
    if series:
        blocks.append(
            Chart(
                "accuracy",
                "Accuracy on held-out questions",
                series,
                limits=PERCENT,
                ticks=ticks,
                **shape,
            )
        )
    ways = [
        over_iterations(run.summary["rows"][:1] + run.summary["chains"].get("trained", []), *one)
        for one in (("mean_at_k", "mean@k"), ("greedy", "greedy"), ("maj_at_k", "maj@k"))
    ]
    lines = [line for line in ways if line.y]
    if len(lines) > 1:
        title = "The same Solvers, counted in other ways"
        blocks.append(Chart("ways", title, lines, limits=PERCENT, ticks=ticks, **shape))
    return Section(
        "accuracy",
        "Accuracy of the Solver",
        "How many held-out questions each iteration's Solver answers right, with 95 % intervals "
        "over questions, beside chains that leave a part of the method out. All begin at the base "
        "model. A majority that stays while single answers rise is sureness gained, not knowledge.",
        [*blocks],
        run.sources["accuracy"],
        run.remarks["accuracy"] + ([] if series else ["there is no score to draw yet"]),
    )


def _span(interval: Any) -> tuple[float, float] | None:
    if not isinstance(interval, list) or len(interval) != 2:
        return None
    low, high = map(number, interval)
    return None if low is None or high is None else (100 * low, 100 * high)


def _place(row: dict[str, Any]) -> float:
    """The iteration of a row by its name, since one may be missing; 0 of the base."""
    name = row["model"]
    return float(name[5:]) if name.startswith("iter-") else 0.0


def over_iterations(rows: Sequence[dict[str, Any]], key: str, name: str) -> Series:
    """A share in %, by the iterations that `model` names."""
    known = [(_place(row), y) for row in rows if (y := number(row.get(key))) is not None]
    return Series(name, [x for x, _ in known], [100 * y for _, y in known])


def difficulty(run: Run) -> Section:
    rows = run.summary["chains"].get("trained", [])
    asked_of = {row["model"]: row for row in run.difficulty}
    hard = [asked_of[row["model"]] for row in rows if row["model"] in asked_of]
    lines = [
        over_iterations(rows, "p_hat_mean", "mean p_hat"),
        over_iterations(rows, "label_accuracy", "true labels among the kept"),
        over_iterations(hard, "score", "base model, greedy, on them"),
        over_iterations(hard, "label_accuracy", "true labels in a sample"),
    ]
    shape: dict[str, Any] = {"x": "iteration", "y": "%", "format": ".1f", "limits": PERCENT}
    last = max((_place(found[-1]) for found in run.summary["chains"].values()), default=0)
    ticks = {x: label for x, label in _iteration_ticks(last).items() if x}
    charts = []
    if any(line.y for line in lines):
        there = [line for line in lines if line.y]
        charts.append(
            Chart("difficulty", "Difficulty and true labels", there, ticks=ticks, **shape)
        )
    chains = [
        over_iterations(found, "label_accuracy", CHAIN_NAMES.get(name, name))
        for name, found in run.summary["chains"].items()
    ]
    if sum(bool(line.y) for line in chains) > 1:
        there = [line for line in chains if line.y]
        charts.append(
            Chart("labels", "True labels among the kept, by chain", there, ticks=ticks, **shape)
        )
    return Section(
        "difficulty",
        "Difficulty and labels",
        "p_hat, the share of the Solver's answers that agree, stays near one half when the "
        "Challenger does its work. It does not say whether the agreed answer is true: where p_hat "
        "holds and true labels fall, the loop teaches mistakes, and p_hat does not show it.",
        [*charts],
        run.sources["difficulty"],
        run.remarks["difficulty"] + ([] if charts else ["no labels have been made yet"]),
    )


def p_hats(run: Run) -> Section:
    charts = []
    most = max(
        (max((f.figures or {}).get("p_hat_histogram", [0])) for f in run.iterations), default=0
    )
    for found in run.iterations:
        counts = (found.figures or {}).get("p_hat_histogram")
        if counts:
            bars = Series("", [i / 10 for i in range(10)], counts)
            figures = found.figures or {}
            charts.append(
                Chart(
                    f"p-hat-{found.name}",
                    f"{found.name}: mean {figures['p_hat_mean']:.2f}",
                    [bars],
                    "p_hat",
                    "questions",
                    kind="bars",
                    format=".0f",
                    limits=(0, 1.05 * most),  # one scale, so that heights can be compared
                    shade=figures["band"],
                    small=True,
                )
            )
    return Section(
        "p-hat",
        "How sure the Solver was",
        "Questions by p_hat, a picture for each iteration: at the left the Solver is unsure, at "
        "the right it is sure. The filter keeps what is shaded.",
        [*charts],
        run.sources["p-hat"],
        run.remarks["questions"] or ([] if charts else ["nothing has been labelled yet"]),
    )
