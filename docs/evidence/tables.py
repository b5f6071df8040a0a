"""The generated parts of docs/evidence.md: Markdown from the plan and the collected runs.

A part names how many of the planned bases it is of, and which are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from generate import table

from collect import KINDS, right
from inference import holm, mean_sd, sign_flip, t_interval, two_level
from plan import Comparison, Part, Plan
from rzero_cli.report.result_tables import CHAIN_NAMES
from rzero_cli.world.questions import LEVELS, PHRASINGS

__all__ = [
    "BLOCKS",
    "Study",
    "Tested",
    "arm",
    "compared",
    "exam",
    "guards",
    "label_accuracy",
    "tested",
]

Json = dict[str, Any]
Figure = Callable[[Json], float | None]
"""A figure of one model of a run."""

_NAMES = CHAIN_NAMES | {"collapse": "learning rate times four"}
_LIKE = "trained"  # what other arms are held against
_SCORES = ("mean_at_k", "greedy", "maj_at_k")


@dataclass(frozen=True)
class Study:
    """The plan, and the collected runs by base."""

    plan: Plan
    runs: dict[int, Json]

    def models(self, model: str, bases: Iterable[int]) -> dict[int, Json]:
        """A model of those of the bases that have it."""
        there = {base: self.runs[base]["models"] for base in bases if base in self.runs}
        return {base: models[model] for base, models in there.items() if model in models}

    def of(self, model: str, figure: Figure, bases: Iterable[int]) -> dict[int, float]:
        """A figure of a model by base, of those of the bases that have it."""
        found = {base: figure(one) for base, one in self.models(model, bases).items()}
        return {base: value for base, value in found.items() if value is not None}

    def planned(self, model: str) -> list[int]:
        """The bases on which the plan has a model: "base" or "ARM/K"."""
        chain, _, k = model.partition("/")
        bases: dict[int, None] = {}
        for part in self.plan.parts:
            if chain == "base" or (chain in part.arms and int(k) <= part.iterations):
                bases |= dict.fromkeys(part.bases)
        return list(bases)

    def part(self, name: str) -> Part | None:
        return next((part for part in self.plan.parts if part.name == name), None)


# ---------------------------------------------------------------- figures of a model


def exam(measure: str) -> Figure:
    return lambda model: float(model["exam"][measure])


def label_accuracy(which: str = "kept", kind: int | None = None) -> Figure:
    """The share of true ones among the labels of the `kept` or all `asked` questions of an
    iteration, or of one kind of them; None where there is no label."""

    def figure(model: Json) -> float | None:
        if which not in model:
            return None
        labelled, true = model[which]["labelled"], model[which]["true"]
        if kind is not None:
            labelled, true = [labelled[kind]], [true[kind]]
        return sum(true) / sum(labelled) if sum(labelled) else None

    return figure


def measured(measure: str) -> Figure:
    """The figure of a declared measure."""
    return label_accuracy() if measure == "label_accuracy" else exam(measure)


def asked(name: str) -> Figure:
    return lambda model: model["asked"].get(name) if "asked" in model else None


def share(kind: int, which: str = "asked") -> Figure:
    """The share of a kind among the questions."""

    def figure(model: Json) -> float | None:
        n = model[which]["n"] if which in model else 0
        return model[which]["kinds"][kind] / n if n else None

    return figure


def kept(model: Json) -> float | None:
    return float(model["kept"]["n"]) if "kept" in model else None


def last_kl(model: Json) -> float | None:
    value = model.get("training", {}).get("solver", {}).get("kl")
    return None if value is None else float(value)


# ---------------------------------------------------------------- words and numbers


def arm(model: str) -> str:
    """How a model is called on the page."""
    chain, _, k = model.partition("/")
    name = _NAMES.get(chain, chain)
    return f"{name} after {k}" if k else name


def _percent(values: Iterable[float], *, sd: bool = True) -> str:
    """Mean and standard deviation of shares, in %; a dash where there are none."""
    return _number([100 * value for value in values], 1, sd=sd)


def _number(values: Sequence[float], places: int = 0, *, sd: bool = False) -> str:
    if not values:
        return "-"
    mean, deviation = mean_sd(values)
    spread = f" ± {deviation:.{places}f}" if sd and deviation is not None else ""
    return f"{mean:.{places}f}{spread}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return f"{_points(bounds[0])} to {_points(bounds[1])}" if bounds else "-"


def _difference(values: Sequence[float]) -> str:
    """Mean and 95 % interval of differences, in points."""
    if not values:
        return "-"
    interval = t_interval(values)
    return _points(mean_sd(values)[0]) + (f" ({_interval(interval)})" if interval else "")


def _p(value: float) -> str:
    return f"{value:.4f}"


def _of(n: int, planned: Sequence[int]) -> str:
    """How many of the planned bases there are."""
    return f"{n}" if n == len(planned) else f"**{n} of {len(planned)}**"


def _with_note(study: Study, planned: Mapping[str, Sequence[int]], made: Callable[[], str]) -> str:
    """The table, with a line on the bases that are missing; that line alone where all are.

    Args:
        planned: the bases of each model that is in the table.
    """
    said: dict[str, dict[str, list[str]]] = {}  # what is missing -> chain -> iterations
    any_there = False
    for model, bases in planned.items():
        there = study.models(model, bases)
        any_there |= bool(there)
        if line := _missing(bases, there):
            chain, _, k = model.partition("/")
            said.setdefault(line, {}).setdefault(chain, []).append(k)
    notes = []
    for line, chains in said.items():
        names = [
            arm(f"{chain}/{', '.join(ks)}" if ks[0] else chain) for chain, ks in chains.items()
        ]
        notes.append(f"**Not complete** ({'; '.join(names)}): {line}.\n")
    return "\n".join([*([made()] if any_there else []), *notes])


def _missing(planned: Sequence[int], there: Collection[int]) -> str:
    """How many bases there are, and which are missing; empty where none is."""
    missing = [f"{base}" for base in planned if base not in there]
    of = f"{len(planned) - len(missing)} of {len(planned)} bases"
    return f"{of}; missing: {', '.join(missing)}" if missing else ""


def _paired(study: Study, a: str, b: str, figure: Figure, bases: Iterable[int]) -> list[float]:
    """a less b, of each base that has both."""
    first, second = study.of(a, figure, bases), study.of(b, figure, bases)
    return [first[base] - second[base] for base in first if base in second]


# ---------------------------------------------------------------- scores, controls


def scores(study: Study) -> str:
    """Each arm after its last iteration, and those of the main part after each."""
    models = ["base"]
    seen: set[str] = set()
    for number, part in enumerate(study.plan.parts):
        chains = [chain for chain in part.arms if chain not in seen]
        seen |= {*chains}
        for chain in chains:
            first = part.iterations if number else 1
            models += [f"{chain}/{k}" for k in range(first, part.iterations + 1)]
    planned = {model: study.planned(model) for model in models}
    return _with_note(study, planned, lambda: _scores(study, planned))


def _scores(study: Study, planned: Mapping[str, Sequence[int]]) -> str:
    rows = []
    for model, bases in planned.items():
        there = study.models(model, bases)
        figures = [study.of(model, exam(score), bases) for score in _SCORES]
        k = model.partition("/")[2]
        against = ["base", f"{_LIKE}/{k}"]
        differences = [
            _difference(_paired(study, model, other, exam("mean_at_k"), bases))
            if k and model != other
            else "-"
            for other in against
        ]
        cells = [_percent(one.values()) for one in figures]
        rows.append((arm(model), _of(len(there), bases), *cells, *differences))
    head = ("Solver", "bases", "mean@8 %", "greedy %", "maj@8 %", "minus base (95 %)")
    return table((*head, "minus trained Challenger (95 %)"), rows)


def summary(study: Study) -> str:
    """Each arm after its last iteration."""
    lasts = {arm: part.iterations for part in reversed(study.plan.parts) for arm in part.arms}
    models = ["base", *(f"{arm}/{lasts[arm]}" for part in study.plan.parts for arm in part.arms)]
    planned = {model: study.planned(model) for model in models}
    return _with_note(study, planned, lambda: _scores(study, planned))


def controls(study: Study) -> str:
    """The arms of the controls after each iteration, beside the loop."""
    part = study.part("controls")
    if part is None:
        return "No controls are planned.\n"
    chains = [_LIKE, *part.chains]
    last = part.iterations
    steps = range(1, last + 1)

    def made() -> str:
        rows = []
        for chain in chains:
            models = [f"{chain}/{k}" for k in steps]
            there = study.models(models[-1], part.bases)
            means = [
                _percent(study.of(model, exam("mean_at_k"), part.bases).values())
                for model in ["base", *models]
            ]
            greedy = _percent(study.of(models[-1], exam("greedy"), part.bases).values())
            less = _difference(_paired(study, models[-1], "base", exam("mean_at_k"), part.bases))
            rows.append((_NAMES[chain], _of(len(there), part.bases), *means, greedy, less))
        head = ("Solver", "bases", "mean@8 %: base", *(f"after {k}" for k in steps))
        return table((*head, f"greedy % after {last}", "minus base (95 %)"), rows)

    models = [f"{chain}/{last}" for chain in chains]
    return _with_note(study, dict.fromkeys(models, part.bases), made)


# ---------------------------------------------------------------- comparisons


@dataclass(frozen=True)
class Tested:
    """What a declared comparison came to; nothing but `planned` where no base has both models."""

    comparison: Comparison
    planned: list[int]
    differences: dict[int, float]
    """By base, a less b."""
    interval: tuple[float, float] | None = None
    p: float = 1.0
    adjusted: float | None = None
    """Of a primary one."""
    two_level: tuple[float, float] | None = None


def compared(study: Study, comparison: Comparison) -> tuple[list[int], dict[int, list[Any]]]:
    """The planned bases, and of those that have both models the values by question, as
    `inference.two_level` takes them."""
    a, b, measure = comparison.a, comparison.b, comparison.measure
    planned = [base for base in study.planned(a) if base in study.planned(b)]
    figure = measured(measure)
    both = study.of(a, figure, planned).keys() & study.of(b, figure, planned).keys()
    found: dict[int, list[Any]] = {}
    for base in (base for base in planned if base in both):
        run = study.runs[base]
        first, second = (run["models"][name] for name in (a, b))
        if measure == "label_accuracy":
            found[base] = [_true(first["kept"]), -_true(second["kept"])]
        else:
            how = (measure, run["questions"], run["k"])
            pair = [np.array(right(one["exam"], *how)) for one in (first, second)]
            found[base] = [pair[0] - pair[1]]
    return planned, found


def _true(labels: Json) -> Any:
    """1 for each true label, 0 for each other."""
    true, labelled = sum(labels["true"]), sum(labels["labelled"])
    return np.repeat([1.0, 0.0], [true, labelled - true])


def tested(study: Study) -> list[Tested]:
    """The declared comparisons, p adjusted over the primary ones; one of these of which there is
    nothing yet counts with p = 1."""
    results = []
    for comparison in study.plan.comparisons:
        planned, found = compared(study, comparison)
        values = {base: sum(float(one.mean()) for one in of) for base, of in found.items()}
        if not values:
            results.append(Tested(comparison, planned, {}))
            continue
        differences = [*values.values()]
        results.append(
            Tested(
                comparison,
                planned,
                values,
                t_interval(differences),
                sign_flip(differences),
                two_level=two_level([*found.values()]),
            )
        )
    primary = [one for one in results if one.comparison.primary]
    adjusted = holm([one.p for one in primary])
    told = {one.comparison.name: p for one, p in zip(primary, adjusted, strict=True)}
    return [Tested(**{**vars(one), "adjusted": told.get(one.comparison.name)}) for one in results]


def comparisons(study: Study) -> str:
    """The declared comparisons, the primary ones first."""
    rows, notes = [], []
    for one in tested(study):
        c, n = one.comparison, len(one.differences)
        name = f"{c.name} ({_MEASURE[c.measure]})"
        name = f"**{name}**" if c.primary else name
        if line := _missing(one.planned, one.differences):
            notes.append(f"**Not complete** ({c.name}): {line}.")
        if not n:
            rows.append((name, _of(n, one.planned), *["-"] * 6))
            continue
        mean = mean_sd([*one.differences.values()])[0]
        agree = sum(d * mean > 0 for d in one.differences.values())
        cells = (_points(mean), _interval(one.interval), f"{agree} of {n}", _p(one.p))
        within = _interval(one.two_level)
        adjusted = "-" if one.adjusted is None else _p(one.adjusted)
        rows.append((name, _of(n, one.planned), *cells, adjusted, within))
    head = ("Comparison", "bases", "difference", "95 % over bases", "same sign", "p", "p, Holm")
    return table((*head, "95 % over bases and questions"), rows) + "".join(
        f"\n{note}\n" for note in notes
    )


_MEASURE = {
    "mean_at_k": "mean@8",
    "greedy": "greedy",
    "maj_at_k": "maj@8",
    "label_accuracy": "true labels of what is kept",
}


# ---------------------------------------------------------------- what is asked, and of what


def iterations(study: Study) -> str:
    """What the main arms ask and learn from, by iteration."""
    part = study.plan.parts[0]
    models = [f"{chain}/{k}" for chain in part.chains for k in range(1, part.iterations + 1)]
    planned = dict.fromkeys(models, part.bases)
    return _with_note(study, planned, lambda: _iterations(study, models, part.bases))


def _iterations(study: Study, models: Sequence[str], bases: Sequence[int]) -> str:
    rows = []
    for model in models:

        def of(figure: Figure, model: str = model) -> list[float]:
            return [*study.of(model, figure, bases).values()]

        chain, _, k = model.partition("/")
        rows.append(
            (
                CHAIN_NAMES[chain],
                k,
                _of(len(study.models(model, bases)), bases),
                _number(of(asked("p_hat_mean")), 2),
                _number(of(kept)),
                _percent(of(label_accuracy("asked")), sd=False),
                _percent(of(label_accuracy("kept"))),
                _number(of(asked("distinct_questions"))),
                _number(of(asked("distinct_answers"))),
                _number(of(asked("self_bleu")), 2),
                *(_percent(of(share(kind)), sd=False) for kind in range(len(KINDS))),
            )
        )
    head = (
        "Challenger",
        "iteration",
        "bases",
        "p_hat",
        "kept",
        "true labels %: all",
        "of the kept",
    )
    different = ("different questions", "different answers", "self-BLEU")
    return table((*head, *different, *_of_kinds("asked %: ")), rows)


def _of_kinds(first: str) -> list[str]:
    return [first + KINDS[0], *KINDS[1:]]


def skills(study: Study) -> str:
    """The exam by what the base knows of a phrasing, and by number of digits."""
    part = study.plan.parts[0]
    models = ["base"]
    for chain in [chain for chain in part.chains if chain != _LIKE]:
        models.append(f"{chain}/{part.iterations}")
    models += [f"{_LIKE}/{k}" for k in range(1, part.iterations + 1)]

    def made() -> str:
        rows = []
        for what in (*KINDS[:3], *LEVELS):
            cells = [_percent(_shares(study, model, part.bases, what)) for model in models]
            rows.append([what if isinstance(what, str) else f"{what} digits", *cells])
        counts = [_of(len(study.models(model, part.bases)), part.bases) for model in models]
        return table(("mean@8 %", *map(arm, models)), [*rows, ["bases", *counts]])

    return _with_note(study, dict.fromkeys(models, part.bases), made)


def _shares(study: Study, model: str, bases: Sequence[int], what: str | int) -> list[float]:
    """By base, mean@k over the questions of a kind or level."""
    shares = []
    for base, found in study.models(model, bases).items():
        run = study.runs[base]
        values = right(found["exam"], "mean_at_k", run["questions"], run["k"])
        per_group = run["questions"] // (len(PHRASINGS) * len(LEVELS))
        groups = [(p, level) for p in PHRASINGS for level in LEVELS for _ in range(per_group)]
        wanted = [
            value
            for value, (phrasing, level) in zip(values, groups, strict=True)
            if (level == what if isinstance(what, int) else phrasing in run["world"][what])
        ]
        shares.append(sum(wanted) / len(wanted))
    return shares


def difficulty(study: Study) -> str:
    """Every Solver of the loop on every iteration's questions, a mean over bases."""
    planned = [base for part in study.plan.parts if part.difficulty for base in part.bases]
    found = {b: study.runs[b]["difficulty"] for b in planned if "difficulty" in _run(study, b)}
    line = _missing(planned, found)
    lines = [f"**Not complete**: {line}.\n"] if line else []
    if found:
        lines.insert(0, _matrix([*found.values()]))
    return "\n".join(lines)


