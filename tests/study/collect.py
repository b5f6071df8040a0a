"""Collect what tables and pictures need from a run into one small file.

The run's folder has the layout of `recipes/loop.mk`. The file holds each model's verdicts on the
held-out questions, and the metrics of each iteration's questions, labels and trainings.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rzero_cli.analysis.collapse import judge
from rzero_cli.analysis.diversity import check, statistics
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.data.json_text import read_object
from rzero_cli.data.jsonl import read_lines
from rzero_cli.data.provenance import CHECKPOINT_META
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.errors import DataError
from rzero_cli.method.filtering import band
from rzero_cli.method.plan import LENGTH
from rzero_cli.report.summary import CHAINS, iterations
from rzero_cli.world.questions import draw_base, form, heldout_rows, truth

from .declared_plan import Plan

__all__ = ["KINDS", "collect", "dump", "values_by_question", "write_collected"]

KINDS = ("mastered", "medium", "hard", "off-template")
"""The kinds of questions: how well the base model knows the phrasing, or no valid question."""

AS_THE_LOOP = ("no-filter", "true-labels", "shuffled-labels", "random-reward", "format-reward")
"""The chains that differ from the loop only after the first labels, which they share with it."""
_PACKAGES = ("python", "rzero-cli", "torch", "transformers", "trl")
_GUARDS = {"probe": ["probe"], "diversity": ["diversity"], "both": ["probe", "diversity"]}
_QUESTION_METRICS = (
    *("distinct_questions", "distinct_answers", "top_10_answers", "self_bleu"),
    *("clusters", "largest_cluster", "near_duplicates", "p_hat_mean", "p_hat_histogram"),
)
_LAST = {
    "kl": "kl",
    "entropy": "entropy",
    "length": LENGTH,
    "p_hat": "p_hat",
    "r_unc": "r_unc",
    "r_rep": "r_rep",
}

Json = dict[str, Any]


def collect(run: Path, apart: Mapping[str, Path] = {}) -> Json:
    """Collect the metrics of a run of the miniature, finished or not.

    Args:
        run: its folder.
        apart: by name, separate runs of only the loop on the same base with another setting.

    Returns:
        `base` (its seed), `seed` (of the loop), `world` (kind -> phrasings), `versions`, `cores`,
        `finished` (date of the last evaluation), `questions` and `k` of the held-out set, and
        `models`: "base" and every evaluated iteration, as "CHAIN/K", or "NAME/K" if it is from a
        separate run. A model has `exam`, its evaluation; an iteration also has the keys of
        `_iteration`. If they exist: `difficulty` as in difficulty.json (without the intervals), and
        `guards`, by "trained" or NAME (see `_guards`).

    Raises:
        DataError: a file cannot be read, or its questions are not the base's held-out set.
    """
    first = _evaluation(run / "base" / "eval.json")
    origin = first["origin"]
    made = read_object(_resolved(origin, origin["settings"]["model"]) / CHECKPOINT_META)
    seed, heldout = (made["settings"][name] for name in ("seed", "heldout_seed"))
    rows = heldout_rows(seed if heldout is None else heldout)
    kinds = draw_base(seed).kinds
    models = {"base": {"exam": _scores(run / "base" / "eval.json", rows)}}
    folders = {"trained": run} | {chain: run / chain for chain in CHAINS} | dict(apart)
    origins = [origin]
    with Equivalence() as equivalence:
        for chain, folder in folders.items():
            for path in iterations(folder):
                if (path / "eval.json").is_file():
                    name = f"{chain}/{path.name.removeprefix('iter-')}"
                    evaluation = {"exam": _scores(path / "eval.json", rows)}
                    models[name] = evaluation | _iteration(run, chain, path, kinds, equivalence)
                    origins.append(_evaluation(path / "eval.json")["origin"])
    found: Json = {
        "base": seed,
        "seed": int((run / "made-with").read_text("utf-8").split()[-1]),
        "world": {kind: [p for p, of in kinds.items() if of == kind] for kind in KINDS[:3]},
        "versions": {name: origin["versions"].get(name) for name in _PACKAGES},
        "cores": origin["host"]["cores"],
        "finished": max(one["finished"] for one in origins)[:10],
        "questions": len(rows),
        "k": first["tasks"]["heldout"]["k"],
        "models": models,
    }
    if (run / "difficulty.json").is_file():
        found["difficulty"] = _difficulty(read_object(run / "difficulty.json"))
    for name, folder in {"trained": run, **apart}.items():
        # An interrupted part may have evaluated only the base on the probe.
        if (folder / "iter-1" / "probe.json").is_file():
            found.setdefault("guards", {})[name] = _guards(folder, name, models)
    rounded: Json = _rounded(found)
    return rounded


def dump(found: Json) -> str:
    """Format the metrics as JSON, one line per model."""
    models = ",\n".join(f"{json.dumps(k)}: {_compact(v)}" for k, v in found["models"].items())
    rest = {key: value for key, value in found.items() if key != "models"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items()]
    return ",\n".join(["{" + lines[0], *lines[1:], f'"models": {{\n{models}\n}}']) + "}\n"


def write_collected(plan: Plan, folder: Path, into: Path) -> Path:
    """Collect a run and its separate runs into the file of its base; return the path."""
    apart = {part.name: folder.with_name(f"{folder.name}-{part.name}") for part in plan.parts}
    found = collect(folder, {name: path for name, path in apart.items() if path.is_dir()})
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{found['base']}.json"
    part = path.with_suffix(".part")
    part.write_text(dump(found), "utf-8")
    part.replace(path)
    return path


def values_by_question(evaluation: Json, measure: str, questions: int, k: int) -> list[float]:
    """Return the scores of a collected model on each question, in the order of `heldout_rows`.

    Args:
        measure: "mean_at_k" (fraction of the k answers that are correct), "greedy" or "maj_at_k"
            (0 or 1).
    """
    verdicts = evaluation["verdicts"][measure]
    if measure == "mean_at_k":
        return [int(digit) / k for digit in verdicts]
    return [float(bit) for bit in f"{int(verdicts, 16):0{questions}b}"]


# ---------------------------------------------------------------- an evaluation


def _evaluation(path: Path) -> Json:
    found: Json = read_object(path)
    if "heldout" not in found.get("tasks", {}):
        raise DataError(f"{path}: not an evaluation on a held-out file of the miniature")
    return found


def _resolved(origin: Json, name: str) -> Path:
    """Resolve a recorded path against the folder in which its command ran."""
    return Path(origin["directory"]) / name


def _scores(path: Path, rows: list[Json]) -> Json:
    """Collect scores, seconds, tokens and `verdicts`: for mean_at_k one digit per question (the
    number of correct answers of k); for greedy and maj_at_k one bit each, in hexadecimal."""
    found = _evaluation(path)
    task = found["tasks"]["heldout"]
    samples = {sample["id"]: sample for sample in task["samples"]}
    ordered = [samples.get(row["id"], {}) for row in rows]
    if [one.get("question") for one in ordered] != [row["question"] for row in rows]:
        raise DataError(f"{path}: questions are not the held-out set of this base")
    if not 0 < task["k"] < 10:
        raise DataError(
            f"{path}: k = {task['k']}: must be below 10, because one digit per question is stored"
        )
    return {
        **{score: task[score]["score"] for score in ("mean_at_k", "greedy", "maj_at_k")},
        "verdicts": {
            "mean_at_k": "".join(str(sum(one["correct"])) for one in ordered),
            "greedy": _hexadecimal(one["greedy"] for one in ordered),
            "maj_at_k": _hexadecimal(one["maj"] for one in ordered),
        },
        "tokens": task["tokens"],
        "seconds": found["origin"]["seconds"],
        "start_up": found["origin"]["seconds"] - task["seconds"],
    }


def _hexadecimal(bits: Iterable[bool]) -> str:
    return f"{int(''.join(str(int(bit)) for bit in bits), 2):x}"


# ---------------------------------------------------------------- an iteration


def _iteration(
    run: Path, chain: str, path: Path, kinds: dict[str, str], equivalence: Equivalence
) -> Json:
    """Collect `asked` and `kept` (metrics of the generated and the kept questions and labels),
    `training` (by role) and `stages` (the cost of the stages not shared with the loop)."""
    shared = chain in AS_THE_LOOP and path.name == "iter-1"
    source = run / path.name if shared else path
    sampled = read_object(file_meta_path(source / "questions.jsonl"))["metrics"]
    labelled = source / "labeled.jsonl"
    metrics = statistics(
        read_lines([str(labelled)], exact=True, check=check), band=band(Decimal(0))
    )
    roles = {"challenger": source, "solver": path}
    logs = {role: folder / role / "log.jsonl" for role, folder in roles.items()}
    return {
        "asked": {
            "drawn": sampled["drawn"],
            "valid": sampled["questions"] / sampled["drawn"],
            **{name: metrics.get(name) for name in _QUESTION_METRICS},
            **_by_kind(_records(labelled), kinds, equivalence),
        },
        "kept": _by_kind(_records(path / "train.jsonl"), kinds, equivalence),
        "training": {role: _training(log) for role, log in logs.items() if log.is_file()},
        "stages": {
            stage: cost
            for stage, cost in _stages(path).items()
            if not (shared and stage in ("challenge", "sample", "label"))
        },
    }


def _records(path: Path) -> list[Json]:
    return [line.record for line in read_lines([str(path)])]


def _by_kind(records: list[Json], kinds: dict[str, str], equivalence: Equivalence) -> Json:
    """Count questions: `n`, `digits` (their mean number), and by kind all questions (`kinds`), the
    labelled ones (`labelled`) and those with a true label (`true`)."""
    there, labelled, true = Counter[str](), Counter[str](), Counter[str]()
    digits = 0
    for record in records:
        question = record["question"]
        found = form(question)
        kind = kinds[found[0]] if found else KINDS[-1]
        there[kind] += 1
        if (label := record["answer"]) is not None:
            labelled[kind] += 1
            true[kind] += equivalence.equal(label, truth(question))
        digits += sum("0" <= character <= "9" for character in question)
    n = len(records)
    return {
        "n": n,
        "digits": digits / n if n else None,
        "kinds": [there[kind] for kind in KINDS],
        "labelled": [labelled[kind] for kind in KINDS],
        "true": [true[kind] for kind in KINDS],
    }


def _training(log: Path) -> Json:
    """Return the `reward` of a training (first, last) and the last values it logged."""
    lines = _records(log)
    rewards = [line["reward"] for line in lines if "reward" in line]
    last: Json = {}
    for line in lines:
        last |= line
    return {
        "updates": len(lines),
        "reward": [rewards[0], rewards[-1]] if rewards else None,
        **{name: last[key] for name, key in _LAST.items() if key in last},
    }


def _stages(path: Path) -> Json:
    """Return the known cost by stage: `seconds`, `tokens`, and `start_up`, the seconds outside a
    training's updates (imports, loading, saving)."""
    stages: Json = {}
    for role in ("challenger", "solver"):
        if (path / role / CHECKPOINT_META).is_file():
            record = read_object(path / role / CHECKPOINT_META)
            log = path / role / "log.jsonl"
            lines = _records(log) if log.is_file() else []
            spent = sum(line.get("step_time", 0.0) for line in lines)
            tokens = max((line.get("num_tokens", 0) for line in lines), default=0)
            stages[record["stage"]] = {"tokens": int(tokens)}
            # An interrupted training records only the seconds of its last process.
            if spent < record["seconds"]:
                start_up = record["seconds"] - spent
                stages[record["stage"]] |= {"seconds": record["seconds"], "start_up": start_up}
    for name in ("questions.jsonl", "labeled.jsonl", "train.jsonl"):
        if (meta := file_meta_path(path / name)).is_file():
            record = read_object(meta)
            stages[record["stage"]] = {
                key: record[key] for key in ("seconds", "tokens") if key in record
            }
    return stages


