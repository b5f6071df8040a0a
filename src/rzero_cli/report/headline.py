"""What a run came to in a few sentences: the best Solver, and what to be wary of."""

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


def _scored(run: Run) -> list[Row]:
    """The iterations whose Solver has a score."""
    return [row for row in _trained(run) if row["score"] is not None]


def _trained(run: Run) -> list[Row]:
    rows: list[Row] = run.summary["chains"].get("trained", [])
    return rows


def _best(run: Run) -> Row | None:
    """The iteration whose Solver scores highest, the first of equals; None where none is scored."""
    return max(_scored(run), key=lambda row: row["score"], default=None)


def _base(run: Run) -> float | None:
    """The base model's score."""
    score: float | None = run.summary["rows"][0]["score"]
    return score


def _guard(run: Run) -> dict[str, Any] | None:
    """What the last `guard.json` says: where there is one, what to ship is its matter alone."""
    told = [found.guard for found in run.iterations if found.guard]
    return told[-1] if told else None


def verdict(run: Run) -> str:
    """The best Solver, and how much better than the base it is."""
    base, best = _base(run), _best(run)
    if best is None:
        if base is None:
            return "Nothing has been evaluated yet."
        right = f"{percent(base)} % right"
        return f"No Solver has been evaluated yet; the base model answers {right}."
    name, score = best["model"], best["score"]
    said = f"{percent(score)} % right"
    if best["ci95"]:
        said += " (95 % interval {:.1f} to {:.1f})".format(*(100 * end for end in best["ci95"]))
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
    if (several := len(_scored(run))) > 1:
        said += f" It was chosen among {several} by these same questions, which flatters it."
    return said


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
    begun, done = len(_trained(run)), len(_scored(run))
    planned = (
        f"of {run.planned} planned" if run.planned else "(how many were planned is not recorded)"
    )
    records = [f.records.get("challenge") or f.records.get("label") for f in run.iterations]
    seeds = [str(record["settings"].get("seed")) for record in records if record]
    chains = [name for name in run.summary["chains"] if name != "trained"]
    guard = _guard(run)
    advice = [("What to ship", shown(f"{guard['ship']}, says the guard", 200))] if guard else []
    return [
        ("Run", shown(run.folder.resolve().name, 120)),
        ("Base model", shown(model, 200)),
        ("Preset", shown(made.get("preset") or first.get("preset") or "not recorded", 80)),
        ("Seed", shown(made.get("seed") or "not recorded", 40)),
        ("Seeds of the iterations", shown(", ".join(seeds) or "not recorded", 120)),
        ("Iterations", f"{done} done {planned}" + (f", {begun} begun" if begun > done else "")),
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
    scored, best, base = _scored(run), _best(run), _base(run)
    if best and best is not scored[-1]:
        yield from _fall(run, best, scored[-1])
    if best and base is not None:
        gain = _paired(run, "base", best["model"])
        if best["score"] <= base:
            yield "No iteration is better than the base model: nothing was gained."
        elif gain and gain[1] <= 0:
            yield "The best Solver is above the base model by no more than the noise."
    others = {row["model"]: row for row in run.summary["chains"].get("base-challenger", [])}
    both = [row for row in scored if others.get(row["model"], {}).get("score") is not None]
    if both:
        yield from _beside(run, both[-1], others[both[-1]["model"]])
    waiting = [row["model"] for row in _trained(run) if row["score"] is None]
    if waiting:
        yield f"The run is not finished: no evaluation yet of {', '.join(waiting)}."


def _fall(run: Run, best: Row, last: Row) -> Iterator[str]:
    """Of the last Solver below the best one, where that is more than noise."""
    found, lost = _paired(run, best["model"], last["model"]), 100 * (best["score"] - last["score"])
    if (found is None and lost > 0) or (found and found[2] < 0):
        said = f"Accuracy fell by {lost:.1f} points from {best['model']} to {last['model']}"
        said += f" ({_between(*found[1:])})" if found else ""
        base = _base(run)
        if not _guard(run) and (base is None or base < best["score"]):
            said += f": the checkpoint to use is {best['model']}/solver, not the last one"
        yield f"{said}."


def _beside(run: Run, last: Row, baseline: Row) -> Iterator[str]:
    """Of the base Challenger's Solver after as many iterations, where the loop's is not above it by
    more than noise."""
    found = _paired(run, f"base-challenger/{baseline['model']}", last["model"])
    ahead = 100 * (last["score"] - baseline["score"])
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
    for row in _trained(run):
        read, kept = row["questions"], row["kept"]
        if read and kept is not None and kept < _FEW_KEPT * read:
            yield (
                f"{row['model']}: only {kept:.0f} of {read:.0f} questions were kept; the Solver "
                "trained on those few again and again."
            )
    known = {
        row["model"]: row["label_accuracy"]
        for row in _trained(run)
        if row["label_accuracy"] is not None
    }
    shares = list(known.values())
    if low := [f"{name} {percent(share)} %" for name, share in known.items() if share < _FEW_TRUE]:
        yield (
            f"Fewer than half of the labels trained on are true ({', '.join(low)}): what the "
            "Solver gains from there on is sureness, not knowledge. p_hat does not show this."
        )
    elif len(shares) > 1 and shares[-1] < shares[0] - _TRUE_FELL:
        yield (
            f"True labels fell from {percent(shares[0])} % to {percent(shares[-1])} % of those "
            "trained on."
        )


def _of_questions(run: Run) -> Iterator[str]:
    there = [found for found in run.iterations if found.figures.get("questions")]
    if len(there) > 1:
        first, last = there[0], there[-1]
        for text in falls(first.figures, last.figures):
            yield f"Diversity falls: from {first.name} to {last.name} {text}."
    if there:
        yield from _of_near_duplicates(there[0], there[-1])


def _of_near_duplicates(first: Found, last: Found) -> Iterator[str]:
    had, has = (found.figures["near_duplicates"] for found in (first, last))
    enough = all(found.figures["compared"] >= FEWEST for found in (first, last))
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
            idle = numbers(line.get("frac_reward_zero_std") for line in log)
            if idle and sum(idle) / len(idle) > _MANY_IDLE:
                yield (
                    f"{found.name}: in {sum(idle) / len(idle):.0%} of the {role}'s groups all "
                    "rewards were equal; those taught it nothing."
                )
