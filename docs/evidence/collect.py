"""What tables and pictures need of a run, in one small file.

A run's folder is laid out as `recipes/loop.mk` writes it. Of it remain each model's verdicts on the
held-out questions, and the figures of each iteration's questions, labels and trainings.
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
from rzero_cli.report.summary import CHAINS, iterations
from rzero_cli.world.questions import draw_base, form, heldout_rows, truth

__all__ = ["KINDS", "collect", "dump", "right"]

KINDS = ("mastered", "medium", "hard", "out of form")
"""Of a question: what the base knows of its phrasing; or that it is no phrasing and digits."""

# Of these chains the first iteration's questions and labels are the loop's (AS_THE_LOOP).
_AS_THE_LOOP = ("no-filter", "true-labels", "shuffled-labels", "random-reward", "format-reward")
_PACKAGES = ("python", "rzero-cli", "torch", "transformers", "trl")
_GUARDS = {"probe": ["probe"], "diversity": ["diversity"], "both": ["probe", "diversity"]}
_ASKED = (
    *("distinct_questions", "distinct_answers", "top_10_answers", "self_bleu"),
    *("clusters", "largest_cluster", "near_duplicates", "p_hat_mean", "p_hat_histogram"),
)
_LAST = {
    "kl": "kl",
    "entropy": "entropy",
    "length": "completions/mean_length",
    "p_hat": "p_hat",
    "r_unc": "r_unc",
    "r_rep": "r_rep",
}

Json = dict[str, Any]


def collect(run: Path, apart: Mapping[str, Path] = {}) -> Json:
    """The figures of a run of the miniature, finished or not.

    Args:
        run: its folder.
        apart: by name, runs of the loop alone on the same base with another setting.

    Returns:
        `base` (its seed), `seed` (of the loop), `world` (kind -> phrasings), `versions`, `cores`,
        `finished` (date of the last evaluation), `questions` and `k` of the exam, and `models`:
        "base" and, of each iteration that has been examined, "CHAIN/K", or of those apart
        "NAME/K". A model has `exam`, and an
        iteration what `_iteration` says. Where they are there, `difficulty` as in difficulty.json
        (without intervals of scores), and `guards`, by "trained" or NAME, see `_guards`.

    Raises:
        DataError: a file cannot be read, or is of other questions than the base's exam.
    """
    first = _evaluation(run / "base" / "eval.json")
    origin = first["origin"]
    made = read_object(_there(origin, origin["settings"]["model"]) / CHECKPOINT_META)
    seed, heldout = (made["settings"][name] for name in ("seed", "heldout_seed"))
    rows = heldout_rows(seed if heldout is None else heldout)
    kinds = draw_base(seed).kinds
    models = {"base": {"exam": _exam(run / "base" / "eval.json", rows)}}
    folders = {"trained": run} | {chain: run / chain for chain in CHAINS} | dict(apart)
    origins = [origin]
    with Equivalence() as equivalence:
        for chain, folder in folders.items():
            for path in iterations(folder):
                if (path / "eval.json").is_file():
                    name = f"{chain}/{path.name.removeprefix('iter-')}"
                    exam = {"exam": _exam(path / "eval.json", rows)}
                    models[name] = exam | _iteration(run, chain, path, kinds, equivalence)
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
        # An interrupted part may have put no more than the base to the probe.
        if (folder / "iter-1" / "probe.json").is_file():
            found.setdefault("guards", {})[name] = _guards(folder, name, models)
    rounded: Json = _rounded(found)
    return rounded


def dump(found: Json) -> str:
    """The figures as JSON, a line for each model."""
    models = ",\n".join(f"{json.dumps(k)}: {_compact(v)}" for k, v in found["models"].items())
    rest = {key: value for key, value in found.items() if key != "models"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items()]
    return ",\n".join(["{" + lines[0], *lines[1:], f'"models": {{\n{models}\n}}']) + "}\n"


def right(exam: Json, measure: str, questions: int, k: int) -> list[float]:
    """How well a collected model answered each question, in the order of `heldout_rows`.

    Args:
        measure: "mean_at_k" (share of k answers that are right), "greedy" or "maj_at_k" (0 or 1).
    """
    verdicts = exam["verdicts"][measure]
    if measure == "mean_at_k":
        return [int(digit) / k for digit in verdicts]
    return [float(bit) for bit in f"{int(verdicts, 16):0{questions}b}"]


# ---------------------------------------------------------------- the exam


def _evaluation(path: Path) -> Json:
    found: Json = read_object(path)
    if "heldout" not in found.get("tasks", {}):
        raise DataError(f"{path}: not of a held-out file of the miniature")
    return found


def _there(origin: Json, name: str) -> Path:
    """A path as a record has it, from where its command was run."""
    return Path(origin["directory"]) / name


def _exam(path: Path, rows: list[Json]) -> Json:
    """Scores, seconds, tokens, and `verdicts`: of mean_at_k a digit a question (how many of its k
    answers are right); of greedy and maj_at_k a bit a question, as a hexadecimal number."""
    found = _evaluation(path)
    task = found["tasks"]["heldout"]
    samples = {sample["id"]: sample for sample in task["samples"]}
    ordered = [samples.get(row["id"], {}) for row in rows]
    if [one.get("question") for one in ordered] != [row["question"] for row in rows]:
        raise DataError(f"{path}: not of the held-out questions of this base")
    if not 0 < task["k"] < 10:
        raise DataError(f"{path}: k = {task['k']}: a digit is kept of each question")
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
    """`asked`, `kept` (figures of the questions and their labels), `training` (by role) and
    `stages` (what was spent in this iteration's own folder)."""
    shared = chain in _AS_THE_LOOP and path.name == "iter-1"
    source = run / path.name if shared else path
    drawn = read_object(file_meta_path(source / "questions.jsonl"))["metrics"]
    labelled = source / "labeled.jsonl"
    figures = statistics(
        read_lines([str(labelled)], exact=True, check=check), band=band(Decimal(0))
    )
    roles = {"challenger": source, "solver": path}
    logs = {role: folder / role / "log.jsonl" for role, folder in roles.items()}
    return {
        "asked": {
            "drawn": drawn["drawn"],
            "valid": drawn["questions"] / drawn["drawn"],
            **{name: figures.get(name) for name in _ASKED},
            **_by_kind(_records(labelled), kinds, equivalence),
        },
        "kept": _by_kind(_records(path / "train.jsonl"), kinds, equivalence),
        "training": {role: _training(log) for role, log in logs.items() if log.is_file()},
        "stages": _stages(path),
    }


def _records(path: Path) -> list[Json]:
    return [line.record for line in read_lines([str(path)])]


def _by_kind(records: list[Json], kinds: dict[str, str], equivalence: Equivalence) -> Json:
    """Of questions `n`, `digits` (mean number of them), and by kind how many there are (`kinds`),
    have a label (`labelled`), and have a true one (`true`)."""
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
    """Of a training `reward` (first, last), and the last values that it logged."""
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
    """By stage `seconds`, `tokens`, and `start_up`, the seconds outside of a training's updates:
    imports, loading, saving; each where it is known."""
    stages: Json = {}
    for role in ("challenger", "solver"):
        if (path / role / CHECKPOINT_META).is_file():
            record = read_object(path / role / CHECKPOINT_META)
            log = path / role / "log.jsonl"
            lines = _records(log) if log.is_file() else []
            spent = sum(line.get("step_time", 0.0) for line in lines)
            tokens = max((line.get("num_tokens", 0) for line in lines), default=0)
            stages[record["stage"]] = {"tokens": int(tokens)}
            # A training that was interrupted has the seconds of its last process alone.
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


# ---------------------------------------------------------------- of the whole run


def _difficulty(found: Json) -> Json:
    rows = []
    for row in found["rows"]:
        scores = {name: one["score"] for name, one in row["scores"].items()}
        rows.append({k: row[k] for k in ("questions", "n", "p_hat_mean", "label_accuracy")})
        rows[-1]["scores"] = scores
    return {"solvers": found["solvers"], "rows": rows}


def _guards(run: Path, arm: str, models: Json) -> Json:
    """`scores` (mean@k on the probe, from the base on), and what each guard would have done:
    `trips` (after which iteration; None: never), `ship` (which iteration's Solver; 0 is the base),
    and the exam's mean@k of the `shipped`, the `best` and the `last` Solver."""
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
        said = judge(run, guards, None if "probe" in guards else len(there) - 1)
        last, tripped = said["iteration"], said["tripped"]
        ship = said["best"] if said["best"] is not None else last - tripped
        found[name] = {
            "trips": last if tripped else None,
            "ship": ship,
            "shipped": scores[ship],
            "best": max(scores),
            "last": scores[-1],
        }
    return found


def _rounded(value: Any) -> Any:
    """Floats to five places, in whatever holds them."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
