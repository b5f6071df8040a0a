"""`rzero filter` with guards: the dropped questions, and streaming."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import Ended, Refused, Rzero
from rzero_cli.data.provenance import content_hash

SUM = "What is the sum of {} and 4 ?"
LINES = [
    f'{{"question": "{SUM.format(3)}",  "answer": "7", "p_hat": 0.5}}\r\n',
    '{"p_hat": 0.5, "question": "what is\\tTHE sum of 3 and 4 ?", "answer": "7"}\n',
    f'{{"question": "{SUM.format(5)}", "answer": "9", "p_hat": 0.50}}\n',
    f'{{"question": "{SUM.format(5)}", "answer": "9", "p_hat": 0.9}}\n',
    '{"question": "Name a colour of the rainbow", "answer": "14/2", "p_hat": 0.5, "x": [1,  2]}\n',
    '{"question": "Stra\\u00dfe", "answer": "a", "p_hat": 0.5}\n',
    '{"question": "STRASSE", "answer": "\\\\sin x", "p_hat": 0.5}\n',
    f'{{"question": "{SUM.format(6)}", "answer": "10", "p_hat": 0.5}}\n',
]


def kept(ended: Ended, lines: list[str] = LINES) -> list[int]:
    """Return the numbers of the kept lines, after checking that they are unchanged and in order."""
    assert ended.status == 0, ended.stderr
    out = ended.stdout.splitlines(keepends=True)
    numbers = [lines.index(line) for line in out]
    assert numbers == sorted(set(numbers))
    return numbers


@pytest.mark.parametrize(
    ("options", "expected", "said"),
    [
        ("", [0, 1, 2, 4, 5, 6, 7], ""),
        ("--dedup exact", [0, 2, 4, 5, 7], "2 duplicates"),
        ("--dedup near", [0, 4, 5], "2 duplicates, 2 near-duplicates"),
        ("--max-per-answer 1", [0, 2, 5, 6, 7], "2 over --max-per-answer"),  # 14/2 is 7
        ("--max-per-cluster 2", [0, 1, 4, 5, 6], "2 over --max-per-cluster"),
        (
            "--dedup exact --max-per-answer 1 --max-per-cluster 2",
            [0, 2, 5],
            "2 duplicates, 1 over --max-per-answer, 1 over --max-per-cluster",
        ),
        ("--dedup near --tau-bleu 0", [0, 2, 4, 5, 7], "2 duplicates, 0 near-duplicates"),
    ],
)
def test_filter_guards_keep_the_first_of_each_kind(
    rzero: Rzero, options: str, expected: list[int], said: str
) -> None:
    ended = rzero("filter", *options.split(), input="".join(LINES).encode())
    assert kept(ended) == expected
    more = f"; dropped by guards: {said}" if said else ""
    assert ended.stderr == f"filter: kept {len(expected)} of 8 (0.25 <= p_hat <= 0.75){more}\n"


def test_question_dropped_by_one_guard_does_not_count_for_another(rzero: Rzero) -> None:
    rows = [("a b c d e", "1"), ("v w x y z", "1"), ("v w x y z", "2"), ("v w x y t", "3")]
    lines = [json.dumps({"question": q, "answer": a, "p_hat": 0.5}) + "\n" for q, a in rows]
    for how in ("exact", "near"):
        ended = rzero("filter", "--dedup", how, "--max-per-answer", "1", input="".join(lines))
        # The second exceeds --max-per-answer; so the third is the first kept one with its text.
        assert kept(ended, lines) == ([0, 2, 3] if how == "exact" else [0, 2])


def test_dedup_against_earlier_files(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes("".join(LINES).encode())
    (tmp_path / "1.jsonl").write_text('{"question": "name a  Colour of the rainbow"}\n')
    (tmp_path / "2.jsonl").write_text(
        f'{{"question": null, "answer": "x"}}\n{{"question": "{SUM.format(9)}"}}\n'
    )
    against = ["--dedup-against", "1.jsonl", "--dedup-against", "2.jsonl"]
    exact = rzero("filter", "in.jsonl", "--dedup", "exact", *against)
    assert kept(exact) == [0, 2, 5, 7]
    near = rzero("filter", "in.jsonl", "--dedup", "near", *against, "-o", "out.jsonl")
    assert near.status == 0
    # 3, 5 and 6 are near 9; 3 in other letter case is not, since BLEU is case-sensitive.
    assert (tmp_path / "out.jsonl").read_text() == LINES[1] + LINES[5]
    record = json.loads((tmp_path / "out.jsonl.meta.json").read_text())
    dropped = {"duplicates": 2, "near_duplicates": 3}
    assert record["metrics"] == {"read": 8, "kept": 2, **dropped}
    assert record["parents"] == [
        {"path": name, "sha256": content_hash(tmp_path / name)}
        for name in ("in.jsonl", "1.jsonl", "2.jsonl")
    ]
    assert record["settings"]["dedup_against"] == ["1.jsonl", "2.jsonl"]


def test_shards_of_a_guarded_filter_add_up_to_the_whole(rzero: Rzero, tmp_path: Path) -> None:
    rows = [{"question": f"q {k % 7}", "answer": str(k % 3), "p_hat": 0.5} for k in range(40)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--dedup", "exact", "--max-per-answer", "2", "in.jsonl")
    whole = rzero("filter", *options, "-o", "whole.jsonl")
    assert whole.status == 0
    lines, dropped = [], Counter[str]()
    for index in range(3):
        part = rzero("filter", *options, "--shard", f"{index}/3", "-o", f"{index}.jsonl")
        assert part.status == 0
        lines += (tmp_path / f"{index}.jsonl").read_text().splitlines()
        dropped += json.loads((tmp_path / f"{index}.jsonl.meta.json").read_text())["metrics"]
    assert sorted(lines) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())
    record = json.loads((tmp_path / "whole.jsonl.meta.json").read_text())
    assert dropped == record["metrics"]
    assert 0 < record["metrics"]["kept"] < 7


def test_guarded_filter_streams(tmp_path: Path) -> None:
    """Kept lines are written while the input is still open."""
    command = [sys.executable, "-m", "rzero_cli", "filter", "--dedup", "near"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    ) as child:
        assert child.stdin and child.stdout
        for number in (0, 1, 4):
            child.stdin.write(LINES[number].encode())
            child.stdin.flush()
            if number != 1:
                assert child.stdout.readline() == LINES[number].encode()
        child.stdin.close()
        assert child.stdout.read() == b""
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--dedup fuzzy", "--dedup fuzzy: must be exact or near"),
        (
            "--dedup-against a.jsonl",
            "--dedup-against a.jsonl: requires --dedup exact or --dedup near",
        ),
        ("--dedup exact --dedup-against no.jsonl", "no.jsonl: no such file"),
        ("--dedup exact --dedup-against -", "--dedup-against -: stdin is for the labels"),
        ("--dedup near --bleu latin", "--bleu latin: unknown; known: 13a"),
        ("--max-per-answer 0", "Invalid value for '--max-per-answer': 0 is not in the range"),
    ],
)
def test_filter_guard_errors(refused: Refused, options: str, message: str) -> None:
    assert refused("filter", *options.split()).startswith(message)


def test_missing_question_key_is_reported_in_one_line(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"problem": "1 + 1"}\n')
    good = '{"problem": "1 + 1", "answer": "2", "p_hat": 0.5}\n'
    for options, message in (
        (["--max-per-cluster", "1"], '<stdin>:1: key "question" (a string) is missing; keys here'),
        (["--dedup", "exact", "--dedup-against", "a.jsonl"], 'a.jsonl:1: key "question" (a string'),
    ):
        ended = rzero("filter", *options, input=good)
        assert (ended.status, ended.stdout) == (2, "")
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
    # Lines that are dropped anyway, and guards on answers only, need no question.
    other = '{"question": null, "answer": "2", "p_hat": 0.9}\n'
    assert rzero("filter", "--dedup", "exact", input=other).status == 0
    assert rzero("filter", "--max-per-answer", "1", input=good + good).stdout == good
    ended = rzero("filter", "--dedup", "exact", "--question-key", "problem", input=good + good)
    assert ended.stdout == good
    bad = '{"problem": 7, "answer": "2", "p_hat": 0.5}\n'
    skip = ("--on-error", "skip", "--rejects", "bad.jsonl", "--question-key", "problem")
    ended = rzero("filter", "--dedup", "exact", *skip, input=bad + good + good)
    assert ended.stdout == good
    assert "kept 1 of 2" in ended.stderr
    assert json.loads((tmp_path / "bad.jsonl").read_text())["line"] == 1
