"""Folders of runs as the loop's Makefile leaves them, made by code, without weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    *("HOSTILE", "damage", "evaluation", "make_iteration", "make_run", "hostile_run"),
    *("labelled", "write"),
]

QUESTIONS = 24


def write(path: Path, *values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def evaluation(right: int, *, of: int = 50, seconds: float = 3.0) -> dict[str, Any]:
    """Return an eval.json with `right` questions answered right, greedily and in every sample."""
    from rzero_cli.analysis.intervals import mean_interval

    verdicts = [i < right for i in range(of)]
    mean, *interval = mean_interval([float(v) for v in verdicts])
    score = {"score": mean, "stderr": 0.05, "ci95": interval}
    samples = [
        {
            "id": f"q{i}",
            "question": f"question {i}",
            "reference": "1",
            "greedy": verdict,
            "correct": [verdict] * 4,
            "maj": verdict,
        }
        for i, verdict in enumerate(verdicts)
    ]
    task = {"metric": "mean_at_k", **score, "k": 4, "n": of, "tokens": 2500, "samples": samples}
    task |= dict.fromkeys(("greedy", "mean_at_k", "maj_at_k"), score)
    return {"tasks": {"heldout": task}, "origin": {"stage": "eval", "seconds": seconds}}


def labelled(number: int, *, templates: int = 6) -> dict[str, Any]:
    """Return the labelled record of one question; its p_hat depends only on its number."""
    sure = number % 10 + 1
    answer, other = str(100 + number), str(900 + number)
    answers = [answer] * sure + [other] * (9 - sure) + [None] * (sure < 10)
    question = f"template {number % templates}: what comes after {number} of {number * 7 % 11}"
    return {
        "id": f"id{number}",
        "question": question,
        "answer": answer,
        "p_hat": sure / 10,
        "m": 10,
        "majority": sure,
        "answers": answers,
        "votes": {answer: sure, **({other: 9 - sure} if sure < 9 else {})},
    }


def _log(role: str, updates: int) -> list[dict[str, float]]:
    """Return a log as TRL writes it, with a step's metrics only in its first update."""
    parts = {
        "challenger": {"r_unc": 0.5, "r_rep": 0.2, "valid": 0.97, "p_hat": 0.6},
        "solver": {"agrees_with_label": 0.4, "readable": 1.0},
    }[role]
    lines = []
    for update in range(1, updates + 1):
        line: dict[str, float] = {"update": update, "loss": 0.1, "kl": 0.001 * update}
        line |= {"entropy": 1 / update}
        if update % 2:
            line |= {"reward": 0.3 + 0.4 * update / updates, "num_tokens": 100.0 * update, **parts}
            line |= {"completions/mean_length": 12.5, "completions/max_length": 20.0}
            line |= {"completions/clipped_ratio": 0.0, "frac_reward_zero_std": 0.25}
        lines.append(line)
    return lines


def make_iteration(
    folder: Path, right: int, *, graded: bool = True, updates: int = 6, templates: int = 6
) -> None:
    """Write one iteration: 24 questions, 14 of them kept, half of those with true labels."""
    rows = [labelled(number, templates=templates) for number in range(QUESTIONS)]
    kept = [row for row in rows if 0.25 <= row["p_hat"] <= 0.75]
    judged = [
        row | {"reference": row["answer"] if i % 2 else "0", "correct": bool(i % 2)}
        for i, row in enumerate(kept)
    ]
    mean = sum(row["p_hat"] for row in rows) / len(rows)
    true = sum(row["correct"] for row in judged)
    files: dict[str, tuple[str, Sequence[dict[str, Any]], dict[str, Any]]] = {
        "questions.jsonl": ("sample", rows, {"drawn": 25, "questions": QUESTIONS}),
        "labeled.jsonl": ("label", rows, {"questions": QUESTIONS, "p_hat_mean": mean}),
        "train.jsonl": ("filter", kept, {"read": QUESTIONS, "kept": len(kept)}),
    }
    if graded:
        files["graded.jsonl"] = ("grade", judged, {"graded": len(kept), "correct": true})
    settings = {"seed": 1, "preset": "tiny", "m": 10, "delta": "0.25", "solver": "base-model"}
    for name, (stage, records, metrics) in files.items():
        write(folder / name, *records)
        meta = {"stage": stage, "settings": settings, "metrics": metrics, "seconds": 2.5}
        if stage in ("sample", "label"):
            meta |= {"tokens": 1234, "spent": {"loading": 0.5, "generating": 2.0}}
        write(folder / f"{name}.meta.json", meta)
    for role, stage in (("challenger", "challenge"), ("solver", "train-solver")):
        write(folder / role / "log.jsonl", *_log(role, updates))
        meta = {"stage": stage, "settings": settings, "metrics": {}, "seconds": 30.0}
        meta["spent"] = {"loading": 6.0, "rollouts": 15.0, "updates": 9.0}
        write(folder / role / "rzero.json", meta | {"plan": {"rollouts_per_step": 40}})
    write(folder / "eval.json", evaluation(right))


