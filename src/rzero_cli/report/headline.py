"""What a run came to in a few sentences: the best Solver, and what to be wary of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rzero_cli.analysis.comparison import compare_evaluations
from rzero_cli.analysis.drift import FEWEST, falls
from rzero_cli.data.json_text import read_object
from rzero_cli.report.parts import number, percent, shown
from rzero_cli.report.run_folder import Found, Run
from rzero_cli.report.summary import forgiving

__all__ = ["best_row", "facts", "verdict", "warnings"]

Row = dict[str, Any]

_FEW_KEPT = 0.1
"""Of the questions: steps being as many, each of fewer is trained on again and again."""
_FEW_TRUE = 0.5
"""Of the labels trained on: below it, most of what is rewarded is a mistake."""
_TRUE_FELL = 0.1
"""By so much the share of true labels may fall unsaid: as the paper's does from its first iteration
to the second, 79 % to 69 %."""
_MANY_NEAR = 0.5
"""Share of questions with an earlier near-duplicate: above it, most are an earlier one anew."""
_NEAR_ROSE = 0.1
"""By so much that share may rise unsaid, as self-BLEU may in `analysis.drift`."""
_MANY_IDLE = 0.8
"""Share of groups whose rewards are equal: above it, of five rollouts less than one teaches
something."""


def best_row(run: Run) -> dict[str, Any] | None:
    """The iteration whose Solver scores highest, the first of equals; None where none is scored."""
    rows = [row for row in run.summary["chains"].get("trained", []) if _score(row) is not None]
    return max(rows, key=lambda row: _score(row) or 0.0, default=None)


def _score(row: dict[str, Any]) -> float | None:
    return number(row["score"])


def _guard(run: Run) -> dict[str, Any] | None:
    """What the last `guard.json` says: where there is one, what to ship is its matter alone."""
    told = [found.guard for found in run.iterations if found.guard]
    return told[-1] if told else None


def verdict(run: Run) -> str:
    """The best Solver, and how much better than the base it is."""
    base, best = _score(run.summary["rows"][0]), best_row(run)
    if best is None:
        if base is None:
            return "Nothing has been evaluated yet."
        right = f"{percent(base)} % right"
        return f"No Solver has been evaluated yet; the base model answers {right}."
    name, score = best["model"], _score(best) or 0.0
    said = f"{percent(score)} % right{_interval(best)}"
    if _guard(run):  # which may ask other questions, and ship another one
        said = f"The Solver of {name} has the highest score of the iterations: {said}"
    elif base is not None and score <= base:
        said = f"The base model is the best of the loop. The best iteration is {name}: {said}"
    else:
        said = f"The best Solver is that of {name}: {said}"
    if base is None:
        return f"{said}. The base model's own result is not there, so nothing is compared with it."
    points = 100 * (score - base)
    said += f", {abs(points):.1f} points {'above' if points >= 0 else 'below'} the base model"
    found = _paired(run, "base", name)
    said += f" ({percent(base)} %){f'; {_between(*found[1:])}' if found else ''}."
    several = sum(_score(row) is not None for row in run.summary["chains"]["trained"])
    if several > 1:
        said += f" It was chosen among {several} by these same questions, which flatters it."
    return said


def _interval(row: dict[str, Any]) -> str:
    found = row["ci95"] if isinstance(row["ci95"], list) else []
    ends = [100 * end for value in found if (end := number(value)) is not None]
    return " (95 % interval {:.1f} to {:.1f})".format(*ends) if len(ends) == 2 else ""


def _paired(run: Run, one: str, other: str) -> tuple[float, float, float] | None:
    """How many points `other` is above `one`, both folders of the run, with its 95 % interval,
    paired by question; None where that is not possible."""
    # What cannot be paired, such as a score that is no mean over questions, has no such interval.
    with forgiving(lambda text: None, run.folder):
        first, last = (read_object(run.folder / part / "eval.json") for part in (one, other))
        compared = compare_evaluations(first, last)
        pairs = list(compared["averages"].values()) or [
            task["mean_at_k"] or task["greedy"] for task in compared["tasks"].values()
        ]
        if len(pairs) == 1 and pairs[0]["ci95"]:
            low, high = (100 * value for value in pairs[0]["ci95"])
            return 100 * pairs[0]["difference"], low, high
    return None


def _between(low: float, high: float) -> str:
    return f"95 % interval of the difference {low:+.1f} to {high:+.1f}"


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run: names and values."""
    settings = run.summary["settings"]
    first = settings.get("challenge") or settings.get("sample") or settings.get("label") or {}
    made = dict(
        part.split(" ", 1) for part in run.made_with.split(", ") if " " in part
    )  # model M, preset P, seed S
    model = made.get("model") or first.get("solver") or first.get("challenger") or "not recorded"
    rows = run.summary["chains"].get("trained", [])
    done = sum(_score(row) is not None for row in rows)
    planned = (
        f"of {run.planned} planned" if run.planned else "(how many were planned is not recorded)"
    )
    begun = f", {len(rows)} begun" if len(rows) > done else ""
    seeds = [
        str(record.get("settings", {}).get("seed"))
        for found in run.iterations
        for record in [found.records.get("challenge") or found.records.get("label") or {}]
        if record
    ]
    chains = [name for name in run.summary["chains"] if name != "trained"]
    guard = _guard(run)
    advice = [("What to ship", shown(f"{guard['ship']}, says the guard", 200))] if guard else []
    return [
        ("Run", shown(run.folder.resolve().name, 120)),
        ("Base model", shown(model, 200)),
        ("Preset", shown(made.get("preset") or first.get("preset") or "not recorded", 80)),
        ("Seed", shown(made.get("seed") or "not recorded", 40)),
        ("Seeds of the iterations", shown(", ".join(seeds) or "not recorded", 120)),
        ("Iterations", f"{done} done {planned}{begun}"),
        ("Beside it", ", ".join(chains) or "no baseline or ablation was run"),
        *advice,
    ]


