"""The sections on the process: training, questions, signs of collapse, time, settings."""

from __future__ import annotations

import json
import os.path
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from rzero_cli.data.ancestry import Node, nodes, trace
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.method.plan import LENGTH, tokens_written
from rzero_cli.report.parts import Chart, Item, Section, Series, Table, Text, Tree, number, shown
from rzero_cli.report.result_tables import charts_of_shares, over_iterations
from rzero_cli.report.run_folder import Found, Run
from rzero_cli.report.summary import STAGES, forgiving, records_of
from rzero_cli.report.training import training_charts

# ---------------------------------------------------------------- training, questions


def training(run: Run) -> Section:
    charts = [
        chart
        for role in ("challenger", "solver")
        for chart in training_charts(
            role, [(found.name, found.logs.get(role, [])) for found in run.iterations]
        )
    ]
    return Section(
        "training",
        "Training",
        "Reward, KL to the reference model, entropy, completion length and groups without a "
        "gradient, by update. Vertical lines separate the iterations.",
        [*charts],
        run.sources["training"],
        run.remarks["training"] or ([] if charts else ["nothing has been trained yet"]),
    )


_UNFOLDED = 3


def questions(run: Run) -> Section:
    there = [found.questions for found in run.iterations if found.questions]
    # If there are many iterations, unfold only the first and the last.
    ends = there if len(there) <= _UNFOLDED else (there[0], there[-1])
    blocks = [replace(one, unfolded=one in ends) for one in there]
    return Section(
        "questions",
        "Questions",
        "The largest clusters of similar questions, by the distance of the Challenger's repetition "
        "penalty, and examples with the Solver's votes: those with the highest, the middle and the "
        "lowest p_hat within the filter's interval, and one outside it.",
        [*blocks],
        run.sources["questions"],
        [] if blocks else ["no questions yet"],
    )


# Key of analysis.diversity, name, and whether it is a fraction to show in %.
_INDICATORS: tuple[tuple[str, str, bool], ...] = (
    ("questions", "questions", False),
    ("valid", "valid %", True),
    ("distinct_questions", "distinct questions", False),
    ("distinct_answers", "distinct answers", False),
    ("near_duplicates", "near-duplicates %", True),
    ("self_bleu", "self-BLEU", False),
    ("top_10_answers", "top 10 answers %", True),
    ("clusters", "clusters", False),
    ("largest_cluster", "largest cluster %", True),
    ("vote_entropy", "vote entropy", False),
    ("words", "words each", False),
)
# Name and title of each chart, and its lines by their key in analysis.diversity.
_PICTURES = (
    (
        "distinct",
        "Diversity",
        {"distinct_questions": "distinct questions", "distinct_answers": "distinct answers"},
    ),
    (
        "repetition",
        "Repetition",
        {
            "near_duplicates": "near-duplicates",
            "top_10_answers": "10 most frequent answers",
            "self_bleu": "self-BLEU",
        },
    ),
)


def collapse(run: Run) -> Section:
    there = {
        found.name: found.metrics for found in run.iterations if found.metrics.get("questions")
    }
    shares = [
        metrics
        | {
            "model": name,
            "distinct_questions": _ratio(metrics, "distinct_questions", "questions"),
            "distinct_answers": _ratio(metrics, "distinct_answers", "labelled"),
        }
        for name, metrics in there.items()
    ]
    numbers = {float(n): n for n in (name.removeprefix("iter-") for name in there)}
    blocks: list[Chart | Table] = []
    for id, title, keys in _PICTURES:
        lines = [over_iterations(shares, key, name) for key, name in keys.items()]
        blocks += charts_of_shares(id, title, lines, numbers)
    every = list(there.values())
    rows = [
        [name + _of_a_sample(key, every), *(_indicator(one.get(key), share) for one in every)]
        for key, name, share in _INDICATORS
        if any(number(one.get(key)) is not None for one in every)
    ]
    if rows:
        title = "Collapse indicators of the labelled questions"
        blocks.append(Table(title, ("indicator", *there), rows))
    return Section(
        "collapse",
        "Signs of collapse",
        "In a collapsing loop the Challenger generates ever fewer kinds of questions with ever "
        "fewer answers, while p_hat hardly changes. The signs are falling diversity and rising "
        "repetition.",
        [*blocks],
        run.sources["collapse"],
        [] if blocks else ["no questions yet"],
    )


