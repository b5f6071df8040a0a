"""Near-duplicates found by the index, compared with all pairs."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from rzero_cli.analysis.near_duplicates import near_duplicates
from rzero_cli.method.similarity import distance_matrix


def edited(text: str, rng: random.Random, words: list[str]) -> str:
    """Replace up to a third of the words and sometimes append a clause of another question."""
    share = rng.random() * 0.35
    made = [word if rng.random() > share else rng.choice(words) for word in text.split()]
    if rng.random() < 0.3:
        made += rng.choices(words, k=rng.randint(1, 12))
    return " ".join(made)


@pytest.mark.parametrize("bleu", ["13a", "char", "nltk"])
@pytest.mark.parametrize("tau_bleu", [0.3, 0.5])
def test_near_duplicates_of_edited_real_questions_are_found(
    benchmarks: Path, bleu: str, tau_bleu: float
) -> None:
    rng = random.Random(0)
    lines = (benchmarks / "gsm8k_test.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in rng.sample(lines, 400)]
    words = " ".join(questions).split()
    questions += [edited(question, rng, words) for question in questions]
    distances = distance_matrix(questions, bleu)
    found = list(near_duplicates(questions, tau_bleu=tau_bleu, bleu=bleu))
    assert all(n is None or distances[i, n] < tau_bleu for i, n in enumerate(found))
    there = [bool((distances[i, :i] < tau_bleu).any()) for i in range(len(questions))]
    assert sum(there) > 100
    hits = sum(n is not None for n, is_there in zip(found, there, strict=True) if is_there)
    assert hits / sum(there) >= 0.98


def test_near_duplicates_among_templates_and_short_questions() -> None:
    questions = [f"What is {k} plus {k * 7 % 13} ?" for k in range(300)]
    questions += ["a", "a", "b", "", "", "x y", "x y", "one two three four five six"]
    distances = distance_matrix(questions)
    found = list(near_duplicates(questions))
    for i, number in enumerate(found):
        assert number is None or distances[i, number] < 0.5
        assert (number is not None) == bool((distances[i, :i] < 0.5).any()), questions[i]


def test_nltk_bleu_does_not_match_short_questions_with_themselves() -> None:
    # nltk's BLEU of two identical tokens is 0.316
    assert list(near_duplicates(["x y", "x y", "a b c", "a b c"], bleu="nltk")) == [None] * 3 + [2]


def test_near_duplicates_stream_in_order() -> None:
    read = []

    def questions() -> object:
        for text in ("a b c d e", "f g h i j", "a b c d x"):
            read.append(text)
            yield text

    results = near_duplicates(questions())  # type: ignore[arg-type]
    assert [next(results), len(read)] == [None, 1]
    assert [next(results), next(results)] == [None, 0]
