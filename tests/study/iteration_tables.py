"""Tables of the loop by iteration: questions, labels, and the verdicts of the guards."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generate import table
from rzero_cli.report.summary import CHAIN_NAMES

from .cells import bases_cell, number, percent, with_note
from .collect import KINDS
from .metrics import (
    OFF_TEMPLATE,
    Metric,
    Study,
    kept_count,
    kind_share,
    label_accuracy,
    last_kl,
    question_metric,
    score,
)

__all__ = ["iterations", "long_run"]


def iterations(study: Study) -> str:
    """Return the table of generated and kept questions of the main arms."""
    part = study.plan.parts[0]
    models = [f"{arm}/{k}" for arm in part.chains for k in range(1, part.iterations + 1)]
    planned = dict.fromkeys(models, part.bases)
    return with_note(study, planned, lambda: _iterations(study, models, part.bases))


def _iterations(study: Study, models: Sequence[str], bases: Sequence[int]) -> str:
    rows = []
    for model in models:

        def of(metric: Metric, model: str = model) -> list[float]:
            return [*study.values(model, metric, bases).values()]

        arm, _, k = model.partition("/")
        rows.append(
            (
                CHAIN_NAMES[arm],
                k,
                bases_cell(len(study.models(model, bases)), bases),
                number(of(question_metric("p_hat_mean")), 2),
                number(of(kept_count)),
                percent(of(label_accuracy("asked")), sd=False),
                percent(of(label_accuracy("kept"))),
                number(of(question_metric("distinct_questions"))),
                number(of(question_metric("distinct_answers"))),
                number(of(question_metric("self_bleu")), 2),
                *(percent(of(kind_share(kind)), sd=False) for kind in range(len(KINDS))),
            )
        )
    head = ("Challenger", "iteration", "bases", "p_hat", "kept")
    labels = ("true labels %: all", "true labels %: kept")
    distinct = ("distinct questions", "distinct answers", "self-BLEU")
    return table((*head, *labels, *distinct, f"questions %: {KINDS[0]}", *KINDS[1:]), rows)


def long_run(study: Study, name: str) -> str:
    """Return the tables of a long part: its iterations, and what each guard would have done."""
    part = study.part(name)
    if part is None:
        return "No such part is planned.\n"
    (arm,) = part.arms
    models = ["base", *(f"{arm}/{k}" for k in range(1, part.iterations + 1))]

    def made() -> str:
        rows = [(f"{k}", *_row(study, arm, model, k, part.bases)) for k, model in enumerate(models)]
        head = ("iteration", "bases", "mean@8 %", "greedy %", "probe %", "true labels % (kept)")
        more = ("p_hat", "kept", "distinct answers", "10 most common answers %", "self-BLEU")
        made = table((*head, *more, "off-template %", "KL"), rows)
        return f"{made}\n{_guard_table(study, arm, part.bases)}"

    return with_note(study, dict.fromkeys(models, part.bases), made)


def _row(study: Study, arm: str, model: str, k: int, bases: Sequence[int]) -> list[str]:
    def of(metric: Metric) -> list[float]:
        return [*study.values(model, metric, bases).values()]

    probes = [study.guards(base, arm).get("scores", []) for base in bases]
    return [
        bases_cell(len(study.models(model, bases)), bases),
        percent(of(score("mean_at_k"))),
        percent(of(score("greedy"))),
        percent([probe[k] for probe in probes if len(probe) > k]),
        percent(of(label_accuracy())),
        number(of(question_metric("p_hat_mean")), 2),
        number(of(kept_count)),
        number(of(question_metric("distinct_answers"))),
        percent(of(question_metric("top_10_answers")), sd=False),
        number(of(question_metric("self_bleu")), 2),
        percent(of(kind_share(OFF_TEMPLATE)), sd=False),
        number(of(last_kl), 3),
    ]


def _guard_table(study: Study, arm: str, bases: Sequence[int]) -> str:
    rows = []
    for base in bases:
        verdicts = study.guards(base, arm)
        for guard in ("probe", "diversity", "both"):
            if guard in verdicts:
                one = verdicts[guard]
                trips = f"after {one['trips']}" if one["trips"] else "never"
                scores = (percent([one[name]]) for name in ("shipped", "best", "last"))
                rows.append((f"{base}", guard, trips, f"{one['ship']}", *scores))
    head = ("base (seed)", "guard", "trips", "ships iteration", "its mean@8 %", "best", "last")
    return table(head, rows) if rows else "No guard has judged these runs yet.\n"
