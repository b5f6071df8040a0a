"""The search for contamination on planted copies, edited and not, among chance overlaps.

Run with -s, the tests print what was found by kind of edit.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from helpers.planted_copies import EDITS, Planted, plant, planted, question
from rzero_cli.analysis.contamination import Overlap, index_benchmarks
from rzero_cli.data.jsonl import Line, read_lines


def hits_of(benchmark: list[str], training: list[str]) -> dict[int, dict[str, Any]]:
    """The hits by place of the benchmark question."""
    lines = (Line("b", i, b"", {"question": text}) for i, text in enumerate(benchmark))
    overlap = Overlap(index_benchmarks(lines))
    for place, text in enumerate(training):
        overlap.add(place, text)
    return {hit["line"]: hit for hit in overlap.by_benchmark()[0]["hits"]}


def measured(name: str, data: Planted) -> tuple[float, float, Counter[str]]:
    """Recall, precision, and the copies that were missed by kind of edit."""
    hits = hits_of(data.benchmark, data.training)
    places = defaultdict(list)
    for place, (number, _) in data.copies.items():
        places[number].append(place)
    right = [n for n in places if n in hits and {*places[n]} & {*hits[n]["lines"]}]
    missed = Counter(kind for number, kind in data.copies.values() if number not in right)
    levels = Counter(hits[number]["confidence"] for number in right)
    false = Counter(hit["confidence"] for number, hit in hits.items() if number not in places)
    print(
        f"\n{name}: {len(right)} of {len(places)} copies found ({dict(levels)}), false: "
        f"{dict(false)}, missed: {dict(missed)}"
    )
    return len(right) / len(places), len(right) / max(1, len(right) + false.total()), missed


@pytest.mark.parametrize("seed", range(3))
def test_edited_copies_are_found_and_chance_overlaps_are_not(seed: int) -> None:
    data = planted(seed, benchmark=300, training=1500, each=6)
    recall, precision, missed = measured(f"made, seed {seed}", data)
    assert recall >= 0.85
    assert precision >= 0.95
    # Here questions of one form differ in little else than their numbers.
    unedited = ("none", "typesetting", "wrapped", "sentences reordered")
    assert not any(missed[kind] for kind in unedited)


def test_edited_copies_of_gsm8k_are_found(benchmarks: Path) -> None:
    path = str(benchmarks / "gsm8k_test.jsonl")
    texts = [line.text("question") for line in read_lines([path])]
    rng = random.Random(0)
    rng.shuffle(texts)
    data = plant(rng, texts[:660], texts[660:], each=10)
    recall, precision, _ = measured("GSM8K", data)
    assert recall >= 0.98
    assert precision >= 0.98  # GSM8K has a few pairs that are variants of each other


def test_code_of_a_figure_is_no_match() -> None:
    figure = "[asy] size(120); pair A=(0,0), B=(4,0), C=(4,3); draw(A--B--C--cycle); [/asy]"
    benchmark = [f"What is the area of the triangle with the longest side in the picture? {figure}"]
    other = f"Zoe folds the paper along the dotted line. How long is the fold? {figure}"
    assert hits_of(benchmark, [other, figure]) == {}
    assert hits_of(benchmark, [benchmark[0].partition("[")[0]])[0]["confidence"] == "high"


def test_phrase_that_is_frequent_in_the_training_data_is_no_match() -> None:
    stock = "written as m/n where m and n are relatively prime positive integers find m+n"
    asked = "The chance that two red cards of a deck of eighty lie side by side is"
    rng = random.Random(1)
    training = [f"{question(rng)} The result is {stock}" for _ in range(200)]
    assert hits_of([f"{asked} {stock}"], training) == {}
    hit = hits_of([f"{asked} {stock}"], [*training, f"{asked.replace('red', 'blue')} {stock}"])[0]
    assert (hit["confidence"], hit["lines"]) == ("high", [200])


def test_confidence_is_high_medium_or_low() -> None:
    rng = random.Random(2)
    benchmark = [question(rng) for _ in range(50)]
    words = benchmark[0].split()
    others = [question(rng) for _ in range(300)]
    levels = {}
    for name, copy in {
        "copy": benchmark[0],
        "longer": f"Please: {benchmark[0]} Thanks!",
        "edited": " ".join(w if n % 6 else "green" for n, w in enumerate(words)),
        "passage": f"{' '.join(words[: len(words) // 3])} {others[0]}",
    }.items():
        hit = hits_of(benchmark, [*others, copy]).get(0)
        levels[name] = hit and (hit["confidence"], hit["score"])
        assert hit is None or hit["lines"] == [300]
    assert levels["copy"] == ("high", 1.0)
    assert levels["longer"] == ("high", 1.0)
    assert levels["edited"] and levels["edited"][0] == "medium"
    assert levels["passage"] is None or levels["passage"][0] == "low"


def test_many_edited_copies_do_not_hide_each_other() -> None:
    rng = random.Random(3)
    benchmark = [question(rng) for _ in range(20)]
    edits = list(EDITS.values())
    copies = [rng.choice(edits)(rng, benchmark[0]) for _ in range(500)]
    hit = hits_of(benchmark, [*copies, *(question(rng) for _ in range(500))])[0]
    assert hit["confidence"] == "high"
    assert hit["records"] >= 400
    assert len(hit["lines"]) == 10


def test_score_does_not_depend_on_the_order_of_the_training_data() -> None:
    data = planted(4, benchmark=60, training=200, each=2)
    one = hits_of(data.benchmark, data.training)
    other = hits_of(data.benchmark, data.training[::-1])
    keys = ("score", "confidence", "records")
    assert {n: [h[k] for k in keys] for n, h in one.items()} == {
        n: [h[k] for k in keys] for n, h in other.items()
    }
