"""Tables of the runs: the list of runs, and the time and tokens of their stages."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generate import table

from .cells import number, with_note
from .metrics import LOOP, Study

__all__ = ["costs", "runs"]

_STAGES = ("challenge", "sample", "label", "filter", "train-solver", "eval")


def costs(study: Study) -> str:
    """Return the table of seconds and tokens of the loop's stages, by iteration."""
    part = study.plan.parts[0]
    models = [f"{LOOP}/{k}" for k in range(1, part.iterations + 1)]

    def made() -> str:
        rows = []
        for stage in _STAGES:
            cells = [number(_costs(study, m, stage, "seconds", part.bases), 1) for m in models]
            start_ups, tokens = (
                [value for m in models for value in _costs(study, m, stage, name, part.bases)]
                for name in ("start_up", "tokens")
            )
            mean_tokens = f"{sum(tokens) / len(tokens):,.0f}" if tokens else "-"
            rows.append((f"`{stage}`", *cells, number(start_ups, 1), mean_tokens))
        head = ("Stage", "seconds: iteration 1", *(f"{k}" for k in range(2, len(models) + 1)))
        return table((*head, "of which start-up", "tokens"), rows)

    return with_note(study, dict.fromkeys(models, part.bases), made)


def _costs(study: Study, model: str, stage: str, name: str, bases: Sequence[int]) -> list[float]:
    found = study.models(model, bases).values()
    stages = [one["exam"] if stage == "eval" else one["stages"].get(stage, {}) for one in found]
    return [one[name] for one in stages if name in one]


def runs(study: Study) -> str:
    """Return the table of the collected runs and their versions; bases that agree share a row."""
    planned: dict[int, list[str]] = {}
    for part in study.plan.parts:
        for base in part.bases:
            planned.setdefault(base, []).append(part.name)
    absent: list[tuple[str, ...]] = []
    shared: dict[tuple[str, ...], list[str]] = {}
    for base, names in planned.items():
        run = study.run(base)
        if not run:
            absent.append((f"{base}", "", f"none of {', '.join(names)}", "", "", ""))
            continue
        done = [name for name in names if _is_done(study, name, base)]
        rest = [name for name in names if name not in done]
        versions = ", ".join(f"{name} {of}" for name, of in run["versions"].items())
        cells = (", ".join(done), ", ".join(rest) or "-", run["finished"], f"{run['cores']}")
        shared.setdefault((*cells, versions), []).append(f"{base}")
    rows = [(", ".join(bases), *cells) for cells, bases in shared.items()] + absent
    return table(("bases (seeds)", "parts", "missing", "finished", "cores", "versions"), rows)


def _is_done(study: Study, name: str, base: int) -> bool:
    part = study.part(name)
    assert part is not None
    run = study.runs[base]
    models = {f"{arm}/{part.iterations}" for arm in part.arms}
    has_difficulty = not part.difficulty or "difficulty" in run
    has_guards = not part.guard or all(study.guards(base, arm) for arm in part.arms)
    return models <= run["models"].keys() and has_difficulty and has_guards