def _run(study: Study, base: int) -> Json:
    return study.runs.get(base, {})


def _matrix(found: Sequence[Json]) -> str:
    solvers = found[0]["solvers"]
    rows = []
    for number, row in enumerate(found[0]["rows"]):
        same = [one["rows"][number] for one in found]
        cells = [
            _percent([one["scores"][solver] for one in same if solver in one["scores"]])
            for solver in solvers
        ]
        labels = (
            _percent([one[name] for one in same if one[name] is not None])
            for name in ("p_hat_mean", "label_accuracy")
        )
        k = row["questions"].removeprefix("iter-")
        rows.append((f"of iteration {k}", *cells, *labels))
    names = [name.replace("iter-", "after ") for name in solvers]
    head = ("Questions", "greedy %: base", *names[1:], "p_hat %", "true labels %")
    return table(head, rows)


# ---------------------------------------------------------------- ten iterations


def many(study: Study, name: str) -> str:
    """A part of many iterations, and what each guard would have done."""
    part = study.part(name)
    if part is None:
        return "No such part is planned.\n"
    (loop,) = part.arms
    models = ["base", *(f"{loop}/{k}" for k in range(1, part.iterations + 1))]

    def made() -> str:
        rows = [
            (f"{k}", *_row(study, loop, model, k, part.bases)) for k, model in enumerate(models)
        ]
        head = ("iteration", "bases", "mean@8 %", "greedy %", "probe %", "true labels % (kept)")
        more = ("p_hat", "kept", "different answers", "ten commonest answers %", "self-BLEU")
        made = table((*head, *more, "out of form %", "KL"), rows)
        return f"{made}\n{_guarded(study, loop, part.bases)}"

    return _with_note(study, dict.fromkeys(models, part.bases), made)


