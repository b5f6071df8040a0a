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
    ],
)
def test_a_bad_record_is_named(rzero: Rzero, row: dict[str, Any], message: str) -> None:
    ended = rzero("stats", input=jsonl({"question": "a"}, row))
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"rzero: <stdin>:2: {message}")


def test_bad_options_are_refused(refused: Refused) -> None:
    assert "--bleu nice: unknown" in refused("stats", "--bleu", "nice")
    assert "nowhere.jsonl: no such file" in refused("stats", "nowhere.jsonl")