_SAMPLES = {
    "near_duplicates": "compared",
    "self_bleu": "sampled",
    "clusters": "sampled",
    "largest_cluster": "sampled",
}
"""Metric -> the key with the size of its sample."""


def _of_a_sample(key: str, every: list[dict[str, Any]]) -> str:
    size = _SAMPLES.get(key, "")
    sizes = [one[size] for one in every if size in one and one[size] < one["questions"]]
    if not sizes:
        return ""
    return f", of a sample of {max(sizes):,}{'' if len(sizes) == len(every) else ' at most'}"


def _ratio(metrics: dict[str, Any], part: str, of: str) -> float | None:
    return metrics[part] / metrics[of] if metrics.get(of) and part in metrics else None


def _indicator(value: Any, share: bool) -> str:
    found = number(value)
    if found is None:
        return "-"
    if share and 0 <= found <= 1:
        return f"{100 * found:.1f}"
    return f"{value:,}" if isinstance(value, int) else f"{found:.2f}"


# ---------------------------------------------------------------- time, settings


def time(run: Run) -> Section:
    there = [run.base, *run.iterations] if run.base.records else run.iterations
    ticks = {float(i): found.name.removeprefix("iter-") for i, found in enumerate(there)}
    # Unit -> stage -> the value of each iteration.
    costs = {
        unit: {stage: [_cost(found, stage, unit) for found in there] for stage in (*STAGES, "eval")}
        for unit in ("seconds", "tokens")
    }
    blocks: list[Chart | Table] = []
    for unit, by_stage in costs.items():
        # Stages too short to be visible would only crowd the legend; the table has them.
        most = max(map(sum, zip(*by_stage.values(), strict=True)), default=0)
        visible = [
            Series(stage, [*ticks], values)
            for stage, values in by_stage.items()
            if max(values, default=0) > 0.005 * most
        ]
        if visible:
            blocks.append(
                Chart(
                    unit,
                    f"{unit.capitalize()} of each stage",
                    visible,
                    "iteration",
                    unit if unit == "seconds" else "tokens generated",
                    kind="stacked",
                    format=",.0f",
                    ticks=ticks,
                )
            )
    rows = [
        [stage]
        + [
            cell
            for seconds, tokens in zip(costs["seconds"][stage], costs["tokens"][stage], strict=True)
            for cell in (f"{seconds:,.1f}" if seconds else "-", f"{tokens:,.0f}" if tokens else "-")
        ]
        for stage in costs["seconds"]
        if any(costs["seconds"][stage] + costs["tokens"][stage])
    ]
    if rows:
        head = [f"{found.name} {unit}" for found in there for unit in ("s", "tokens")]
        blocks.append(Table("Seconds and tokens of each stage", ("stage", *head), rows))
    if activities := _by_activity(there, [*costs["seconds"]]):
        blocks.append(activities)
    return Section(
        "time",
        "Time and tokens",
        "Wall-clock seconds and generated tokens. For an interrupted stage, the seconds, and the "
        "tokens of sample and label, are those of its last process; eval and a finished training "
        "count all tokens. A training counts the policy's completions, without the Solver's "
        "answers in challenge.",
        [*blocks],
        run.sources["time"],
        run.remarks["time"] if blocks or run.remarks["time"] else ["no stage has finished yet"],
    )