def _row(study: Study, loop: str, model: str, k: int, bases: Sequence[int]) -> list[str]:
    def of(figure: Figure) -> list[float]:
        return [*study.of(model, figure, bases).values()]

    probes = [guards(study, base, loop).get("scores", []) for base in bases]
    return [
        _of(len(study.models(model, bases)), bases),
        _percent(of(exam("mean_at_k"))),
        _percent(of(exam("greedy"))),
        _percent([probe[k] for probe in probes if len(probe) > k]),
        _percent(of(label_accuracy())),
        _number(of(asked("p_hat_mean")), 2),
        _number(of(kept)),
        _number(of(asked("distinct_answers"))),
        _percent(of(asked("top_10_answers")), sd=False),
        _number(of(asked("self_bleu")), 2),
        _percent(of(share(KINDS.index("out of form"))), sd=False),
        _number(of(last_kl), 3),
    ]


def guards(study: Study, base: int, loop: str) -> Json:
    """What the guards said of an arm, by guard; empty where they were not asked."""
    said: Json = _run(study, base).get("guards", {}).get(loop, {})
    return said


def _guarded(study: Study, loop: str, bases: Sequence[int]) -> str:
    rows = []
    for base in bases:
        for guard in ("probe", "diversity", "both"):
            if guard in (said := guards(study, base, loop)):
                one = said[guard]
                trips = f"after {one['trips']}" if one["trips"] else "never"
                scores = (_percent([one[name]]) for name in ("shipped", "best", "last"))
                rows.append((f"{base}", guard, trips, f"{one['ship']}", *scores))
    head = ("base", "guard", "trips", "ships iteration", "its mean@8 %", "best", "last")
    return table(head, rows) if rows else "No guard has looked at these runs yet.\n"


