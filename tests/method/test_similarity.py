"""BLEU distances and clusters, compared with loops over the libraries' own functions."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering

from rzero_cli.errors import UsageError
from rzero_cli.method.rewards import BLEU_TOKENIZERS, check_tokenizer, cluster_questions
from rzero_cli.method.similarity import (
    NEAR,
    NLTK,
    Words,
    condensed_distances,
    distance_matrix,
    self_bleu,
    tokenizer,
)

Matrix = NDArray[np.float64]
TOKENIZERS = ("13a", "char", "intl", "none", "zh")
ALL = (*TOKENIZERS, NLTK)


def sacrebleu_loop(texts: Sequence[str], tokenizer: str) -> Matrix:
    """The specified distance, pair by pair: 1 - (s(i, j) + s(j, i)) / 200."""
    metric = BLEU(effective_order=True, smooth_method="exp", tokenize=tokenizer)
    scores = np.array([[metric.sentence_score(h, [r]).score for r in texts] for h in texts])
    distances: Matrix = 1 - (scores + scores.T) / 200
    np.fill_diagonal(distances, 0)
    return distances


def nltk_loop(texts: Sequence[str]) -> Matrix:
    """The authors' code: hypothesis is the lower index, and the value is mirrored."""
    smooth = SmoothingFunction().method1
    distances = np.zeros((len(texts), len(texts)))
    for i, hypothesis in enumerate(texts):
        for j in range(i + 1, len(texts)):
            score = sentence_bleu([texts[j].split()], hypothesis.split(), smoothing_function=smooth)
            distances[i, j] = distances[j, i] = 1 - score
    return distances


def loop(texts: Sequence[str], bleu: str) -> Matrix:
    return nltk_loop(texts) if bleu == NLTK else sacrebleu_loop(texts, bleu)


def check_against_the_loops(texts: Sequence[str], tokenizers: Sequence[str] = ALL) -> None:
    for bleu in tokenizers:
        expected = loop(texts, bleu)
        distances = distance_matrix(texts, bleu)
        np.testing.assert_allclose(distances, expected, rtol=0, atol=1e-12)
        # Equal to the last bit wherever a threshold may lie.
        near = expected < NEAR - 1e-9
        assert (distances[near] == np.maximum(expected, 0)[near]).all()


def edited(text: str, rng: random.Random) -> str:
    """A near duplicate: one word swapped, dropped or doubled."""
    words = text.split()
    i = rng.randrange(len(words))
    words[i : i + 1] = rng.choice([["seven"], [], [words[i], words[i]]])
    return " ".join(words)


def real_questions(folder: Path, each: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    questions = []
    for name, key in (("gsm8k_test", "question"), ("amc23", "problem"), ("aime24", "problem")):
        lines = (folder / f"{name}.jsonl").read_text("utf-8").splitlines()
        questions += [json.loads(line)[key] for line in rng.sample(lines, each)]
    return questions


def test_bleu_of_real_questions_equals_the_libraries(benchmarks: Path) -> None:
    questions = real_questions(benchmarks, each=5, seed=1)
    rng = random.Random(2)
    check_against_the_loops([*questions, *(edited(q, rng) for q in questions), questions[0]])


SHORT = (
    "",
    " ",
    "a",
    "a b",
    "a b c",
    "a b c d",
    "a b c d e",
    "b a",
    "a a",
    "a a a a a",
    "é 漢字 漢",
)


def test_bleu_of_empty_and_short_texts_equals_the_libraries() -> None:
    check_against_the_loops(
        [*SHORT, "a\n", "a.", "$a$", "1,000.5", "x\u2028y", "don't", "a  b", "a-\n", "a-"]
    )


words = st.lists(st.sampled_from(["a", "b", "c", "1.5", "é", "漢", "(x)", "&quot;"]), max_size=12)


@settings(max_examples=60)
@given(st.lists(words.map(" ".join) | st.text(max_size=12), min_size=1, max_size=6))
def test_bleu_of_any_texts_equals_the_libraries(texts: list[str]) -> None:
    check_against_the_loops(texts)


def test_bleu_distances_by_hand() -> None:
    # "a b c d" against "a b c x", both of 4 tokens, so no brevity penalty. Precisions 3/4, 2/3, 1/2
    # and 0 of 1, which smoothing makes 1/2: (3/4 * 2/3 * 1/2 * 1/2) ** (1/4) = (1/8) ** (1/4).
    distance = distance_matrix(["a b c d", "a b c x"], "none")[0, 1]
    assert distance == pytest.approx(1 - (1 / 8) ** 0.25, abs=1e-15)
    # nltk: the order without a match counts 0.1 of 1: (3/4 * 2/3 * 1/2 * 1/10) ** (1/4).
    distance = distance_matrix(["a b c d", "a b c x"], NLTK)[0, 1]
    assert distance == pytest.approx(1 - (1 / 40) ** 0.25, abs=1e-15)
    # "a b" against "a b c": effective order 2 with precisions 1, brevity penalty exp(1 - 3/2);
    # the other way round 2/3, 1/2 and 0 of 1 smoothed to 1/2: (1/6) ** (1/3).
    distance = 1 - (np.exp(-0.5) + (1 / 6) ** (1 / 3)) / 2
    assert distance_matrix(["a b", "a b c"], "none")[0, 1] == pytest.approx(distance, abs=1e-15)
    # Far apart: one token of ten shared, (1/10 * 1/2/9 * 1/4/8 * 1/8/7) ** (1/4).
    far = distance_matrix(["a b c d e f g h i j", "a k l m n o p q r s"], "none")[0, 1]
    assert far == pytest.approx(1 - (1 / (10 * 18 * 32 * 56)) ** 0.25, abs=1e-15)


def test_blocks_of_rows_give_the_same_distances() -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices("abcdefgh", k=rng.randint(0, 12))) for _ in range(150)]
    for bleu in ("none", NLTK):  # 150 rows are three blocks
        np.testing.assert_allclose(distance_matrix(texts, bleu), loop(texts, bleu), atol=1e-12)
    assert (squareform(condensed_distances(texts)) == distance_matrix(texts)).all()


