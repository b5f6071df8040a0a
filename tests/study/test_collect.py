"""Collecting the metrics of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rzero_cli.errors import DataError
from rzero_cli.world import questions as world
from tests.helpers.run_folders import write

from .collect import collect, dump, values_by_question


def _record(stage: str, **more: Any) -> dict[str, Any]:
    host = {"cores": 2, "name": "a-name", "memory_gib": 4.0, "gpus": []}
    own = {"stage": stage, "seconds": 9.0, "finished": "2026-01-02T03:04:05+00:00"}
    return own | {"host": host, "versions": {"torch": "2"}, "directory": "/", **more}


def _write_evaluation(path: Path, base: Path, right: int) -> None:
    """Write an evaluation: the first `right` held-out questions are answered correctly in every
    way, the others in 3 of 4 samples."""
    samples = [
        row | {"greedy": i < right, "maj": i < right, "correct": [i < right, True, True, True]}
        for i, row in enumerate(world.heldout_rows(5))
    ]
    scores = {"greedy": right / 720, "maj_at_k": right / 720}
    scores["mean_at_k"] = (3 * 720 + right) / 4 / 720
    task: dict[str, Any] = {name: {"score": score} for name, score in scores.items()}
    task |= {"k": 4, "tokens": 77, "seconds": 2.0, "samples": samples[::-1]}
    record = _record("eval", settings={"model": str(base), "seed": 0})
    write(path, {"tasks": {"heldout": task}, "origin": record})


def _labelled(question: str, answer: str | None, p_hat: float = 0.5) -> dict[str, Any]:
    return {"question": question, "answer": answer, "p_hat": p_hat, "m": 2}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A hand-made run of base 5: one iteration of the loop, and of the arm without filter."""
    base, run = tmp_path / "base-5", tmp_path / "run"
    write(base / "rzero.json", _record("tiny-base", settings={"seed": 5, "heldout_seed": None}))
    _write_evaluation(run / "base" / "eval.json", base, 10)
    (run / "made-with").write_text("model base-5, preset tiny, seed 7\n")
    kinds = world.draw_base(5).kinds
    mastered, hard = (
        next(p for p, of in kinds.items() if of == kind) for kind in ("mastered", "hard")
    )
    rows = [
        _labelled(f"{mastered} 123", world.truth(f"{mastered} 123"), 0.9),
        _labelled(f"{hard} 1234", world.truth(f"{hard} 1234")),
        _labelled(f"{hard} 12345", "77777"),
        _labelled("9999999", "1"),
        _labelled(f"{hard} 999", None),
    ]
    for folder, kept in ((run, rows[1:4]), (run / "no-filter", rows[:4])):
        first = folder / "iter-1"
        _write_evaluation(first / "eval.json", base, 20)
        write(first / "train.jsonl", *kept)
        write(first / "train.jsonl.meta.json", _record("filter"))
        logged = [{"reward": 0.25, "kl": 0.0, "step_time": 1.5, "num_tokens": 10.0}]
        logged += [{"reward": 0.75, "kl": 0.1, "step_time": 1.5, "num_tokens": 30.0}]
        write(first / "solver" / "log.jsonl", *logged)
        write(first / "solver" / "rzero.json", _record("train-solver"))
    write(run / "iter-1" / "labeled.jsonl", *rows)
    metrics = {"drawn": 8, "questions": 5, "malformed": 3}
    write(
        run / "iter-1" / "questions.jsonl.meta.json", _record("sample", metrics=metrics, tokens=5)
    )
    return run


def test_collect_keeps_the_metrics_of_a_run(run: Path) -> None:
    found = collect(run)
    assert (found["base"], found["seed"], found["finished"]) == (5, 7, "2026-01-02")
    assert list(found["models"]) == ["base", "trained/1", "no-filter/1"]
    first = found["models"]["trained/1"]
    assert first["asked"]["drawn"] == 8
    assert first["asked"]["valid"] == 5 / 8
    # Kinds: mastered, medium, hard, off-template.
    assert first["asked"]["kinds"] == [1, 0, 3, 1]
    assert first["asked"]["labelled"] == [1, 0, 2, 1]
    assert first["asked"]["true"] == [1, 0, 1, 0]
    assert first["asked"]["digits"] == (3 + 4 + 5 + 7 + 3) / 5
    assert first["kept"]["kinds"] == [0, 0, 2, 1]
    assert first["kept"]["true"] == [0, 0, 1, 0]
    assert first["training"] == {"solver": {"updates": 2, "reward": [0.25, 0.75], "kl": 0.1}}
    trained = {"seconds": 9.0, "tokens": 30, "start_up": 6.0}
    assert first["stages"]["train-solver"] == trained
    assert first["exam"]["start_up"] == 7.0
    # It shares the loop's questions and labels, not its kept questions and costs.
    other = found["models"]["no-filter/1"]
    assert other["asked"] == first["asked"]
    assert other["kept"]["kinds"] == [1, 0, 2, 1]
    assert "sample" in first["stages"]
    assert "sample" not in other["stages"]


def test_collect_keeps_verdicts_in_the_order_of_the_heldout_rows(run: Path) -> None:
    found = json.loads(dump(collect(run)))
    exam = found["models"]["base"]["exam"]
    how = (found["questions"], found["k"])
    assert values_by_question(exam, "greedy", *how) == [1.0] * 10 + [0.0] * 710
    assert values_by_question(exam, "maj_at_k", *how) == [1.0] * 10 + [0.0] * 710
    assert values_by_question(exam, "mean_at_k", *how) == [1.0] * 10 + [0.75] * 710


def test_collect_keeps_nothing_of_the_machine(run: Path) -> None:
    text = dump(collect(run))
    assert str(run.parent) not in text
    assert "a-name" not in text


def test_collect_names_a_separate_arm(run: Path) -> None:
    apart = shutil.copytree(run, run.with_name("run-fast"))
    found = collect(run, {"fast": apart})
    assert list(found["models"]) == ["base", "trained/1", "no-filter/1", "fast/1"]
    assert found["models"]["fast/1"] == found["models"]["trained/1"]


def test_collect_accepts_a_run_interrupted_before_its_guards(run: Path) -> None:
    shutil.copy(run / "base" / "eval.json", run / "base" / "probe.json")
    assert "guards" not in collect(run)


def test_collect_refuses_a_run_on_other_questions(run: Path) -> None:
    made = run.parent / "base-5" / "rzero.json"
    made.write_text(made.read_text().replace('"seed": 5', '"seed": 6'))
    with pytest.raises(DataError, match="not the held-out set"):
        collect(run)
