"""The headline of a report: the best Solver, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rzero_cli.analysis.comparison import compare_evaluations
from rzero_cli.analysis.drift import FEWEST, falls
from rzero_cli.data.json_text import read_object
from rzero_cli.report.parts import numbers, percent, shown
from rzero_cli.report.run_folder import Found, Run
from rzero_cli.report.summary import forgiving

Row = dict[str, Any]

_FEW_KEPT = 0.1
"""Fraction of questions kept; the number of steps is fixed, so below it each is seen very often."""
_FEW_TRUE = 0.5
"""Fraction of the training labels that is true; below it, most rewarded answers are wrong."""
_TRUE_FELL = 0.1
"""Tolerated fall of that fraction, the paper's from iteration 1 to 2: 79 % to 69 %."""
_MANY_NEAR = 0.5
"""Fraction of questions with an earlier near-duplicate; above it, most are repetitions."""
_NEAR_ROSE = 0.1
"""Tolerated rise of that fraction, as for self-BLEU in `analysis.drift`."""
_MANY_IDLE = 0.8
"""Fraction of groups with equal rewards; above it, fewer than one group in five has a gradient."""


def _scored(run: Run) -> list[Row]:
    """Return the iterations whose Solver has a score."""
    return [row for row in _trained(run) if row["score"] is not None]


def _trained(run: Run) -> list[Row]:
    rows: list[Row] = run.summary["chains"].get("trained", [])
    return rows


def _best(run: Run) -> Row | None:
    """Return the iteration with the best score, the earliest of equals; None without scores."""
    return max(_scored(run), key=lambda row: row["score"], default=None)


def _base(run: Run) -> float | None:
    """Return the base model's score."""
    score: float | None = run.summary["rows"][0]["score"]
    return score


def _guard(run: Run) -> dict[str, Any] | None:
    """Return the last `guard.json`; if there is one, it alone decides what to ship."""
    guards = [found.guard for found in run.iterations if found.guard]
    return guards[-1] if guards else None


def verdict(run: Run) -> str:
    """Return a sentence on the best Solver and its gain over the base model."""
    base, best = _base(run), _best(run)
    if best is None:
        if base is None:
            return "Nothing has been evaluated yet."
        return f"No Solver has been evaluated yet; the base model has {percent(base)} % accuracy."
    name, score = best["model"], best["score"]
    text = f"{percent(score)} % accuracy"
    if best["ci95"]:
        text += " (95 % interval {:.1f} to {:.1f})".format(*(100 * end for end in best["ci95"]))
    if _guard(run):  # which may use other questions and ship another Solver
        text = f"The Solver of {name} has the highest score of the iterations: {text}"
    elif base is not None and score <= base:
        text = f"No Solver is better than the base model. The best iteration is {name}: {text}"
    else:
        text = f"The best Solver is that of {name}: {text}"
    if base is None:
        return f"{text}. There is no result of the base model to compare it with."
    points = 100 * (score - base)
    text += f", {abs(points):.1f} points {'above' if points >= 0 else 'below'} the base model"
    found = _paired(run, "base", name)
    text += f" ({percent(base)} %){f'; {_between(*found[1:])}' if found else ''}."
    if (several := len(_scored(run))) > 1:
        text += f" It was selected among {several} on these questions, so its score is biased up."
    return text


def _paired(run: Run, one: str, other: str) -> tuple[float, float, float] | None:
    """Return (difference, low, high) of folder `other` minus `one`, in points.

    The interval is the 95 % one, paired by question; None if the two cannot be paired.
    """
    # A score that is not a mean over questions, for one, cannot be paired.
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
    """Return names and values that describe the run."""
    settings = run.summary["settings"]
    first = settings.get("challenge") or settings.get("sample") or settings.get("label") or {}
    made = dict(
        part.split(" ", 1) for part in run.made_with.split(", ") if " " in part
    )  # model M, preset P, seed S
    model = made.get("model") or first.get("solver") or first.get("challenger") or "not recorded"
    started, done = len(_trained(run)), len(_scored(run))
    planned = f"of {run.planned} planned" if run.planned else "(planned number not recorded)"
    records = [f.records.get("challenge") or f.records.get("label") for f in run.iterations]
    seeds = [str(record["settings"].get("seed")) for record in records if record]
    chains = [name for name in run.summary["chains"] if name != "trained"]
    guard = _guard(run)
    advice = [("Ship", shown(f"{guard['ship']} (chosen by the guard)", 200))] if guard else []
    return [
        ("Run", shown(run.folder.resolve().name, 120)),
        ("Base model", shown(model, 200)),
        ("Preset", shown(made.get("preset") or first.get("preset") or "not recorded", 80)),
        ("Seed", shown(made.get("seed") or "not recorded", 40)),
        ("Seeds of the iterations", shown(", ".join(seeds) or "not recorded", 120)),
        ("Iterations", f"{done} done {planned}" + (f", {started} started" * (started > done))),
        ("Baselines and ablations", ", ".join(chains) or "none"),
        *advice,
    ]


def warnings(run: Run) -> list[str]:
    """Return the warnings, one sentence or two each."""
    parts = (_of_guards, _of_scores, _of_labels, _of_questions, _of_training)
    return [text for part in parts for text in part(run)]


