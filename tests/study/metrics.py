"""The plan with its collected runs, and the metrics of their models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .collect import KINDS
from .declared_plan import Part, Plan

__all__ = [
    *("LOOP", "OFF_TEMPLATE", "Json", "Metric", "Study"),
    *("kept_count", "kind_share", "label_accuracy", "last_kl", "measured", "question_metric"),
    "score",
]

LOOP = "trained"
"""The arm that others are compared with: the loop with a trained Challenger."""
OFF_TEMPLATE = KINDS.index("off-template")

Json = dict[str, Any]
Metric = Callable[[Json], float | None]
"""A number of one model of a run; None if the model lacks it."""


@dataclass(frozen=True)
class Study:
    """The plan, and the collected runs by base."""

    plan: Plan
    runs: dict[int, Json]

    def part(self, name: str) -> Part | None:
        return next((part for part in self.plan.parts if part.name == name), None)

    def planned(self, model: str) -> list[int]:
        """Return the bases for which the plan has a model, "base" or "ARM/K"."""
        arm, _, k = model.partition("/")
        bases: dict[int, None] = {}
        for part in self.plan.parts:
            if arm == "base" or (arm in part.arms and int(k) <= part.iterations):
                bases |= dict.fromkeys(part.bases)
        return list(bases)

    def run(self, base: int) -> Json:
        """Return the collected run of a base; empty if there is none."""
        return self.runs.get(base, {})

    def models(self, model: str, bases: Iterable[int]) -> dict[int, Json]:
        """Return a model by base, for the bases that have it."""
        there = {base: self.runs[base]["models"] for base in bases if base in self.runs}
        return {base: models[model] for base, models in there.items() if model in models}

    def values(self, model: str, metric: Metric, bases: Iterable[int]) -> dict[int, float]:
        """Return a metric of a model by base, for the bases that have it."""
        found = {base: metric(one) for base, one in self.models(model, bases).items()}
        return {base: value for base, value in found.items() if value is not None}

    def paired(self, a: str, b: str, metric: Metric, bases: Iterable[int]) -> list[float]:
        """Return model a minus model b, for each base that has both."""
        first, second = self.values(a, metric, bases), self.values(b, metric, bases)
        return [first[base] - second[base] for base in first if base in second]

    def guards(self, base: int, arm: str) -> Json:
        """Return the verdicts of the guards on an arm, by guard; empty if they did not run."""
        verdicts: Json = self.run(base).get("guards", {}).get(arm, {})
        return verdicts


def score(measure: str) -> Metric:
    """Return the metric of a score on the held-out set."""
    return lambda model: float(model["exam"][measure])


def label_accuracy(which: str = "kept") -> Metric:
    """Return the metric of label accuracy, over the `kept` or all generated (`asked`) questions."""

    def metric(model: Json) -> float | None:
        if which not in model:
            return None
        labelled = sum(model[which]["labelled"])
        return sum(model[which]["true"]) / labelled if labelled else None

    return metric


def measured(measure: str) -> Metric:
    """Return the metric of a declared measure."""
    return label_accuracy() if measure == "label_accuracy" else score(measure)


def question_metric(name: str) -> Metric:
    """Return a metric of the questions that an iteration's Challenger generated."""
    return lambda model: model["asked"].get(name) if "asked" in model else None


def kind_share(kind: int) -> Metric:
    """Return the metric of the fraction of one of `KINDS` among the generated questions."""

    def metric(model: Json) -> float | None:
        n = model["asked"]["n"] if "asked" in model else 0
        return model["asked"]["kinds"][kind] / n if n else None

    return metric


def kept_count(model: Json) -> float | None:
    """Return the number of kept questions."""
    return float(model["kept"]["n"]) if "kept" in model else None


def last_kl(model: Json) -> float | None:
    """Return the last KL logged by the Solver's training."""
    value = model.get("training", {}).get("solver", {}).get("kl")
    return None if value is None else float(value)