def warnings(run: Run) -> list[str]:
    """What a reader should be wary of, in plain words."""
    parts = (_of_guards, _of_scores, _of_labels, _of_questions, _of_training)
    return [text for part in parts for text in part(run)]


def _of_guards(run: Run) -> list[str]:
    """The verdict of a guard that has stopped the loop."""
    return [
        f"The loop was stopped at {found.name}: {shown(found.guard['verdict'], 300)}"
        for found in run.iterations
        if found.guard and found.guard["tripped"]
    ]


def _of_scores(run: Run) -> Iterator[str]:
    rows = run.summary["chains"].get("trained", [])
    scored = [row for row in rows if _score(row) is not None]
    best, base = best_row(run), _score(run.summary["rows"][0])
    if best and scored and best is not scored[-1]:
        yield from _fall(run, best, scored[-1])
    if best and base is not None:
        gain = _paired(run, "base", best["model"])
        if (_score(best) or 0) <= base:
            yield "No iteration is better than the base model: nothing was gained."
        elif gain and gain[1] <= 0:
            yield "The best Solver is above the base model by no more than the noise."
    others = {row["model"]: row for row in run.summary["chains"].get("base-challenger", [])}
    both = [row for row in scored if _score(others.get(row["model"], {"score": None})) is not None]
    if both:
        yield from _beside(run, both[-1], others[both[-1]["model"]])
    if rows and len(scored) < len(rows):
        waiting = ", ".join(row["model"] for row in rows if _score(row) is None)
        yield f"The run is not finished: no evaluation yet of {waiting}."


def _fall(run: Run, best: Row, last: Row) -> Iterator[str]:
    """Of the last Solver below the best one, where that is more than noise."""
    found = _paired(run, best["model"], last["model"])
    lost = 100 * ((_score(best) or 0) - (_score(last) or 0))
    if (found is None and lost > 0) or (found and found[2] < 0):
        said = f"Accuracy fell by {lost:.1f} points from {best['model']} to {last['model']}"
        said += f" ({_between(*found[1:])})" if found else ""
        base = _score(run.summary["rows"][0])
        if not _guard(run) and (base is None or base < (_score(best) or 0)):
            said += f": the checkpoint to use is {best['model']}/solver, not the last one"
        yield f"{said}."


