"""`rzero stats`: figures worked out by hand, a collapse that is seen, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Refused, Rzero


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def figures(ended: Ended) -> list[dict[str, Any]]:
    assert ended.status == 0, ended.stderr
    return [json.loads(line) for line in ended.lines]


def test_figures_by_hand(rzero: Rzero) -> None:
    rows = [
        {"question": "how many apples are there here", "answer": "1/2", "p_hat": 0.25},
        {"question": "how many apples are there here", "answer": "0.5", "p_hat": 0.75},
        {"question": "what is the largest prime", "answer": "7", "p_hat": 1.0},
        {"question": "name a colour", "answer": None, "p_hat": 0.0},
        {"question": None},
    ]
    assert figures(rzero("stats", "--json", input=jsonl(*rows))) == [
        {
            "file": "-",
            "records": 5,
            "questions": 4,
            "malformed": 1,
            "distinct_questions": 3,
            "near_duplicates": 0.25,
            "compared": 4,
            "words": (6 + 6 + 5 + 3) / 4,
            "p_hat_mean": 0.5,
            "p_hat_histogram": [1, 0, 1, 0, 0, 0, 0, 1, 0, 1],
            "kept": 0.5,  # both bounds
            "labelled": 3,
            "distinct_answers": 2,  # 1/2 and 0.5 are one
            "top_answer": 2 / 3,
            "top_10_answers": 1.0,
        }
    ]
    narrow = figures(rzero("stats", "--json", "--delta", "0.2", input=jsonl(*rows)))
    assert narrow[0]["kept"] == 0.0


def test_true_answers_say_how_many_labels_are_true(rzero: Rzero) -> None:
    rows = [
        {"answer": "0.5", "p_hat": 0.5, "answers": ["0.5", "1/2", "7", None], "reference": "1/2"},
        {"answer": "3", "p_hat": 0.75, "answers": ["3", "3", "3", "4"], "reference": "4"},
        {"answer": "9", "p_hat": 1.0, "answers": ["9", "9", "9", "9"], "reference": "10"},
        {"answer": "5", "p_hat": 1.0, "answers": ["5"] * 4, "reference": "4"},
        {"answer": None, "p_hat": 0.0, "answers": [None] * 4, "reference": "5"},
        {"answer": "6", "p_hat": 1.0, "answers": ["6"] * 4, "reference": None},
        {"answer": "8", "p_hat": 1.0, "answers": ["8"] * 4},
    ]
    (found,) = figures(rzero("stats", "--json", input=jsonl(*rows)))
    assert found["with_reference"] == 5
    assert found["label_accuracy"] == 1 / 4  # of the four labels there are
    assert found["label_accuracy_kept"] == 1 / 2  # p_hat = 0.5 and 0.75
    assert found["solver_accuracy"] == (2 / 4 + 1 / 4 + 0 + 0 + 0) / 5
    for name in ("label_accuracy", "label_accuracy_kept", "solver_accuracy"):
        low, high = found[f"{name}_ci95"]
        assert 0 <= low < found[name] < high <= 1
    assert found["label_accuracy_ci95"] == pytest.approx([0.0456, 0.6994], abs=1e-4)  # Wilson's
    none = figures(rzero("stats", "--json", input=jsonl(*rows[5:6])))[0]
    assert none["with_reference"] == 0
    assert "label_accuracy" not in none
    assert "with_reference" not in figures(rzero("stats", "--json", input=jsonl(*rows[6:])))[0]


def test_true_answers_can_come_from_a_file(rzero: Rzero, tmp_path: Path) -> None:
    rows = [{"question": f"q{k}", "answer": str(k), "reference": "x"} for k in range(4)]
    (tmp_path / "labeled.jsonl").write_text(jsonl(*rows[:3], {"question": "q3", "answer": "3"}))
    truth = [{"question": f"q{k}", "reference": t} for k, t in enumerate(("0", "8", None))]
    (tmp_path / "truth.jsonl").write_text(jsonl(*truth))
    ended = rzero("stats", "--json", "labeled.jsonl", "--oracle-data", "truth.jsonl")
    (found,) = figures(ended)
    assert (found["with_reference"], found["label_accuracy"]) == (3, pytest.approx(1 / 3))
    assert ended.stderr == ""
    other = rzero("stats", "--oracle-data", "truth.jsonl", input=jsonl({"question": "q9"}))
    assert other.stderr == "stats: truth.jsonl has the true answer of none of these questions\n"


def test_an_iteration_beside_another(rzero: Rzero, tmp_path: Path) -> None:
    for name, true in (("a.jsonl", 3), ("b.jsonl", 1)):
        rows = [{"answer": "1", "reference": "1" if k < true else "2"} for k in range(4)]
        (tmp_path / name).write_text(jsonl(*rows))
    ended = rzero("stats", "a.jsonl", "b.jsonl")
    rows = [" ".join(line.split()) for line in ended.lines]
    assert "label accuracy 75.0% 25.0%" in rows
    assert "with reference 4 4" in rows


def test_no_worker_is_started_without_a_true_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor where every answer has a key; its start takes a second."""
    from rzero_cli.cli import run
    from rzero_cli.core.equivalence import Equivalence

    started: list[int] = []
    start = Equivalence._start
    monkeypatch.setattr(Equivalence, "_start", lambda self: (started.append(1), start(self))[1])
    path = tmp_path / "a.jsonl"
    for row, starts in (
        ({"answer": r"\sin x"}, 0),
        ({"answer": "1", "reference": "2"}, 0),
        ({"answer": r"\sin x", "reference": r"\cos x"}, 1),
    ):
        path.write_text(jsonl(row))
        assert run(["stats", str(path), "--quiet"]) == 0
        assert len(started) == starts