def _by_activity(there: list[Found], stages: list[str]) -> Table | None:
    """Return the time of each stage divided among its activities, over all iterations."""
    spent = {stage: defaultdict[str, float](float) for stage in stages}
    for found in there:
        for stage, seconds in spent.items():
            known = found.records.get(stage, {}).get("spent")
            for activity, value in known.items() if isinstance(known, dict) else ():
                seconds[shown(str(activity), 40)] += number(value) or 0.0
    activities = {activity: None for seconds in spent.values() for activity in seconds}
    rows = [
        [
            stage,
            *(f"{100 * seconds[one] / total:.1f}" if one in seconds else "-" for one in activities),
        ]
        for stage, seconds in spent.items()
        if (total := sum(seconds.values()))
    ]
    head = ("stage", *(f"{one} %" for one in activities))
    return Table("Time of each stage by activity", head, rows) if rows else None


def _cost(found: Found, stage: str, unit: str) -> float:
    """Return the seconds or tokens of a stage, 0 if unknown."""
    record = found.records.get(stage, {})
    cost = number(record.get(unit))
    if cost is None and unit == "tokens":
        log = found.logs.get(STAGES.get(stage, ""), [])
        lengths = [{LENGTH: number(line.get(LENGTH)) or 0.0} for line in log]
        rollouts = number(record.get("plan", {}).get("rollouts_per_step")) or 0
        cost = number(tokens_written(lengths, int(rollouts)))
    return cost or 0.0


def settings(run: Run) -> Section:
    blocks: list[Text | Tree] = []
    for path in records_of(run.folder / "iter-1"):
        run.uses(path, "settings")
    if run.summary["settings"]:
        text = json.dumps(run.summary["settings"], indent=2, ensure_ascii=False)
        blocks.append(Text("Settings of each stage in the first iteration", shown(text, 20_000)))
    if (last := _last_artefact(run)) is not None:
        with forgiving(run.remark("headline"), last):
            tree = trace(str(last))
            _name_traced(tree, run)
            name = os.path.relpath(last, run.folder)
            blocks.append(Tree(f"Lineage of {shown(name)}", [_item(tree, run.folder)]))
    return Section(
        "settings",
        "Settings and lineage",
        "The settings of each stage, and the files that the last artefact was made from, back to "
        "the base model, with their current state.",
        [*blocks],
        run.sources["settings"],
        run.remarks["headline"],
    )


def _last_artefact(run: Run) -> Path | None:
    """Return the latest artefact with a record."""
    names = ("eval.json", "solver", "train.jsonl", "labeled.jsonl", "challenger")
    paths = [found.folder / name for found in reversed(run.iterations) for name in names]
    for path in (*paths, run.base.folder / "eval.json"):
        if path.is_file() or (path / CHECKPOINT_META).is_file():
            return path
    return None


def _name_traced(tree: Node, run: Run) -> None:
    """Add the files of the run that a lineage used, hashed files and records, to the sources."""
    for node in nodes(tree):
        path = Path(node["path"])
        for read in (path, file_meta_path(path), path / CHECKPOINT_META):
            try:
                within = read.resolve().relative_to(run.folder.resolve())
                run.uses(run.folder / within, "settings")
            except (OSError, ValueError):  # outside the run, or not a path
                continue


_MOST_ITEMS, _DEEPEST = 12, 60


def _item(node: Node, folder: Path, depth: int = 0) -> Item:
    facts = [node["stage"], (node["sha256"] or "")[:12]]
    facts += [f"{key} {node[key]}" for key in ("seed", "preset") if node[key] is not None]
    state = {"unchanged": "", "changed": "changed since", "unchecked": "not hashed"}
    above = "see above" if node["above"] else ""
    remarks = [state.get(node["state"], node["state"]), node["note"], above]
    parents = node["parents"][:_MOST_ITEMS] if depth < _DEEPEST else []
    return Item(
        text=shown(" · ".join([_relative(node["path"], folder), *filter(None, facts)]), 300),
        remark=shown(", ".join(filter(None, remarks)), 200),
        is_wrong=node["state"] in ("changed", "missing") or bool(node["note"]),
        items=[_item(parent, folder, depth + 1) for parent in parents],
    )


def _relative(path: str, folder: Path) -> str:
    """Return a path relative to the run if it is near, so that pages do not show home folders."""
    if not Path(path).is_absolute():  # a hub name, a pipe
        return path
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
    return path if relative.startswith("../../../") else relative