@pytest.mark.parametrize("bleu", ALL)
@settings(max_examples=150)
@given(st.text(st.sampled_from("ab1.,-&;\n\t \u2028\x1c()<>é漢") | st.characters(), max_size=30))
def test_words_tokenize_the_same_alone_and_in_a_line(bleu: str, text: str) -> None:
    same_words = f"a {text} 1"
    texts = [text, same_words, "a &quot; 1.5 <skipped> -\n b"]
    tokenize = tokenizer(bleu)
    for one in texts:
        assert token_numbers([one, *texts], bleu)[0] == numbered([tokenize(one)])[0]


def token_numbers(texts: Sequence[str], bleu: str) -> list[list[int]]:
    words = Words(bleu)
    return [words.of(text) for text in texts]


def numbered(lists: Sequence[Sequence[str]]) -> list[list[int]]:
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(token, len(numbers)) for token in tokens] for tokens in lists]


@pytest.mark.parametrize("bleu", ALL)
def test_distance_matrix_is_symmetric_with_zero_diagonal(bleu: str) -> None:
    distances = distance_matrix([*SHORT, "a b c d e f", "z"], bleu)
    assert (distances == distances.T).all()
    assert (distances.diagonal() == 0).all()
    assert ((distances >= 0) & (distances <= 1)).all()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_identical_short_questions_have_distance_zero(tokenizer: str) -> None:
    # Without effective order two identical questions of three tokens would be far apart.
    for text in ("a", "a b", "x y z", "a b c d e"):
        assert distance_matrix([text, text], tokenizer)[0, 1] == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------- clusters


def test_self_bleu_is_the_mean_of_the_libraries_scores() -> None:
    texts = ["how many apples has he", "how many pears has she got", "find x", "how many apples"]
    smooth = SmoothingFunction().method1
    sacre = BLEU(effective_order=True, tokenize="13a")

    def nltk_score(i: int, j: int) -> float:  # the one that comes first is the hypothesis
        i, j = min(i, j), max(i, j)
        return float(sentence_bleu([texts[j].split()], texts[i].split(), smoothing_function=smooth))

    def sacrebleu_score(i: int, j: int) -> float:
        there = sacre.sentence_score(texts[i], [texts[j]]).score
        return float(there + sacre.sentence_score(texts[j], [texts[i]]).score) / 200

    for bleu, score in (("13a", sacrebleu_score), (NLTK, nltk_score)):
        own = [np.mean([score(i, j) for j in range(4) if j != i]) for i in range(4)]
        found, error = self_bleu(condensed_distances(texts, bleu))
        assert found == pytest.approx(np.mean(own), abs=1e-12)
        assert error == pytest.approx(2 * np.std(own) / 2, abs=1e-12)  # sqrt(4) questions
    assert self_bleu(condensed_distances(["a b c d"] * 3)) == (1.0, 0.0)
    assert self_bleu(condensed_distances(["a b c d", "e f g h"])) == (0.0, 0.0)


def test_self_bleu_error_matches_the_spread_of_samples() -> None:
    rng = random.Random(0)
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"]
    all_of_them = [" ".join(rng.choices(words, range(1, 17), k=12)) for _ in range(400)]
    all_of_them += ["what is the sum of a and b"] * 40
    whole = self_bleu(condensed_distances(all_of_them))[0]
    sampled = [self_bleu(condensed_distances(rng.choices(all_of_them, k=100))) for _ in range(60)]
    off = np.sqrt(np.mean([(one - whole) ** 2 for one, _ in sampled]))
    assert 0.6 < off / np.mean([error for _, error in sampled]) < 1.5


