"""References that are solutions, unreadable answers, and lost backslashes, as commands report
them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.json_lines import jsonl, records
from helpers.scripted_server import Body, Reply, ScriptedServer, completion

SOLUTION = {"question": "How many eggs?", "answer": "16 - 7 = 9 eggs.\n#### 9"}


def test_raw_gsm8k_is_graded(rzero: Rzero, benchmarks: Path) -> None:
    lines = (benchmarks / "gsm8k_test.jsonl").read_text("utf-8").splitlines()[:300]
    rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        answer = row["answer"].rpartition("#### ")[2]
        row["completion"] = rf"So it is \boxed{{{answer if number % 3 else '-1'}}}."
    text = jsonl(*rows)
    ended = rzero("grade", "--reference-key", "answer", input=text)
    assert ended.status == 0, ended.stderr
    assert [row["correct"] for row in records(ended)] == [n % 3 != 0 for n in range(300)]
    assert [row["answer"] for row in records(ended)] == [row["answer"] for row in rows]
    assert ended.stderr.splitlines() == [
        "grade: 200 of 300 correct (66.7%), 0 comparisons timed out, 0 of 300 answers could not be "
        "read",
        "grade: references read: all 300 after ####",
    ]
    # A part of the file gives the same verdicts as the whole.
    part = rzero("grade", "--reference-key", "answer", "--shard", "1/3", input=text)
    assert records(part) == records(ended)[1::3]
    whole = ["--reference-extract", "whole"]
    ended = rzero("grade", "--reference-key", "answer", *whole, input=text)
    assert not any(row["correct"] for row in records(ended))


def test_mixed_references_are_reported(rzero: Rzero) -> None:
    rows = [SOLUTION | {"completion": r"\boxed{9}"}, {"completion": r"\boxed{9}", "answer": "9"}]
    ended = rzero("grade", "--reference-key", "answer", input=jsonl(*rows))
    assert [row["correct"] for row in records(ended)] == [True, True]
    assert "grade: references read: 1 after ####, 1 whole\n" in ended.stderr
    plain = rzero("grade", input='{"answer": "9", "reference": "9"}\n')
    assert "references" not in plain.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference-extract", "hash"], "--reference-extract hash: unknown; known: auto, boxed"),
        (["--reference-extract", "auto,hashes"], "--reference-extract auto: cannot be combined"),
        (
            ["--reference-extract", "hashes"],
            '<stdin>:1: key "reference": --reference-extract finds',
        ),
    ],
)
def test_reading_of_references_is_refused_in_one_line(
    refused: Refused, options: list[str], message: str
) -> None:
    row = {"answer": "9", "reference": "9"}
    assert message in refused("grade", *options, "--workers", "1", input=jsonl(row))


def test_oracle_data_is_read_like_references(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl(SOLUTION))
    labelled = {"question": SOLUTION["question"], "answer": "9", "p_hat": 0.5}
    data = ["--oracle-data", "truth.jsonl"]
    ended = rzero("oracle", *data, "--oracle-reference-key", "answer", input=jsonl(labelled))
    assert records(ended) == [labelled | {"reference": "9"}]
    assert "oracle: references read: all 1 after ####\n" in ended.stderr
    (tmp_path / "truth.jsonl").write_text(
        jsonl({"question": SOLUTION["question"], "reference": SOLUTION["answer"]})
    )
    stats = rzero("stats", "--json", *data, input=jsonl(labelled))
    assert json.loads(stats.stdout)["label_accuracy"] == 1.0


TEXTS = ["The answer is 5.", "#### 5", "5", r"\boxed{5}"]


def test_unreadable_answers_are_counted_and_the_extraction_is_named(rzero: Rzero) -> None:
    rows: list[dict[str, Any]] = [{"completions": TEXTS}] * 3
    ended = rzero("vote", input=jsonl(*rows))
    assert ended.stderr.splitlines() == [
        "vote: 3 questions, 0 without a readable answer, 0 comparisons timed out, 9 of 12 answers "
        "could not be read",
        "vote: --extract boxed,phrase,hashes would read 6 of the 9 that could not be read",
    ]
    named = rzero("vote", "--extract", "boxed,phrase,hashes", input=jsonl(*rows))
    assert named.stderr.endswith("3 of 12 answers could not be read\n")
    graded = [{"completion": text, "reference": "5"} for text in TEXTS]
    ended = rzero("grade", input=jsonl(*graded))
    assert "3 of 4 answers could not be read\n" in ended.stderr
    assert "grade: --extract boxed,phrase,hashes would read 2 of the 3 that" in ended.stderr


def test_few_unreadable_answers_and_given_ones_have_no_hint(rzero: Rzero) -> None:
    few = {"completions": [*[r"\boxed{5}"] * 3, "The answer is 5."]}
    ended = rzero("vote", input=jsonl(few))
    assert ended.stderr.endswith("1 of 4 answers could not be read\n")
    given = {"answers": [None, None, "5"]}
    ended = rzero("vote", input=jsonl(given))
    assert ended.stderr.endswith("2 of 3 answers could not be read\n")


def test_lost_backslashes_are_reported(rzero: Rzero) -> None:
    row = r'{"completions": ["\boxed{5}", "\\boxed{\frac12}", "\\boxed{5}"]}'
    ended = rzero("vote", input=row + "\n")
    assert "vote: answers whose LaTeX lost its backslashes: 2 (a backspace" in ended.stderr
    ended = rzero("grade", input=r'{"answer": "5", "reference": "\frac12"}' + "\n")
    assert "grade: references whose LaTeX lost its backslashes: 1 (a backspace" in ended.stderr


def _unboxed(body: Body) -> Reply:
    texts = [f"Case {i}. The answer is 9." for i in range(body.get("n", 1))]
    return 200, completion(*texts, raw="prompt" in body)


def test_label_counts_unreadable_answers(rzero: Rzero) -> None:
    with ScriptedServer(_unboxed) as server:
        ended = rzero("label", "--endpoint", server.url, "--m", "4", input='{"question": "q"}\n')
    assert ended.status == 0, ended.stderr
    assert "0 comparisons timed out, 4 of 4 answers could not be read\n" in ended.stderr
    assert "label: --extract boxed,phrase would read 4 of the 4 that could not" in ended.stderr


def test_eval_reads_references_that_are_solutions(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "gsm8k.jsonl").write_text(jsonl(SOLUTION, SOLUTION | {"question": "And now?"}))
    command = ["eval", "--data", "gsm8k.jsonl", "--reference-key", "answer", "--extract", "phrase"]
    with ScriptedServer(_unboxed) as server:
        served = ["--endpoint", server.url, "--k", "0", "-o", "out.json"]
        ended = rzero(*command, *served)
        whole = rzero(*command, *served, "--force", "--reference-extract", "whole", "--json")
    assert ended.status == 0, ended.stderr
    assert "eval: references read: all 2 after ####\n" in ended.stderr
    assert json.loads(whole.stdout)["tasks"]["gsm8k"]["greedy"]["score"] == 0
    assert "references" not in whole.stderr
    refused = rzero(*command, *served, "--force", "--reference-extract", "boxed")
    assert refused.status == 2
    assert 'gsm8k.jsonl:1: key "answer": --reference-extract finds no answer' in refused.stderr