def _beside(run: Run, last: Row, baseline: Row) -> Iterator[str]:
    """Of the base Challenger's Solver after as many iterations, where the loop's is not above it by
    more than noise."""
    found = _paired(run, f"base-challenger/{baseline['model']}", last["model"])
    ahead = 100 * ((_score(last) or 0) - (_score(baseline) or 0))
    if ahead <= 0 or (found and found[1] <= 0):
        better = "does better" if found and found[2] < 0 else "does about as well"
        told = f"{ahead:+.1f} points for the trained one"
        told += f"; {_between(*found[1:])}" if found else ""
        yield (
            f"The base Challenger, which is never trained, {better} by {last['model']}, the last "
            f"iteration of which both are scored ({told}): training the Challenger did not pay "
            "here."
        )


def _of_labels(run: Run) -> Iterator[str]:
    rows = run.summary["chains"].get("trained", [])
    for row in rows:
        read, kept = number(row["questions"]), number(row["kept"])
        if read and kept is not None and kept < _FEW_KEPT * read:
            yield (
                f"{row['model']}: only {kept:.0f} of {read:.0f} questions were kept; the Solver "
                "trained on those few again and again."
            )
    known = [row for row in rows if number(row["label_accuracy"]) is not None]
    low = [row for row in known if row["label_accuracy"] < _FEW_TRUE]
    if low:
        told = ", ".join(f"{row['model']} {percent(row['label_accuracy'])} %" for row in low)
        yield (
            f"Fewer than half of the labels trained on are true ({told}): what the Solver gains "
            "from there on is sureness, not knowledge. p_hat does not show this."
        )
    elif len(known) > 1 and known[-1]["label_accuracy"] < known[0]["label_accuracy"] - _TRUE_FELL:
        yield (
            f"True labels fell from {percent(known[0]['label_accuracy'])} % to "
            f"{percent(known[-1]['label_accuracy'])} % of those trained on."
        )


def _of_questions(run: Run) -> Iterator[str]:
    there = [found for found in run.iterations if found.figures and found.figures.get("questions")]
    if len(there) > 1:
        first, last = there[0], there[-1]
        for text in falls(first.figures or {}, last.figures or {}):
            yield f"Diversity falls: from {first.name} to {last.name} {text}."
    if there:
        yield from _of_near_duplicates(there[0], there[-1])


def _of_near_duplicates(first: Found, last: Found) -> Iterator[str]:
    had, has = ((found.figures or {})["near_duplicates"] for found in (first, last))
    enough = all((found.figures or {})["compared"] >= FEWEST for found in (first, last))
    if enough and has > had + _NEAR_ROSE:
        yield (
            f"Near-duplicates of earlier questions rose from {percent(had)} % in {first.name} to "
            f"{percent(has)} % in {last.name}: the Challenger settles on a few templates."
        )
    elif min(had, has) > _MANY_NEAR:
        until = f", {percent(has)} % in {last.name}" if last is not first else ""
        yield (
            "Most questions are near-duplicates of earlier ones, from the first iteration on: "
            f"{percent(had)} % in {first.name}{until}. The Challenger asks by a few templates."
        )


def _of_training(run: Run) -> Iterator[str]:
    for found in run.iterations:
        for role, log in found.logs.items():
            idle = [
                value
                for line in log
                if (value := number(line.get("frac_reward_zero_std"))) is not None
            ]
            if idle and sum(idle) / len(idle) > _MANY_IDLE:
                yield (
                    f"{found.name}: in {sum(idle) / len(idle):.0%} of the {role}'s groups all "
                    "rewards were equal; those taught it nothing."
                )


def settings_text(run: Run) -> str:
    """The settings of each stage in the first iteration, as JSON."""
    return json.dumps(run.summary["settings"], indent=2, ensure_ascii=False)


def last_artefact(run: Run) -> Path | None:
    """What the lineage is told of: the latest artefact with a record."""
    for found in reversed(run.iterations):
        for name in ("eval.json", "solver", "train.jsonl", "labeled.jsonl", "challenger"):
            path = found.folder / name
            if path.is_file() or (path / "rzero.json").is_file():
                return path
    base = run.folder / "base" / "eval.json"
    return base if base.is_file() else None