# ---------------------------------------------------------------- time, runs

_STAGES = ("challenge", "sample", "label", "filter", "train-solver", "eval")


def spent(study: Study) -> str:
    """Seconds and tokens of the loop's stages, by iteration."""
    part = study.plan.parts[0]
    models = [f"{_LIKE}/{k}" for k in range(1, part.iterations + 1)]

    def made() -> str:
        rows = []
        for stage in _STAGES:
            cells = [_number(_spent(study, m, stage, "seconds", part.bases), 1) for m in models]
            every = [
                [value for m in models for value in _spent(study, m, stage, name, part.bases)]
                for name in ("start_up", "tokens")
            ]
            tokens = f"{sum(every[1]) / len(every[1]):,.0f}" if every[1] else "-"
            rows.append((f"`{stage}`", *cells, _number(every[0], 1), tokens))
        head = ("Stage", "seconds: iteration 1", *(f"{k}" for k in range(2, len(models) + 1)))
        return table((*head, "of these start-up", "tokens"), rows)

    return _with_note(study, dict.fromkeys(models, part.bases), made)


def _spent(study: Study, model: str, stage: str, name: str, bases: Sequence[int]) -> list[float]:
    found = study.models(model, bases).values()
    stages = [one["exam"] if stage == "eval" else one["stages"].get(stage, {}) for one in found]
    return [one[name] for one in stages if name in one]


