"""Diversity metrics of a file of questions, computed in this process."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conftest import Rzero
from helpers.json_lines import jsonl
from rzero_cli.analysis import diversity as core
from rzero_cli.analysis import sketches
from rzero_cli.analysis.diversity import check, statistics
from rzero_cli.analysis.sketches import Distinct, digest
from rzero_cli.data.jsonl import read_lines
from rzero_cli.method.filtering import band


def found(path: Path, **how: Any) -> dict[str, Any]:
    """Return the metrics of a file, computed in this process."""
    lines = read_lines([str(path)], check=check)
    return statistics(lines, band=band(Decimal("0.25")), **how)


def test_clustered_sample_is_returned_with_its_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "MOST_SAMPLED", 6)
    path = tmp_path / "x.jsonl"
    path.write_text(jsonl(*[{"question": f"{'ab'[k % 2] * 3} is it {k}"} for k in range(20)]))
    sample: list[tuple[str, int]] = []
    metrics = found(path, tau_bleu=0.0, clustered=sample)
    assert len(sample) == metrics["sampled"] == 6
    assert len({cluster for _, cluster in sample}) == metrics["clusters"] == 6
    numbers = [int(question.split()[-1]) for question, _ in sample]
    assert numbers == sorted(set(numbers))


def test_vote_entropy_by_hand(tmp_path: Path) -> None:
    def entropy(*rows: dict[str, Any]) -> float | None:
        (tmp_path / "a.jsonl").write_text(jsonl(*({"answer": "1", "p_hat": 0.5} | r for r in rows)))
        return found(tmp_path / "a.jsonl").get("vote_entropy")

    assert entropy({"votes": {"1": 5, "2": 5}}) == 1.0
    assert entropy({"votes": {"1": 10}}) == 0.0
    assert entropy({"votes": {"1": 2, "2": 1, "3": 1}}) == 1.5
    assert entropy({"votes": {"1": 3}}, {"votes": {"1": 1, "2": 1, "3": 1, "4": 1}}) == 1.0
    # Without votes, answers by their keys; what cannot be read is in no class.
    assert entropy({"answers": ["1/2", "0.5", "7", "7.0", None, " "]}) == 1.0
    assert entropy({"votes": {"1": 10}, "answers": ["1", "2"]}) == 0.0
    # No label, no votes, nothing that could be read.
    assert entropy({"answer": None, "votes": {"1": 1, "2": 1}}) is None
    assert entropy({}, {"answers": [None]}, {"votes": {}}) is None


def test_estimate_from_identical_questions_still_has_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(core, "MOST_SAMPLED", 50)
    (tmp_path / "a.jsonl").write_text(jsonl(*[{"question": "one and the same to all"}] * 60))
    similar = found(tmp_path / "a.jsonl")
    assert (similar["self_bleu"], similar["largest_cluster"]) == (1, 1)
    # Two of each kind are added to the sample, which leaves out a sixth.
    error = ((52 / 54) * (2 / 54) / 54 * (1 - 50 / 60)) ** 0.5
    assert similar["approximate"] == pytest.approx({"self_bleu": error, "largest_cluster": error})
    (tmp_path / "a.jsonl").write_text(jsonl(*[{"question": "one and the same to all"}] * 50))
    assert "approximate" not in found(tmp_path / "a.jsonl")


def test_large_files_are_estimated_within_the_stated_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = random.Random(0)
    rows = [
        {
            "question": " ".join(rng.choices("abcdefghij", k=9))
            if k % 4
            else f"find x for {k % 3}",
            "answer": str(k if k % 5 else 7),
            "p_hat": 0.5,
        }
        for k in range(4000)
    ]
    path = tmp_path / "many.jsonl"
    path.write_text(jsonl(*rows))
    earlier = Distinct()
    for row in rows[:2500]:
        earlier.add(digest(str(row["question"])))
    exact = found(path, earlier=earlier)
    # All metrics except those of pairs.
    assert set(exact["approximate"]) == {"self_bleu", "largest_cluster"}
    monkeypatch.setattr(sketches, "EXACT", 600)
    monkeypatch.setattr(sketches, "_KEPT", 300)
    monkeypatch.setattr(core, "EXACT", 600)
    monkeypatch.setattr(core, "MOST_COMPARED", 1000)
    monkeypatch.setattr(core, "MOST_SAMPLED", 500)
    earlier = Distinct()
    for row in rows[:2500]:
        earlier.add(digest(str(row["question"])))
    about = found(path, earlier=earlier)
    assert (about["compared"], about["sampled"]) == (1000, 500)
    errors = about.pop("approximate")
    for key in ("distinct_questions", "distinct_answers", "seen_before"):
        assert exact[key] != about[key]
        assert abs(exact[key] - about[key]) < 4 * errors.pop(key)
    for key in ("self_bleu", "largest_cluster"):
        assert abs(exact[key] - about[key]) < 4 * (errors.pop(key) + exact["approximate"][key])
    for key in ("top_answer", "top_10_answers"):
        assert 0 <= exact[key] - about[key] <= errors.pop(key) + 1e-9 < 0.05
    assert exact["openings"][0] == ["find x for", 0.25]
    assert 0 <= 0.25 - about["openings"][0][1] <= errors.pop("openings") + 1e-9 < 0.05
    assert not errors
    same = ("records", "valid", "words", "words_quantiles", "kept", "p_hat_mean", "labelled")
    assert [about[key] for key in same] == [exact[key] for key in same]


def test_kept_fraction_compares_p_hat_as_decimal_text(rzero: Rzero, tmp_path: Path) -> None:
    def kept(p_hat: str) -> Any:
        (tmp_path / "a.jsonl").write_text(f'{{"answer": "1", "p_hat": {p_hat}}}\n')
        return found(tmp_path / "a.jsonl")["kept"]

    assert kept("0.25") == kept("0.750") == 1.0
    assert kept("0.2499999999999999999999999") == kept("0.7500000000000000000000001") == 0.0
    over = rzero("stats", input='{"answer": "1", "p_hat": 1.00000000000000000000001}\n')
    assert (over.status, "must be between 0 and 1" in over.stderr) == (2, True)