@lru_cache(maxsize=1)  # several tests of the same texts come in a row
def _loop_once(texts: tuple[str, ...], bleu: str) -> NDArray[np.float64]:
    return np.maximum(loop(texts, bleu), 0)  # rounding leaves copies just below 0


def sklearn_clusters(texts: Sequence[str], bleu: str, tau_bleu: float) -> list[int]:
    """The clusters from the libraries alone: their BLEU in a loop, their clustering."""
    model = AgglomerativeClustering(
        metric="precomputed", linkage="average", distance_threshold=tau_bleu, n_clusters=None
    )
    distances = _loop_once(tuple(texts), bleu)
    labels = model.fit_predict(distances).tolist()
    return in_order_of_appearance(labels)


def in_order_of_appearance(labels: Sequence[int]) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


@pytest.mark.parametrize("tau_bleu", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("bleu", ["13a", "char", NLTK])
def test_clusters_of_real_questions_equal_sklearns(
    benchmarks: Path, bleu: str, tau_bleu: float
) -> None:
    questions = real_questions(benchmarks, each=20, seed=3)
    rng = random.Random(4)
    chains = [questions[i] for i in range(0, len(questions), 3)]
    for _ in range(4):  # more edits each time, so that clusters drift apart
        chains = [edited(question, rng) for question in chains]
        questions += chains
    clusters = cluster_questions(questions, bleu=bleu, tau_bleu=tau_bleu)
    assert clusters == sklearn_clusters(questions, bleu, tau_bleu)
    assert 1 < len(set(clusters)) < len(questions)


@settings(max_examples=100)
@given(
    st.lists(words.map(" ".join), min_size=2, max_size=14),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
    st.sampled_from(["13a", "none", NLTK]),
)
def test_clusters_of_any_texts_equal_sklearns(texts: list[str], tau_bleu: float, bleu: str) -> None:
    expected = sklearn_clusters(texts, bleu, tau_bleu)
    assert cluster_questions(texts, bleu=bleu, tau_bleu=tau_bleu) == expected


def test_bleu_of_long_and_repetitive_texts_equals_the_libraries() -> None:
    """N-grams repeated in a question, items common to all texts, and rare items."""
    rng = random.Random(5)
    texts = [" ".join(rng.choices("ab", k=rng.randint(1, 60))) for _ in range(12)]
    texts += ["the " * k + "end" for k in range(1, 9)]
    texts += [f"what is {k} and then {k % 3} of the word{k}" for k in range(12)]
    check_against_the_loops(texts)


def test_distances_of_more_questions_than_a_block(benchmarks: Path) -> None:
    questions = real_questions(benchmarks, each=30, seed=6)
    questions += [edited(q, random.Random(7)) for q in questions]
    assert len(questions) > 2 * 64
    np.testing.assert_array_equal(
        distance_matrix(questions, NLTK)[100:, 100:], distance_matrix(questions[100:], NLTK)
    )
    np.testing.assert_allclose(
        distance_matrix(questions), sacrebleu_loop(questions, "13a"), atol=1e-12
    )


def test_distance_of_exactly_tau_does_not_merge() -> None:
    # "a" against "a": BLEU 1. "a" against "b": 0, distance exactly 1.
    assert cluster_questions(["a", "b", "a"], tau_bleu=1.0) == [0, 1, 0]
    assert cluster_questions(["a", "b", "a"], tau_bleu=0.5) == [0, 1, 0]
    # "a b" against "a x": 1/2, then 0 of 1 smoothed to 1/2: BLEU sqrt(1/4), exactly half.
    exact = float(distance_matrix(["a b", "a x"], "none")[0, 1])
    assert exact == pytest.approx(0.5, abs=1e-15)
    assert cluster_questions(["a b", "a x"], bleu="none", tau_bleu=exact) == [0, 1]
    above = float(np.nextafter(exact, 1))
    assert cluster_questions(["a b", "a x"], bleu="none", tau_bleu=above) == [0, 0]


def test_average_linkage_by_hand() -> None:
    # The first two are at distance 0 and merge; the third is at the same distance from both.
    texts = ["a b c d", "a b c d", "a b c x", "p q r s"]
    # d = 1 - (1/8) ** (1/4) = 0.405 in both directions, so the average is 0.405 too.
    assert cluster_questions(texts, bleu="none", tau_bleu=0.40) == [0, 0, 1, 2]
    assert cluster_questions(texts, bleu="none", tau_bleu=0.41) == [0, 0, 0, 1]


def test_clusters_of_no_and_one_question() -> None:
    assert cluster_questions([]) == []
    assert cluster_questions(["a"]) == [0]


def test_unknown_bleu_tokenizer_is_refused() -> None:
    for name in (*BLEU_TOKENIZERS, NLTK):
        check_tokenizer("--bleu", name)
    with pytest.raises(UsageError, match="--bleu flores200: unknown; known: 13a, char"):
        check_tokenizer("--bleu", "flores200")
