"""Tables of scores: by model, by kind of held-out question, and on each iteration's questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from docs.generate import table
from rzero_cli.world.questions import LEVELS, heldout_rows

from .cells import ARM_NAMES, bases_cell, difference, missing, model_name, percent, with_note
from .collect import KINDS, values_by_question
from .metrics import LOOP, Json, Study, score

__all__ = ["controls", "difficulty", "headline", "scores", "skills"]

_SCORES = ("mean_at_k", "greedy", "maj_at_k")  # in the order of the columns


def scores(study: Study) -> str:
    """Return the scores of the main arms after each iteration, of others after the last."""
    models = ["base"]
    seen: set[str] = set()
    for place, part in enumerate(study.plan.parts):
        arms = [arm for arm in part.arms if arm not in seen]
        seen |= {*arms}
        for arm in arms:
            first = part.iterations if place else 1
            models += [f"{arm}/{k}" for k in range(first, part.iterations + 1)]
    return _scores(study, models)


def headline(study: Study) -> str:
    """The trained Challenger against the base Challenger, for the README."""
    part = study.plan.parts[0]
    return _scores(study, ["base", *(f"{chain}/{part.iterations}" for chain in part.chains)])


def _scores(study: Study, models: Sequence[str]) -> str:
    planned = {model: study.planned(model) for model in models}
    return with_note(study, planned, lambda: _score_table(study, planned))


def _score_table(study: Study, planned: Mapping[str, Sequence[int]]) -> str:
    rows = []
    for model, bases in planned.items():
        k = model.partition("/")[2]
        by_score = [study.values(model, score(name), bases) for name in _SCORES]
        differences = [
            difference(study.paired(model, other, score("mean_at_k"), bases))
            if k and model != other
            else "-"
            for other in ("base", f"{LOOP}/{k}")
        ]
        there = bases_cell(len(study.models(model, bases)), bases)
        cells = [percent(values.values()) for values in by_score]
        rows.append((model_name(model), there, *cells, *differences))
    head = ("Solver", "bases", "mean@8 %", "greedy %", "maj@8 %", "vs. base (95 % CI)")
    return table((*head, "vs. trained Challenger (95 % CI)"), rows)


def controls(study: Study) -> str:
    """Return the scores of the loop and the controls after each iteration."""
    part = study.part("controls")
    if part is None:
        return "No controls are planned.\n"
    bases, last = part.bases, part.iterations
    arms = [LOOP, *part.chains]
    steps = range(1, last + 1)

    def made() -> str:
        rows = []
        for arm in arms:
            models = [f"{arm}/{k}" for k in steps]
            there = bases_cell(len(study.models(models[-1], bases)), bases)
            means = [
                percent(study.values(model, score("mean_at_k"), bases).values())
                for model in ("base", *models)
            ]
            greedy = percent(study.values(models[-1], score("greedy"), bases).values())
            gain = difference(study.paired(models[-1], "base", score("mean_at_k"), bases))
            rows.append((ARM_NAMES[arm], there, *means, greedy, gain))
        head = ("Solver", "bases", "mean@8 %: base", *(f"after {k}" for k in steps))
        return table((*head, f"greedy % after {last}", "vs. base (95 % CI)"), rows)

    return with_note(study, dict.fromkeys([f"{arm}/{last}" for arm in arms], bases), made)


def skills(study: Study) -> str:
    """Return scores by how well the base model knows a phrasing, and by number of digits."""
    part = study.plan.parts[0]
    models = ["base"]
    models += [f"{arm}/{part.iterations}" for arm in part.chains if arm != LOOP]
    models += [f"{LOOP}/{k}" for k in range(1, part.iterations + 1)]

    def made() -> str:
        rows = []
        for group in (*KINDS[:3], *LEVELS):
            cells = [percent(_group_means(study, model, part.bases, group)) for model in models]
            rows.append([group if isinstance(group, str) else f"{group} digits", *cells])
        counts = [bases_cell(len(study.models(m, part.bases)), part.bases) for m in models]
        return table(("mean@8 %", *map(model_name, models)), [*rows, ["bases", *counts]])

    return with_note(study, dict.fromkeys(models, part.bases), made)


def _group_means(study: Study, model: str, bases: Sequence[int], group: str | int) -> list[float]:
    """Return mean@k over the questions of a kind or level, for each base."""
    means = []
    for base, found in study.models(model, bases).items():
        run = study.runs[base]
        values = values_by_question(found["exam"], "mean_at_k", run["questions"], run["k"])
        wanted = [
            value
            for value, (phrasing, level) in zip(values, _phrasings_and_levels(), strict=True)
            if (level == group if isinstance(group, int) else phrasing in run["world"][group])
        ]
        means.append(sum(wanted) / len(wanted))
    return means


@cache
def _phrasings_and_levels() -> list[tuple[object, object]]:
    """Return those of the held-out questions; number and order are the same for every base."""
    return [(row["skill"], row["level"]) for row in heldout_rows(0)]


def difficulty(study: Study) -> str:
    """Return the scores of every Solver on every iteration's questions, as means over bases."""
    planned = [base for part in study.plan.parts if part.difficulty for base in part.bases]
    found = {b: study.runs[b]["difficulty"] for b in planned if "difficulty" in study.run(b)}
    line = missing(planned, found)
    lines = [f"**Not complete**: {line}.\n"] if line else []
    if found:
        lines.insert(0, _difficulty_table([*found.values()]))
    return "\n".join(lines)


def _difficulty_table(found: Sequence[Json]) -> str:
    solvers = found[0]["solvers"]
    rows = []
    for place, row in enumerate(found[0]["rows"]):
        same = [one["rows"][place] for one in found]
        cells = [
            percent([one["scores"][solver] for one in same if solver in one["scores"]])
            for solver in solvers
        ]
        labels = (
            percent([one[name] for one in same if one[name] is not None])
            for name in ("p_hat_mean", "label_accuracy")
        )
        k = row["questions"].removeprefix("iter-")
        rows.append((f"of iteration {k}", *cells, *labels))
    names = [name.replace("iter-", "after ") for name in solvers]
    head = ("Questions", "greedy %: base", *names[1:], "p_hat %", "true labels %")
    return table(head, rows)
