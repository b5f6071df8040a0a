"""Guards that stop the loop before it collapses and choose the Solver to ship.

The paper's Solver collapses after iteration three.

| guard     | trips after iteration K if                                                        |
|-----------|-----------------------------------------------------------------------------------|
| probe     | the Solver's score on held-out questions, the probe, is below that of the best    |
|           | earlier model: the whole 95 % interval of the difference, paired by question, is  |
|           | below -least_fall                                                                 |
| diversity | the labelled questions have fewer distinct answers, distinct questions or         |
|           | questions without an earlier near-duplicate than least_share of iteration 1's, as |
|           | in the warnings of `rzero stats` (`analysis.drift`); or none is left              |

The base model is iteration 0 of the probe. The Solver to ship is the best on the probe; with the
diversity guard alone, the last before the fall. Do not report scores on the probe: the best of
several scores on the same questions is biased upwards.

`recipes/loop.mk` writes the scores to `base/probe.json` and `iter-K/probe.json`, with `rzero eval`,
and the labelled questions to `iter-K/labeled.jsonl`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
"""Any significant fall of the probe's score trips the guard."""

Json = dict[str, Any]


def sources(run: Path, guards: Sequence[str], iteration: int | None = None) -> list[list[Path]]:
    """Return the files that the guards read: those of the base model, then of each iteration.

    Args:
        run: the run's folder.
        guards: a subset of `GUARDS`.
        iteration: the last iteration; by default the last one with all its files.

    Raises:
        UsageError: a required file is missing.
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
            raise UsageError(f"{path}: no such file: create it with `{how}`")
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
    """Apply the guards to a run's iterations in turn, up to the first that trips one.

    Args:
        run, guards, iteration: as for `sources`.
        least_fall: fall of the score, from 0 to 1, that the probe tolerates.
        least_share: fraction of the first iteration's counts to keep, see `analysis.drift.fewer`.
        seed: of the interval, see `analysis.comparison`.
        tau_bleu, bleu: define near-duplicates, see `analysis.near_duplicates`.

    Returns:
        `guards`; `iteration`, the last one judged; `tripped`; `best`, the iteration with the best
        probe score (0 is the base model; None without that guard); `ship`, the checkpoint;
        `verdict`, a one-line summary. With the probe guard, `probe`: `tripped`, `least_fall`,
        `score` ("mean_at_k", or "greedy" if some model was not sampled), `scores` (from the base
        model on), `best` (of the earlier models) and, of the last model against that one, `from`,
        `to`, `difference`, `ci95`. With the diversity guard, `diversity`: `tripped`,
        `least_share`, `first` and `last` (each name -> [distinct, total] of that iteration) and
        `fell` (name -> message).

    Raises:
        UsageError: as `sources`; or the run reports scores on the probe.
        DataError: a file cannot be read, or the scores are of different questions.
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
    if tripped:
        reasons = [_probe_fell(found["probe"])] if "probe" in tripped else []
        reasons += found["diversity"]["fell"].values() if "diversity" in tripped else []
        verdict = f"stopped after iteration {last}: {'; '.join(reasons)}"
    else:
        verdict = f"no guard tripped after iteration {last}"
        if best is not None:
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
    """Return the evaluation in a file. Raises DataError."""
    evaluation = read_object(path)
    try:
        return check_evaluation(evaluation)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_probe(path: Path) -> Json:
    """Return the evaluation of a single task in a file. Raises DataError."""
    evaluation = _read(path)
    if len(evaluation["tasks"]) != 1:
        raise DataError(
            f"{path}: has several tasks: the probe must be one file, `rzero eval --data`"
        )
    return evaluation


def _task(evaluation: Json) -> Json:
    (task,) = evaluation["tasks"].values()
    return dict(task)


def _check_apart(run: Path, path: Path, probe: Json) -> None:
    """Raise UsageError if the run also reports scores on the probe's questions."""
    reported = run / "base" / "eval.json"
    if reported.is_file():
        hashes = [t.get("data_sha256") for t in _read(reported)["tasks"].values()]
        if (own := _task(probe).get("data_sha256")) is not None and own in hashes:
            raise UsageError(
                f"{path}: same questions as {reported}: selecting a model on the reported "
                "questions biases its score upwards; use another file as PROBE"
            )


def _probe(probes: list[Json], files: list[list[Path]], least_fall: float, seed: int) -> Json:
    """Compare the last model with the best one before it."""
    last = len(probes) - 1
    sampled = all(_task(probe).get("mean_at_k") for probe in probes)
    score = "mean_at_k" if sampled else "greedy"
    try:
        scores = [float(_task(probe)[score]["score"]) for probe in probes]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{files[last][0]}: no score: recreate it with `rzero eval`") from None
    best = _best(scores[:-1])
    both = f"{files[best][0]}, {files[last][0]}"
    try:
        compared = compare_evaluations(probes[best], probes[last], seed=seed)
    except DataError as error:
        raise DataError(f"{both}: {error}") from error
    (task,) = compared["tasks"].values()
    if task["only_a"] or task["only_b"] or not task[score]:
        raise DataError(f"{both}: evaluated on different questions: evaluate both on one PROBE")
    found = task[score]
    high = found["ci95"][1] if found["ci95"] else 0.0  # a single question has no interval
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
    """Return the index of the highest score, the earliest of equals."""
    return max(range(len(scores)), key=scores.__getitem__)


def _base(probes: list[Json]) -> str:
    """Return the base model's name in its probe evaluation, if there is one."""
    settings = probes[0].get("origin", {}).get("settings") if probes else None
    model = settings.get("model") if isinstance(settings, dict) else None
    return str(model or "the base model")


# ---------------------------------------------------------------- diversity


def _counts(path: Path, tau_bleu: float, bleu: str) -> Counts:
    """Return the distinct counts of a file; {} if it has nothing to train on. Raises DataError."""
    lines = read_lines([str(path)], exact=True, check=check)
    found = statistics(lines, band=band(Decimal(0)), tau_bleu=tau_bleu, bleu=bleu)
    there = counts(found)
    if found["records"] and not there:
        raise DataError(f'{path}: has neither questions ("question") nor labels ("answer")')
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


def _probe_fell(found: Json) -> str:
    low, high = (f"{100 * bound:+.1f}" for bound in found["ci95"])
    return (
        f"probe fell from {_percent(found['from'])} to {_percent(found['to'])} "
        f"(95 % interval of the difference {low} to {high})"
    )