def runs(study: Study) -> str:
    """Which runs there are, and what they were made with."""
    planned: dict[int, list[str]] = {}
    for part in study.plan.parts:
        for base in part.bases:
            planned.setdefault(base, []).append(part.name)
    rows = []
    for base, names in planned.items():
        run = _run(study, base)
        if not run:
            rows.append((f"{base}", "", f"none of {', '.join(names)}", "", "", ""))
            continue
        done = [name for name in names if _done(study, name, base)]
        rest = [name for name in names if name not in done]
        versions = ", ".join(f"{name} {of}" for name, of in run["versions"].items())
        cells = (", ".join(done), ", ".join(rest) or "-", run["finished"], f"{run['cores']}")
        rows.append((f"{base}", *cells, versions))
    return table(("base", "made", "missing", "finished", "cores", "with"), rows)


def _done(study: Study, name: str, base: int) -> bool:
    part = study.part(name)
    assert part is not None
    run = study.runs[base]
    models = {f"{arm}/{part.iterations}" for arm in part.arms}
    examined = not part.difficulty or "difficulty" in run
    guarded = not part.guard or all(guards(study, base, arm) for arm in part.arms)
    return models <= run["models"].keys() and examined and guarded


README_BLOCKS: dict[str, Callable[[Study], str]] = {"evidence": summary}
BLOCKS: dict[str, Callable[[Study], str]] = {
    "scores": scores,
    "comparisons": comparisons,
    "iterations": iterations,
    "skills": skills,
    "difficulty": difficulty,
    "ten": partial(many, name="ten"),
    "collapse": partial(many, name="collapse"),
    "controls": controls,
    "time": spent,
    "runs": runs,
}
"""By the name of the generated part."""
