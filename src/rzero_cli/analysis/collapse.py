"""When to stop the loop, and which Solver to ship: the paper's collapses after iteration three.

| guard     | trips after iteration K if                                                        |
|-----------|-----------------------------------------------------------------------------------|
| probe     | the Solver's score on held-out questions, the probe, fell below that of the best  |
|           | one before it: the whole 95 % interval of the difference, paired by question, is  |
|           | below -least_fall                                                                 |
| diversity | its labelled questions have fewer distinct answers, distinct questions, or ones   |
|           | without an earlier near-duplicate than least_share of those of iteration 1, as    |
|           | `rzero stats` warns of it (`analysis.drift`); or there are none                   |

The base model counts as iteration 0 of the probe. To ship is the best Solver by the probe; where
only diversity is looked at, the last one before the fall. The probe must not be what is reported:
the best of several scores on the same questions is too high on them.

`recipes/loop.mk` lays the scores out as `base/probe.json` and `iter-K/probe.json`, made by
`rzero eval`, and the labelled questions as `iter-K/labeled.jsonl`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rzero_cli.analysis.comparison import check_evaluation, compare_evaluations
from rzero_cli.analysis.diversity import check, statistics
from rzero_cli.analysis.drift import LEAST_DISTINCT, Counts, counts, fewer
from rzero_cli.data.json_text import read_object
from rzero_cli.data.jsonl import read_lines
from rzero_cli.errors import DataError, UsageError
from rzero_cli.method.filtering import band

_FILES = {"probe": "probe.json", "diversity": "labeled.jsonl"}
GUARDS = tuple(_FILES)
LEAST_FALL = 0.0
"""Beyond its noise, any fall of the probe counts."""

Json = dict[str, Any]


def sources(run: Path, guards: Sequence[str], iteration: int | None = None) -> list[list[Path]]:
    """The files that the guards look at: of the base model, then of each iteration.

    Args:
        guards: of `GUARDS`.
        iteration: the last one; by default the last of which all files are there.

    Raises:
        UsageError: one that is needed is not there.
    """
    found = [[run / "base" / "probe.json"] if "probe" in guards else []]
    names = [name for guard, name in _FILES.items() if guard in guards]
    while iteration is None or len(found) <= iteration:
        files = [run / f"iter-{len(found)}" / name for name in names]
        if iteration is None and len(found) > 1 and not all(map(Path.is_file, files)):
            break
        found.append(files)
    for path in (path for files in found for path in files):
        if not path.is_file():
            how = "make run GUARD=probe PROBE=FILE" if path.suffix == ".json" else "make run"
            raise UsageError(f"{path}: no such file: it is made by `{how}`")
    return found


def judge(
    run: Path,
    guards: Sequence[str],
    iteration: int | None = None,
    *,
    least_fall: float = LEAST_FALL,
    least_share: float = LEAST_DISTINCT,
    seed: int = 0,
    tau_bleu: float = 0.5,
    bleu: str = "13a",
) -> Json:
    """Look at a run's iterations one after the other, up to the first after which a guard trips.

    Args:
        run, guards, iteration: as for `sources`.
        least_fall: of the score, a share of 1.
        least_share: of the first iteration's count, see `analysis.drift.fewer`.
        seed: of the interval, see `analysis.comparison`.
        tau_bleu, bleu: of near-duplicates, see `analysis.near_duplicates`.

    Returns:
        `guards`; `iteration`, the last one looked at; `tripped`; `best`, the iteration of the best
        score on the probe (0 is the base model; None without that guard); `ship`, the checkpoint;
        `verdict`, all this in a line. With the guard, `probe`: `tripped`, `least_fall`, `score`
        ("mean_at_k", or "greedy" where not every model was sampled), `scores` from the base on,
        `best` (of the earlier ones), and of the last one against that `from`, `to`, `difference`,
        `ci95`. With the guard, `diversity`: `tripped`, `least_share`, `first`, `last` (of two
        iterations, by name how many differ and of how many) and `fell` (by name, in words).

    Raises:
        UsageError: as `sources`; the probe is what the run reports.
        DataError: a file cannot be read, or scores are not of the same questions.
    """
    files = sources(run, guards, iteration)
    probes = [_read_probe(paths[0]) for paths in files] if "probe" in guards else []
    if probes:
        _check_apart(run, files[0][0], probes[0])
    first: Counts | None = None
    found: Json = {}
    tripped: list[str] = []
    for last in range(1, len(files)):
        if probes:
            found["probe"] = _probe(probes[: last + 1], files, least_fall, seed)
        if "diversity" in guards:
            there = _counts(files[last][-1], tau_bleu, bleu)
            first = there if first is None else first
            found["diversity"] = _diversity(first, there, least_share)
        if tripped := [name for name, of in found.items() if of["tripped"]]:
            break
    best = _best(found["probe"]["scores"]) if probes else None
    shipped = best if best is not None else last - 1 if tripped else last
    ship = str(run / f"iter-{shipped}" / "solver") if shipped else _base(probes)
    told = [_TELL[name](found[name]) for name in tripped]
    if told:
        verdict = f"stopped after iteration {last}: {'; '.join(told)}"
    else:
        verdict = f"no guard tripped after iteration {last}"
    if best is not None and not told:
        which = f"iteration {best}" if best else "the base model"
        score = _percent(found["probe"]["scores"][best])
        verdict += f": best on the probe is {which} with {score}"
    return {
        "guards": list(guards),
        "iteration": last,
        "tripped": bool(tripped),
        "best": best,
        "ship": ship,
        "verdict": f"{verdict}; ship {ship}",
        **found,
    }


# ---------------------------------------------------------------- probe


def _read(path: Path) -> Json:
    """An evaluation. Raises DataError."""
    evaluation = read_object(path)
    try:
        return check_evaluation(evaluation)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_probe(path: Path) -> Json:
    """An evaluation of one task. Raises DataError."""
    evaluation = _read(path)
    if len(evaluation["tasks"]) != 1:
        raise DataError(f"{path}: of several tasks: the probe is one file, `rzero eval --data`")
    return evaluation


def _task(evaluation: Json) -> Json:
    (task,) = evaluation["tasks"].values()
    return dict(task)


def _check_apart(run: Path, path: Path, probe: Json) -> None:
    """Raise UsageError where the run is stopped by the questions that it reports."""
    reported = run / "base" / "eval.json"
    if reported.is_file():
        hashes = [t.get("data_sha256") for t in _read(reported)["tasks"].values()]
        if (of := _task(probe).get("data_sha256")) is not None and of in hashes:
            raise UsageError(
                f"{path}: of the questions of {reported}: the best of several scores is too high "
                "on the questions it was chosen by, so the probe needs others"
            )


def _probe(probes: list[Json], files: list[list[Path]], least_fall: float, seed: int) -> Json:
    """The last of the models against the best one before it."""
    last = len(probes) - 1
    sampled = all(_task(probe).get("mean_at_k") for probe in probes)
    score = "mean_at_k" if sampled else "greedy"
    try:
        scores = [float(_task(probe)[score]["score"]) for probe in probes]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{files[last][0]}: no score: make it again with `rzero eval`") from None
    best = _best(scores[:-1])
    both = f"{files[best][0]}, {files[last][0]}"
    try:
        compared = compare_evaluations(probes[best], probes[last], seed=seed)
    except DataError as error:
        raise DataError(f"{both}: {error}") from error
    (task,) = compared["tasks"].values()
    if task["only_a"] or task["only_b"] or not task[score]:
        raise DataError(f"{both}: not of the same questions: make both again with one PROBE")
    found = task[score]
    high = found["ci95"][1] if found["ci95"] else 0.0  # a single question has no noise to be beyond
    return {
        "tripped": high < -least_fall,
        "least_fall": least_fall,
        "score": score,
        "scores": scores,
        "best": best,
        "from": found["a"],
        "to": found["b"],
        "difference": found["difference"],
        "ci95": found["ci95"],
    }


def _best(scores: Sequence[float]) -> int:
    """The earliest of the highest."""
    return max(range(len(scores)), key=scores.__getitem__)


def _base(probes: list[Json]) -> str:
    """What the base model was called when it was put to the probe, if it was."""
    settings = probes[0].get("origin", {}).get("settings") if probes else None
    model = settings.get("model") if isinstance(settings, dict) else None
    return str(model or "the base model")


# ---------------------------------------------------------------- diversity


def _counts(path: Path, tau_bleu: float, bleu: str) -> Counts:
    """Of the questions and labels of a file how many differ; nothing of a file from which nothing
    can be learned. Raises DataError."""
    lines = read_lines([str(path)], exact=True, check=check)
    found = statistics(lines, band=band(Decimal(0)), tau_bleu=tau_bleu, bleu=bleu)
    there = counts(found)
    if found["records"] and not there:
        raise DataError(f'{path}: no questions ("question") and no labels ("answer") in it')
    return there if all(of for _, of in there.values()) else {}


def _diversity(first: Counts, last: Counts, least_share: float) -> Json:
    fell = fewer(first, last, least_share) if last else {"labelled": "no labelled question is left"}
    return {
        "tripped": bool(fell),
        "least_share": least_share,
        "first": first,
        "last": last,
        "fell": fell,
    }


# ---------------------------------------------------------------- in words


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tell_probe(found: Json) -> str:
    low, high = (f"{100 * bound:+.1f}" for bound in found["ci95"])
    return (
        f"probe fell from {_percent(found['from'])} to {_percent(found['to'])} "
        f"(95 % interval of the difference {low} to {high})"
    )


_TELL: dict[str, Callable[[Json], str]] = {
    "probe": _tell_probe,
    "diversity": lambda found: "; ".join(found["fell"].values()),
}
