"""`rzero score`: rewards of given questions."""

from __future__ import annotations

from typing import Any

from conftest import Rzero
from helpers.json_lines import jsonl, records
from rzero_cli.method.rewards import challenger_rewards


def test_score_with_given_p_hat_needs_no_model(rzero: Rzero) -> None:
    rows: list[dict[str, Any]] = [
        {"x": [1, {"é": None}], "question": "how many primes are there below 100", "p_hat": 0.5},
        {"question": None, "p_hat": None, "completion": "no tags"},
        {"question": "how many primes are there below 200", "p_hat": 0.7, "reward": "old"},
        {"question": "reverse 12", "p_hat": 1},
    ]
    for rule in ("paper", "official"):
        ended = rzero("score", "--preset", rule, input=jsonl(*rows))
        assert ended.status == 0, ended.stderr
        expected = challenger_rewards(
            [row["question"] for row in rows],
            [row["p_hat"] for row in rows],
            rule=rule,
            bleu="nltk" if rule == "official" else "13a",
        )
        assert records(ended) == [
            row | reward.as_keys() for row, reward in zip(rows, expected, strict=True)
        ]
        # existing keys keep their places
        assert list(records(ended)[0])[:3] == ["x", "question", "p_hat"]


def test_score_penalizes_repetition_within_a_batch(rzero: Rzero) -> None:
    rows = [{"question": "the same one", "p_hat": 0.5} for _ in range(4)]
    whole = records(rzero("score", input=jsonl(*rows)))
    assert {row["r_rep"] for row in whole} == {1.0}
    twos = records(rzero("score", "--batch", "2", "--lambda-rep", "0.5", input=jsonl(*rows)))
    assert {row["r_rep"] for row in twos} == {0.5}  # 0.5 * 2/2
    threes = records(
        rzero("score", "--batch", "3", input=jsonl(*rows, rows[0] | {"question": "x"}))
    )
    assert [row["r_rep"] for row in threes] == [1.0, 1.0, 1.0, 0.5, 0.5]


def test_score_reads_another_key_and_a_limit(rzero: Rzero) -> None:
    rows = [{"problem": f"{word} 1 2", "p_hat": 0.5} for word in ("copy", "reverse", "turn")]
    ended = rzero("score", "--question-key", "problem", "--limit", "2", input=jsonl(*rows))
    assert [row["r_rep"] for row in records(ended)] in ([0.5, 0.5], [1.0, 1.0])
    assert len(ended.lines) == 2
