"""`rzero stats --against`: benchmark questions in training data, counted and named."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.json_lines import jsonl
from rzero_cli.analysis.contamination import MOST_LINES, tokens
from rzero_cli.data.jsonl import read_lines

LONG = "a farmer sells 16 eggs and 4 hens at the market for 2 dollars each how much is it all"


def test_planted_benchmark_question_is_found_among_real_ones(
    rzero: Rzero, tmp_path: Path, benchmarks: Path
) -> None:
    gsm8k = benchmarks / "gsm8k_test.jsonl"
    asked = [line.record["question"] for line in read_lines([str(gsm8k)])]
    rng = random.Random(0)
    planted = sorted(rng.sample([i for i, q in enumerate(asked) if len(tokens(q)) > 40], 2))
    first = "  ".join(asked[planted[0]].upper().split()).replace(",", ";").rstrip("?.") + " !"
    words = tokens(asked[planted[1]])
    changed = " ".join([*words[:12], "777", *words[13:26], "888", *words[27:]])
    aime = [line.record["problem"] for line in read_lines([str(benchmarks / "aime24.jsonl")])]
    rows = [{"question": q} for q in (*aime[:5], first, *aime[5:], changed, changed)]
    (tmp_path / "train.jsonl").write_text(jsonl(*rows))

    ended = rzero("stats", "train.jsonl", "--json", "--against", str(gsm8k))
    assert ended.status == 0
    (benchmark,) = json.loads(ended.stdout)["benchmarks"]
    assert (benchmark["questions"], benchmark["found"]) == (1319, 2)
    assert benchmark["share"] == 2 / 1319
    hits = benchmark["hits"]
    assert [hit["line"] for hit in hits] == [number + 1 for number in planted]
    assert [hit["question"] for hit in hits] == [asked[number] for number in planted]
    assert [(hit["records"], hit["lines"]) for hit in hits] == [(1, [6]), (2, [32, 33])]
    assert ended.stderr == (f"stats: train.jsonl: contains 2 of the 1,319 questions of {gsm8k}\n")


def test_no_false_hit_between_real_benchmarks(rzero: Rzero, benchmarks: Path) -> None:
    files = {name: str(benchmarks / f"{name}.jsonl") for name in ("gsm8k_test", "amc23", "aime24")}
    ended = rzero(
        *("stats", files["gsm8k_test"], "--against", files["amc23"], "--against", files["aime24"])
    )
    assert (ended.status, ended.stderr) == (0, "")
    rows = [" ".join(line.split()) for line in ended.lines]
    for name, count in (("amc23", 40), ("aime24", 30)):
        at = rows.index(f"benchmark questions: {name} {count}")
        assert rows[at + 1] == "found in it 0 (0.0%)"
    # Both use a stock phrase about relatively prime integers longer than an n-gram.
    both = rzero("stats", files["aime24"], "--question-key", "problem", "--against", files["amc23"])
    assert "contains" not in both.stderr


def test_stats_against_names_the_first_hits_and_their_lines(rzero: Rzero, tmp_path: Path) -> None:
    questions = [f"{LONG} number {k}" for k in range(8)]
    bench = [{"id": f"q{k}", "prompt": q} for k, q in enumerate(questions)]
    (tmp_path / "bench.jsonl").write_text(jsonl(*bench))
    (tmp_path / "clean.jsonl").write_text(jsonl({"question": "something else"}))
    train = [{"question": q} for q in questions] + [{"question": questions[0]}] * 20
    (tmp_path / "train.jsonl").write_text(jsonl(*train, {"question": None}))
    ended = rzero("stats", "clean.jsonl", "train.jsonl", "--against", "bench.jsonl")
    assert ended.status == 0
    assert "found in it 0 (0.0%) 8 (100.0%)" in [" ".join(line.split()) for line in ended.lines]
    at = ended.lines.index("bench.jsonl in train.jsonl:")
    named = ended.lines[at + 1 :]
    lines = ", ".join(map(str, [1, *range(9, 9 + MOST_LINES - 1)]))
    assert named[0] == f"  line 1 (q0) in line {lines}, ...: {LONG[:60]}"
    assert len(named) == 6
    assert named[-1] == "  and 3 more: --json lists all"
    assert ended.stderr.startswith(
        "stats: train.jsonl: contains 8 of the 8 questions of bench.jsonl\n"
    )
    assert "contains" not in rzero("stats", "train.jsonl", "--against", "bench.jsonl", "-q").stderr
    figures = json.loads(rzero("stats", "train.jsonl", "--against", "bench.jsonl", "--json").stdout)
    hit = figures["benchmarks"][0]["hits"][0]
    assert (hit["id"], hit["records"], len(hit["lines"])) == ("q0", 21, MOST_LINES)


def test_ngram_size_and_key_are_options(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "bench.jsonl").write_text(jsonl({"question": "nothing", "text": LONG}))
    train = jsonl({"question": " ".join(LONG.split()[:9])})

    def found(*options: str) -> int:
        ended = rzero("stats", "--json", "--against", "bench.jsonl", *options, input=train)
        assert ended.status == 0, ended.stderr
        return int(json.loads(ended.stdout)["benchmarks"][0]["found"])

    assert found("--against-key", "text") == 0
    assert found("--against-key", "text", "--ngram", "9") == 1
    assert found("--ngram", "9") == 0


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"text": "a"}, [], "bench.jsonl:1: no question under question, problem, prompt, input"),
        ({"question": 3}, [], 'bench.jsonl:1: key "question" must be a string'),
        ({"question": "a"}, ["--against-key", "q"], 'bench.jsonl:1: key "q" (a string) is missing'),
        ({"question": "a"}, ["--ngram", "0"], "--ngram"),
        ({"question": "a"}, ["--against", "nowhere"], "nowhere: no such file"),
    ],
)
def test_stats_against_errors_are_one_line(
    refused: Refused, tmp_path: Path, row: dict[str, Any], options: list[str], message: str
) -> None:
    (tmp_path / "bench.jsonl").write_text(jsonl(row))
    assert message in refused("stats", "--against", "bench.jsonl", *options)


def test_records_without_questions_are_not_reported_as_clean(rzero: Rzero, tmp_path: Path) -> None:
    """Training data in another format must not be reported as clean."""
    (tmp_path / "bench.jsonl").write_text('{"question": "what is 1 + 1"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "chat.jsonl").write_text('{"messages": [{"content": "what is 1 + 1"}]}\n')
    ended = rzero("stats", "chat.jsonl", "--against", "bench.jsonl")
    assert ended.status == 2
    assert 'chat.jsonl: no questions under "question"' in ended.stderr
    assert ended.stderr.endswith("set --question-key; keys in the file: messages\n")
    assert "--against" not in rzero("stats", "chat.jsonl").stderr
    ended = rzero("stats", "bench.jsonl", "--against", "empty.jsonl")
    assert (ended.status, "--against empty.jsonl: no questions" in ended.stderr) == (2, True)
    ended = rzero("stats", "bench.jsonl", *["--against", "bench.jsonl"] * 2)
    assert (ended.status, "--against bench.jsonl: given twice" in ended.stderr) == (2, True)
    ended = rzero("stats", "bench.jsonl", "--against", "bench.jsonl", "--against", "./bench.jsonl")
    assert (ended.status, "--against ./bench.jsonl: given twice" in ended.stderr) == (2, True)


def test_records_without_question_are_counted(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "bench.jsonl").write_text('{"question": "what is 1 + 1"}\n')
    rows = [{"question": "what else"}, {"question": None}, {"text": "what is 1 + 1"}]
    (tmp_path / "mixed.jsonl").write_text(jsonl(*rows))
    ended = rzero("stats", "mixed.jsonl", "--against", "bench.jsonl", "--json")
    assert json.loads(ended.stdout)["questions"] == 1
    assert ended.stderr == (
        'stats: mixed.jsonl: 1 of 3 records have no "question" and were not searched for '
        "benchmark questions\n"
    )
    assert "not searched" not in rzero("stats", "mixed.jsonl").stderr


def test_benchmark_from_standard_input(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"question": "what is 1 + 1"}\n')
    piped = '{"question": "what is 1 + 1"}\n'
    ended = rzero("stats", "train.jsonl", "--against", "-", "--json", input=piped)
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["benchmarks"][0]["found"] == 1


def test_benchmark_with_numeric_answers_is_read(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "amc.jsonl").write_text('{"question": "what is 1 + 1", "answer": 2.0}\n')
    ended = rzero("stats", "amc.jsonl", "--against", "amc.jsonl", "--json", "--quiet")
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["benchmarks"][0]["found"] == 1


def test_bad_keys_that_the_search_does_not_need_are_ignored(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "bench.jsonl").write_text('{"question": "what is 1 + 1"}\n')
    good = {"question": "a", "answer": "1", "p_hat": 0.5, "answers": ["1"], "reference": "1"}
    bad = {"question": "b", "answer": 2.0, "p_hat": "x", "answers": "1", "reference": 2}
    (tmp_path / "train.jsonl").write_text(jsonl(good, bad))
    ended = rzero("stats", "train.jsonl", "--against", "bench.jsonl", "--json")
    assert ended.status == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["questions"], found["labelled"], found["p_hat_mean"]) == (2, 1, 0.5)
    assert (found["with_reference"], found["label_accuracy"]) == (1, 1.0)
    said = "has the wrong type in 1 records: left out of the other metrics"
    assert ended.stderr.splitlines() == [
        f'stats: train.jsonl: "{key}" {said}' for key in ("answer", "reference", "p_hat", "answers")
    ]
    alone = rzero("stats", "train.jsonl")
    assert (alone.status, 'key "answer" must be a string' in alone.stderr) == (2, True)
    (tmp_path / "train.jsonl").write_text('{"question": ["what is 1 + 1"]}\n')
    unread = rzero("stats", "train.jsonl", "--against", "bench.jsonl")
    assert (unread.status, 'key "question" must be a string' in unread.stderr) == (2, True)