def test_what_is_not_there_gives_no_figure(rzero: Rzero) -> None:
    assert figures(rzero("stats", "--json", input=jsonl({"x": 1}))) == [{"file": "-", "records": 1}]
    assert figures(rzero("stats", "--json")) == [{"file": "-", "records": 0}]
    only = figures(rzero("stats", "--json", "--question-key", "x", input=jsonl({"x": "a b"})))
    assert set(only[0]) >= {"questions", "words"}
    assert "kept" not in only[0]


def test_a_collapse_is_seen_and_said(rzero: Rzero, tmp_path: Path) -> None:
    words = [f"word{k}" for k in range(2000)]
    diverse = [
        {"question": " ".join(words[8 * k : 8 * k + 8]), "answer": str(k), "p_hat": 0.5}
        for k in range(200)
    ]
    templates = ("what is the sum of {} and one", "find the value of {} doubled", "halve {} now")
    collapsed = [
        {"question": templates[k % 3].format(k), "answer": str(k % 5), "p_hat": 0.5}
        for k in range(200)
    ]
    (tmp_path / "first.jsonl").write_text(jsonl(*diverse))
    (tmp_path / "last.jsonl").write_text(jsonl(*collapsed))
    ended = rzero("stats", "--json", "first.jsonl", "last.jsonl")
    first, last = figures(ended)
    assert first["p_hat_mean"] == last["p_hat_mean"] == 0.5
    assert (first["near_duplicates"], first["distinct_answers"]) == (0.0, 200)
    assert last["near_duplicates"] > 0.6
    assert (last["distinct_answers"], last["top_10_answers"]) == (5, 1.0)
    assert "distinct answers fell from 100% to 2% of all" in ended.stderr
    assert "near-duplicates rose from 0% to" in ended.stderr
    assert rzero("stats", "--json", "last.jsonl", "first.jsonl").stderr == ""


def test_a_table_has_a_column_for_each_file(rzero: Rzero, tmp_path: Path) -> None:
    for name in ("iter-1", "iter-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labeled.jsonl").write_text(jsonl({"question": "a b", "p_hat": 0.5}))
    ended = rzero("stats", "iter-1/labeled.jsonl", "iter-2/labeled.jsonl")
    assert ended.status == 0
    assert ended.lines[0].split() == ["iter-1/labeled.jsonl", "iter-2/labeled.jsonl"]
    row = next(line for line in ended.lines if "kept" in line)
    assert row.split() == ["kept", "100.0%", "100.0%"]
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": 3}, 'key "question" must be a string'),
        ({"p_hat": 2}, 'key "p_hat" must be between 0 and 1, not 2'),
        ({"answer": ["1"]}, 'key "answer" must be a string'),
        ({"reference": 5}, 'key "reference" must be a string, not a number'),
        ({"reference": "5", "answers": "5"}, 'key "answers" must be a list of texts'),
        ({"reference": "5", "answers": [5]}, 'key "answers" must hold texts or null, not 5'),
    ],
)
def test_a_bad_record_is_named(rzero: Rzero, row: dict[str, Any], message: str) -> None:
    ended = rzero("stats", input=jsonl({"question": "a"}, row))
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"rzero: <stdin>:2: {message}")


def test_bad_options_are_refused(refused: Refused) -> None:
    assert "--bleu nice: unknown" in refused("stats", "--bleu", "nice")
    assert "nowhere.jsonl: no such file" in refused("stats", "nowhere.jsonl")
    assert "nowhere.jsonl: no such file" in refused("stats", "--oracle-data", "nowhere.jsonl")