def _of_guards(run: Run) -> list[str]:
    """Return the verdict of a guard that stopped the loop."""
    return [
        f"The loop was stopped at {found.name}: {shown(found.guard['verdict'], 300)}"
        for found in run.iterations
        if found.guard and found.guard["tripped"]
    ]


def _of_scores(run: Run) -> Iterator[str]:
    scored, best, base = _scored(run), _best(run), _base(run)
    if best and best is not scored[-1]:
        yield from _fall(run, best, scored[-1])
    if best and base is not None:
        gain = _paired(run, "base", best["model"])
        if best["score"] <= base:
            yield "No iteration is better than the base model."
        elif gain and gain[1] <= 0:
            yield "The best Solver's gain over the base model is within the noise."
    others = {row["model"]: row for row in run.summary["chains"].get("base-challenger", [])}
    both = [row for row in scored if others.get(row["model"], {}).get("score") is not None]
    if both:
        yield from _no_better(run, both[-1], others[both[-1]["model"]])
    waiting = [row["model"] for row in _trained(run) if row["score"] is None]
    if waiting:
        yield f"The run is not finished: {', '.join(waiting)} not evaluated yet."


def _fall(run: Run, best: Row, last: Row) -> Iterator[str]:
    """Warn if the last Solver is below the best one by more than the noise."""
    found, lost = _paired(run, best["model"], last["model"]), 100 * (best["score"] - last["score"])
    if (found is None and lost > 0) or (found and found[2] < 0):
        text = f"Accuracy fell by {lost:.1f} points from {best['model']} to {last['model']}"
        text += f" ({_between(*found[1:])})" if found else ""
        base = _base(run)
        if not _guard(run) and (base is None or base < best["score"]):
            text += f": use the checkpoint {best['model']}/solver, not the last one"
        yield f"{text}."


def _no_better(run: Run, last: Row, baseline: Row) -> Iterator[str]:
    """Warn unless the Solver beats the base Challenger's at the same iteration beyond the noise."""
    found = _paired(run, f"base-challenger/{baseline['model']}", last["model"])
    ahead = 100 * (last["score"] - baseline["score"])
    if ahead <= 0 or (found and found[1] <= 0):
        better = "does better" if found and found[2] < 0 else "does about as well"
        points = f"{ahead:+.1f} points for the trained one"
        points += f"; {_between(*found[1:])}" if found else ""
        yield (
            f"The base Challenger, which is never trained, {better} at {last['model']}, the last "
            f"iteration with both scores ({points}): training the Challenger did not help."
        )


def _of_labels(run: Run) -> Iterator[str]:
    for row in _trained(run):
        read, kept = row["questions"], row["kept"]
        if read and kept is not None and kept < _FEW_KEPT * read:
            yield (
                f"{row['model']}: only {kept:.0f} of {read:.0f} questions were kept; the Solver "
                "saw each of them many times."
            )
    known = {
        row["model"]: row["label_accuracy"]
        for row in _trained(run)
        if row["label_accuracy"] is not None
    }
    shares = list(known.values())
    if low := [f"{name} {percent(share)} %" for name, share in known.items() if share < _FEW_TRUE]:
        yield (
            f"Fewer than half of the training labels are true ({', '.join(low)}): from there on "
            "the Solver gains confidence, not accuracy. p_hat does not show this."
        )
    elif len(shares) > 1 and shares[-1] < shares[0] - _TRUE_FELL:
        yield (
            f"True labels fell from {percent(shares[0])} % to {percent(shares[-1])} % of the "
            "training labels."
        )


def _of_questions(run: Run) -> Iterator[str]:
    there = [found for found in run.iterations if found.metrics.get("questions")]
    if len(there) > 1:
        first, last = there[0], there[-1]
        for text in falls(first.metrics, last.metrics):
            yield f"Diversity falls: from {first.name} to {last.name} {text}."
    if there:
        yield from _of_near_duplicates(there[0], there[-1])


def _of_near_duplicates(first: Found, last: Found) -> Iterator[str]:
    had, has = (found.metrics["near_duplicates"] for found in (first, last))
    enough = all(found.metrics["compared"] >= FEWEST for found in (first, last))
    if enough and has > had + _NEAR_ROSE:
        yield (
            f"Near-duplicates of earlier questions rose from {percent(had)} % in {first.name} to "
            f"{percent(has)} % in {last.name}: the Challenger converges to a few templates."
        )
    elif min(had, has) > _MANY_NEAR:
        until = f", {percent(has)} % in {last.name}" if last is not first else ""
        yield (
            "Most questions are near-duplicates of earlier ones, from the first iteration on: "
            f"{percent(had)} % in {first.name}{until}. The Challenger uses only a few templates."
        )


def _of_training(run: Run) -> Iterator[str]:
    for found in run.iterations:
        for role, log in found.logs.items():
            idle = numbers(line.get("frac_reward_zero_std") for line in log)
            if idle and sum(idle) / len(idle) > _MANY_IDLE:
                yield (
                    f"{found.name}: in {sum(idle) / len(idle):.0%} of the {role}'s groups all "
                    "rewards were equal, so they gave no gradient."
                )
