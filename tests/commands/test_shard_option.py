"""`--shard I/N` of the commands: the parts together equal the whole output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labeled.jsonl"
    rows = [
        {"id": n, "question": f"{n} and {n % 4}", "answers": [str(n), str(n), "0"]}
        | {"answer": str(n), "reference": str(n), "p_hat": 0.1 * (n % 10)}
        for n in range(23)
    ]
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["filter", "--delta", "0.25"],
        ["vote", "--workers", "1"],
        ["grade", "--workers", "1"],
        ["score", "--batch", "5"],
    ],
    ids=lambda command: command[0],
)
def test_shards_add_up_to_the_whole_output(rzero, labelled: Path, command: list[str]) -> None:
    whole = rzero(*command, labelled)
    assert whole.status == 0, whole.stderr
    assert len(whole.lines) > 9
    for count in (1, 3):
        parts = [rzero(*command, labelled, "--shard", f"{i}/{count}") for i in range(count)]
        assert [part.status for part in parts] == [0] * count
        lines = [line for part in parts for line in part.lines]
        assert sorted(lines) == sorted(whole.lines)
    limited = rzero(*command, labelled, "--limit", "10")
    parts = [rzero(*command, labelled, "--limit", "10", "--shard", f"{i}/2") for i in range(2)]
    assert sorted(line for part in parts for line in part.lines) == sorted(limited.lines)


def test_score_shard_needs_batch(refused, labelled: Path) -> None:
    assert "--shard requires --batch" in refused("score", str(labelled), "--shard", "0/2")


@pytest.mark.slow
def test_shards_of_sample_and_label(rzero, small_base: Path, labelled: Path) -> None:
    model = ["--preset", "tiny", "--quiet"]
    drawn = [
        rzero("sample", "--challenger", small_base, *model, "-n", "41", "--shard", f"{i}/2")
        for i in range(2)
    ]
    other = [rzero("sample", "--challenger", small_base, *model, "-n", n) for n in ("21", "20")]
    questions = [[json.loads(line)["question"] for line in part.lines] for part in drawn]
    assert 10 < len(questions[0] + questions[1]) <= 41
    # Parts of equal size would get equal samples if they shared a seed.
    assert questions[0] != questions[1]
    assert questions[0] != [json.loads(line)["question"] for line in other[0].lines]
    parts = [
        rzero("label", labelled, "--solver", small_base, *model, "--m", "2", "--shard", f"{i}/3")
        for i in range(3)
    ]
    assert [part.status for part in parts] == [0, 0, 0]
    found = [json.loads(line) for part in parts for line in part.lines]
    assert [record["id"] for record in found] == [n for i in range(3) for n in range(i, 23, 3)]