# ---------------------------------------------------------------- the whole run


def _difficulty(found: Json) -> Json:
    rows = []
    for row in found["rows"]:
        scores = {name: one["score"] for name, one in row["scores"].items()}
        rows.append({k: row[k] for k in ("questions", "n", "p_hat_mean", "label_accuracy")})
        rows[-1]["scores"] = scores
    return {"solvers": found["solvers"], "rows": rows}


def _guards(run: Path, arm: str, models: Json) -> Json:
    """Collect `scores` (mean@k on the probe, base first) and what each guard would have done:
    `trips` (the iteration after which it trips, or None), `ship` (the iteration whose Solver it
    ships; 0: the base), and the held-out mean@k of the `shipped`, `best` and `last` Solver."""
    folders = [run / "base", *iterations(run)]
    there = [path for path in folders if (path / "probe.json").is_file()]
    on_probe = []
    for path in there:
        (task,) = read_object(path / "probe.json")["tasks"].values()
        on_probe.append(task["mean_at_k"]["score"])
    names = ["base", *(f"{arm}/{k}" for k in range(1, len(there)))]
    scores = [models[name]["exam"]["mean_at_k"] for name in names]
    found: Json = {"scores": on_probe}
    for name, guards in _GUARDS.items():
        verdict = judge(run, guards, None if "probe" in guards else len(there) - 1)
        last, tripped = verdict["iteration"], verdict["tripped"]
        ship = verdict["best"] if verdict["best"] is not None else last - tripped
        found[name] = {
            "trips": last if tripped else None,
            "ship": ship,
            "shipped": scores[ship],
            "best": max(scores),
            "last": scores[-1],
        }
    return found


def _rounded(value: Any) -> Any:
    """Round floats to five places, at any depth."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
