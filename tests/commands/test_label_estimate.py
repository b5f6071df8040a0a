"""`rzero label --dry-run`: estimates of tokens before any request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero_cli.method.prompts import SOLVER, plain_text, prompt_for

QUESTIONS = ["What is 1 + 1?", "How many divisors has 60?", "Name a prime above 100."]
ELSEWHERE = ["--endpoint", "http://127.0.0.1:1"]  # a port without a server: no request is made


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps({"question": q}) + "\n" for q in QUESTIONS))
    return path


def test_label_dry_run_estimates_tokens(rzero, questions: Path) -> None:
    options = ["--dry-run", "--m", "4", "--max-tokens", "1000", "--json"]
    done = rzero("label", questions, *ELSEWHERE, *options)
    assert done.status == 0, done.stderr
    about = [len(plain_text(prompt_for(SOLVER, q))) // 4 for q in QUESTIONS]
    # 3 questions x 4 answers x 1,000 tokens, half and an eighth of it.
    assert json.loads(done.stdout) == {
        "questions": 3,
        "answers": 12,
        "prompt_tokens": sum(about),
        "prompt_tokens_exact": False,
        "completion_tokens": [12_000, 6_000, 1_500],
    }
    part = rzero("label", questions, *ELSEWHERE, *options, "--shard", "1/3")
    assert json.loads(part.stdout)["prompt_tokens"] == about[1]
    shown = rzero("label", *ELSEWHERE, *options[:-1], input=questions.read_text())
    assert "3 questions x 4 answers of at most 1,000 tokens" in shown.stdout
    assert "answers, at most                        12,000 tokens" in shown.stdout


@pytest.mark.slow
def test_label_dry_run_counts_exactly_with_a_local_tokenizer(
    rzero, questions: Path, plain_model: Path
) -> None:
    from rzero_cli.engines.chat import encode
    from rzero_cli.engines.transformers import load_tokenizer

    done = rzero("label", questions, "--solver", plain_model, "--dry-run", "--json")
    found = json.loads(done.stdout)
    tokenizer = load_tokenizer(str(plain_model))
    exactly = sum(len(encode(tokenizer, prompt_for(SOLVER, q))) for q in QUESTIONS)
    assert (found["prompt_tokens"], found["prompt_tokens_exact"]) == (exactly, True)


def test_json_is_refused_without_dry_run(refused, questions: Path) -> None:
    assert "--json requires --dry-run" in refused("label", str(questions), *ELSEWHERE, "--json")