def make_run(
    folder: Path,
    rights: Sequence[int],
    *,
    base: int = 20,
    baseline: Sequence[int] = (),
    **iteration: Any,
) -> Path:
    """Write a run whose Solvers answer `rights` of 50 questions right, one per iteration."""
    write(folder / "base" / "eval.json", evaluation(base))
    (folder / "made-with").write_text("model base-model, preset tiny, seed 7\n")
    for chain, scores in (("", rights), ("base-challenger", baseline)):
        for number, right in enumerate(scores, 1):
            make_iteration(folder / chain / f"iter-{number}", right, **iteration)
    return folder


HOSTILE = (
    "</style></svg><script>alert(1)</script><img src=x onerror=alert(1)> \u202etxet $\\frac$ "
    "\x1b[31m ``` `x` | [x](http://evil.example) ![x](http://evil.example/y) {{ 7*7 }} --> "
)


def hostile_run(folder: Path) -> Path:
    run = make_run(folder, [30])
    record = labelled(4) | {
        "question": HOSTILE + "long " * 10_000,
        "answer": HOSTILE,
        "answers": [HOSTILE, None, *["x" * 50_000] * 100],
        "votes": {HOSTILE: 5, "x" * 50_000: 100},
    }
    write(run / "iter-1" / "labeled.jsonl", record)
    settings = {HOSTILE: HOSTILE, "seed": HOSTILE}
    write(run / "iter-1" / "challenger" / "rzero.json", {"stage": HOSTILE, "settings": settings})
    (run / "made-with").write_text(f"model {HOSTILE}, preset {HOSTILE}, seed 7")
    return run


def damage(run: Path) -> dict[str, str]:
    """Damage a run in many places; return the expected remark of each section."""
    (run / "iter-2" / "eval.json").unlink()
    (run / "iter-3" / "eval.json").write_text("{")
    (run / "iter-2" / "labeled.jsonl").unlink()
    with (run / "iter-1" / "labeled.jsonl").open("ab") as stream:
        stream.write(b'{"question": 3}\n\xff\xfe\n{"question": "x", "p_hat": 7}\n{"torn')
    (run / "iter-3" / "labeled.jsonl").write_bytes(b"\0" * 1000)
    (run / "iter-1" / "graded.jsonl").unlink()
    (run / "iter-2" / "challenger" / "log.jsonl").unlink()
    (run / "iter-3" / "challenger" / "log.jsonl").write_text("nothing\n")
    shutil.move(run / "iter-3" / "solver", run / "iter-3" / "solver.part")
    with (run / "iter-3" / "solver.part" / "log.jsonl").open("a") as stream:
        stream.write('{"update": 7, "kl')
    (run / "iter-1" / "questions.jsonl.meta.json").write_text("[]")
    (run / "difficulty.json").write_text('{"rows": 3}')
    return {
        "accuracy": "iter-2/eval.json: does not exist yet",
        "difficulty": "difficulty.json: cannot be shown",
        "p-hat": "iter-2/labeled.jsonl: does not exist yet",
        "training": "iter-3/solver.part/log.jsonl: the training is unfinished, 6 updates so far",
        "time": "iter-1/questions.jsonl.meta.json: expected a JSON object",
    }
