"""`rzero sample` and `rzero label` with real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Ended, Rzero
from helpers.json_lines import jsonl, records

TINY = ["--max-tokens", "24", "--batch-size", "16"]


@pytest.mark.slow
def test_sample_writes_questions_and_counts_malformed_ones(
    rzero: Rzero, tmp_path: Path, small_base: Path
) -> None:
    draw = ["sample", "--challenger", small_base, "-n", "60", *TINY, "--temperature", "2"]
    everything = rzero(*draw, "--keep-malformed")
    assert everything.status == 0, everything.stderr
    rows = records(everything)
    assert len(rows) == 60
    good = [row for row in rows if row["question"] is not None]
    bad = [row for row in rows if row["question"] is None]
    assert good
    assert bad
    assert all(list(row) == ["id", "question", "proposed_answer"] for row in good)
    assert all(row["id"] is None and "completion" in row for row in bad)
    assert (
        f"sample: {len(good)} questions from 60 completions, {len(bad)} malformed"
        in everything.stderr
    )
    assert rzero(*draw, "-o", "out.jsonl").status == 0
    assert records(Ended(0, (tmp_path / "out.jsonl").read_text(), "")) == good
    metrics = json.loads((tmp_path / "out.jsonl.meta.json").read_text())["metrics"]
    assert metrics == {"drawn": 60, "questions": len(good), "malformed": len(bad)}


@pytest.mark.slow
def test_sample_hints_at_the_prompt_if_no_completion_has_a_question(
    rzero: Rzero, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompt.txt").write_text("Write anything.")
    done = rzero(
        *("sample", "--challenger", tiny_model, "-n", "3", *TINY, "--prompt-file", "prompt.txt")
    )
    assert (done.status, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == (
        "sample: no completion has <question>...</question>: does the prompt ask for it?"
    )


@pytest.mark.slow
def test_label_adds_keys_and_keeps_the_others(rzero: Rzero, tiny_model: Path) -> None:
    rows = [
        {"z": 123456789012345678901234567890, "problem": "reverse the digits of 12", "é": "\ud800"},
        {"problem": "", "answer": "old"},
        {"problem": "in no token \ud800 at all"},
    ]
    ended = rzero(
        *("label", "--solver", tiny_model, "--m", "4", *TINY),
        *("--question-key", "problem", "--keep-completions"),
        input=jsonl(*rows),
    )
    assert ended.status == 0, ended.stderr
    labeled = records(ended)
    added = ["answer", "p_hat", "m", "majority", "answers", "votes", "completions"]
    assert list(labeled[0]) == ["z", "problem", "é", *added]
    assert list(labeled[1]) == ["problem", *added]
    for row, out in zip(rows, labeled, strict=True):
        assert out | row | {"answer": out["answer"]} == out
        assert out["m"] == len(out["answers"]) == len(out["completions"]) == 4
        assert out["p_hat"] == out["majority"] / 4
        assert out["majority"] == max(out["votes"].values(), default=0)
    assert "label: 3 questions x 4 answers" in ended.stderr


@pytest.mark.slow
def test_label_writes_results_before_a_bad_line(rzero: Rzero, tiny_model: Path) -> None:
    ended = rzero(
        *("label", "--solver", tiny_model, "--m", "2", *TINY),
        input=jsonl({"question": "a"}, {"question": "b"}) + "nonsense\n",
    )
    assert ended.status == 2
    assert len(ended.lines) == 2
    assert "rzero: <stdin>:3: not JSON" in ended.stderr
