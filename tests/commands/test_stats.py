"""`rzero stats`: metrics checked by hand, warnings of collapse, tables, bad input."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Refused, Rzero
from helpers.json_lines import jsonl
from helpers.pseudo_terminal import OnTerminal


def figures(ended: Ended) -> list[dict[str, Any]]:
    assert ended.status == 0, ended.stderr
    return [json.loads(line) for line in ended.lines]


def test_stats_metrics_by_hand(rzero: Rzero) -> None:
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
            "valid": 4 / 5,
            "distinct_questions": 3,
            "near_duplicates": 0.25,
            "compared": 4,
            "self_bleu": pytest.approx(
                1 / 6
            ),  # one of six pairs is similar, the others share nothing
            "clusters": 3,
            "largest_cluster": 0.5,
            "sampled": 4,
            "words": (6 + 6 + 5 + 3) / 4,
            "words_quantiles": [3, 5, 6],
            "openings": [["how many apples", 0.5], ["what is the", 0.25], ["name a colour", 0.25]],
            "p_hat_mean": 0.5,
            "p_hat_histogram": [1, 0, 1, 0, 0, 0, 0, 1, 0, 1],
            "kept": 0.5,  # both bounds are inclusive
            "labelled": 3,
            "distinct_answers": 2,  # 1/2 and 0.5 are equal
            "top_answer": 2 / 3,
            "top_10_answers": 1.0,
        }
    ]
    narrow = figures(rzero("stats", "--json", "--delta", "0.2", input=jsonl(*rows)))
    assert narrow[0]["kept"] == 0.0


def test_stats_kept_share_uses_the_bounds_of_filter(rzero: Rzero, tmp_path: Path) -> None:
    def kept(*given: str) -> list[str]:
        ended = rzero("stats", "a.jsonl", *given)
        assert ended.status == 0, ended.stderr
        return next(line for line in ended.lines if "kept" in line).split()[1:]

    rows = [{"answer": "1", "p_hat": k / 100} for k in (25, 30, 75, 80)]
    (tmp_path / "a.jsonl").write_text(jsonl(*rows))
    assert kept("--preset", "official") == ["0.3", "to", "0.8", "75.0%"]
    assert kept("--preset", "official", "--delta", "0.2") == ["0.3", "to", "0.7", "25.0%"]
    (tmp_path / "rzero.toml").write_text("[filter]\nlow = 0.5\n")
    assert kept() == ["0.5", "to", "1", "50.0%"]
    (tmp_path / "rzero.toml").write_text("[stats]\ndelta = 0.1\n[filter]\nlow = 0.5\n")
    assert kept() == ["0.4", "to", "0.6", "0.0%"]
    (tmp_path / "rzero.toml").write_text("[filter]\ndelta = 0.6\n")
    ended = rzero("stats", "a.jsonl")
    assert ended.stderr == "rzero: filter: --delta 0.6: must be between 0 and 0.5\n"


def test_distinct_questions_ignore_case_and_white_space(rzero: Rzero) -> None:
    texts = ("What is 2 ?", " what  IS\n2 ?", "what is 3 ?", "Die Straße ?", "die STRASSE ?")
    (one,) = figures(rzero("stats", "--json", input=jsonl(*({"question": t} for t in texts))))
    assert (one["distinct_questions"], one["openings"]) == (
        3,  # as for `filter --dedup exact`
        [["what is 2", 2 / 5], ["die strasse ?", 2 / 5], ["what is 3", 1 / 5]],
    )
    assert "seen_before" not in one


def test_seen_before_counts_questions_of_all_earlier_files(rzero: Rzero, tmp_path: Path) -> None:
    asked = (["a b", "c d"], ["C  d", "e f", "e f", "g h"], ["A B", "e f", None, "x"], [])
    for number, texts in enumerate(asked):
        rows = [{"question": text} for text in texts] or [{"answer": "1"}]
        (tmp_path / f"{number}.jsonl").write_text(jsonl(*rows))
    found = figures(rzero("stats", "--json", *(f"{number}.jsonl" for number in range(4))))
    assert [one.get("seen_before") for one in found] == [None, 1 / 4, 2 / 3, None]


def test_label_accuracy_from_references(rzero: Rzero) -> None:
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
    assert found["label_accuracy"] == 1 / 4  # of the four labels
    assert found["label_accuracy_kept"] == 1 / 2  # p_hat = 0.5 and 0.75
    assert found["solver_accuracy"] == (2 / 4 + 1 / 4 + 0 + 0 + 0) / 5
    for name in ("label_accuracy", "label_accuracy_kept", "solver_accuracy"):
        low, high = found[f"{name}_ci95"]
        assert 0 <= low < found[name] < high <= 1
    assert found["label_accuracy_ci95"] == pytest.approx(
        [0.0456, 0.6994], abs=1e-4
    )  # Wilson's interval
    none = figures(rzero("stats", "--json", input=jsonl(*rows[5:6])))[0]
    assert none["with_reference"] == 0
    assert "label_accuracy" not in none
    assert "with_reference" not in figures(rzero("stats", "--json", input=jsonl(*rows[6:])))[0]


def test_label_accuracy_from_a_reference_file(rzero: Rzero, tmp_path: Path) -> None:
    rows = [{"question": f"q{k}", "answer": str(k), "reference": "x"} for k in range(4)]
    (tmp_path / "labeled.jsonl").write_text(jsonl(*rows[:3], {"question": "q3", "answer": "3"}))
    truth = [{"question": f"q{k}", "reference": t} for k, t in enumerate(("0", "8", None))]
    (tmp_path / "truth.jsonl").write_text(jsonl(*truth))
    ended = rzero("stats", "--json", "labeled.jsonl", "--oracle-data", "truth.jsonl")
    (found,) = figures(ended)
    assert (found["with_reference"], found["label_accuracy"]) == (3, pytest.approx(1 / 3))
    assert ended.stderr == ""
    other = rzero("stats", "--oracle-data", "truth.jsonl", input=jsonl({"question": "q9"}))
    assert other.stderr == "stats: truth.jsonl has no true answer to any of these questions\n"


def test_label_accuracy_of_two_files_side_by_side(rzero: Rzero, tmp_path: Path) -> None:
    for name, true in (("a.jsonl", 3), ("b.jsonl", 1)):
        rows = [{"answer": "1", "reference": "1" if k < true else "2"} for k in range(4)]
        (tmp_path / name).write_text(jsonl(*rows))
    ended = rzero("stats", "a.jsonl", "b.jsonl")
    rows = [" ".join(line.split()) for line in ended.lines]
    assert "label accuracy 75.0% 25.0%" in rows
    assert "with reference 4 4" in rows


def test_stats_without_references_starts_no_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Answers with canonical keys need no worker either; starting one takes a second."""
    from rzero_cli.answers.equivalence import Equivalence
    from rzero_cli.cli import run

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


def test_missing_keys_give_no_metrics(rzero: Rzero) -> None:
    assert figures(rzero("stats", "--json", input=jsonl({"x": 1}))) == [{"file": "-", "records": 1}]
    assert figures(rzero("stats", "--json")) == [{"file": "-", "records": 0}]
    only = figures(rzero("stats", "--json", "--question-key", "x", input=jsonl({"x": "a b"})))
    assert set(only[0]) >= {"questions", "words"}
    assert "kept" not in only[0]


def test_unknown_question_key_is_reported(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl({"prompt": "a", "answer": "1"}, {"prompt": "b"}))
    assert rzero("stats", "a.jsonl").stderr == "", "labels alone give metrics"
    told = "set --question-key; keys in the file: prompt, answer\n"
    ended = rzero("stats", "a.jsonl", "--question-key", "text")
    assert ended.stderr == f'stats: a.jsonl: no record has "text": {told}'
    (tmp_path / "b.jsonl").write_text(jsonl({"prompt": "a"}))
    told = "set --question-key; keys in the file: prompt\n"
    assert rzero("stats", "b.jsonl").stderr == f'stats: b.jsonl: no record has "question": {told}'


def asked(texts: Iterable[str], answers: Iterable[str]) -> str:
    pairs = zip(texts, answers, strict=True)
    return jsonl(*({"question": text, "answer": a, "p_hat": 0.5} for text, a in pairs))


def various(n: int, seed: int) -> str:
    """Return different questions, with small answers more frequent than large ones."""
    rng = random.Random(seed)
    words = [f"word{k}" for k in range(500)]
    texts = [" ".join(rng.choices(words, k=8)) for _ in range(n)]
    return asked(texts, [str(int(rng.paretovariate(0.5))) for _ in range(n)])


def test_collapse_is_warned_of(rzero: Rzero, tmp_path: Path) -> None:
    templates = ("what is the sum of {} and one", "find the value of {} doubled", "halve {} now")
    collapsed = asked((templates[k % 3].format(k) for k in range(200)), map(str, [1, 2, 3, 4] * 50))
    copies = asked(["what is two and three"] * 50 + ["halve the ten"] * 50, map(str, range(100)))
    for name, text in (("1", various(200, 0)), ("2", collapsed), ("3", copies)):
        (tmp_path / f"{name}.jsonl").write_text(text)
    (tmp_path / "4.jsonl").write_text(various(300, 1))
    ended = rzero("stats", "--json", "1.jsonl", "2.jsonl", "3.jsonl", "4.jsonl")
    first, second, third, _ = figures(ended)
    assert first["p_hat_mean"] == second["p_hat_mean"] == 0.5
    said = ended.stderr.splitlines()
    told = [figure.get("warnings") for figure in figures(ended)]
    assert (told[0], told[3]) == (None, [])
    names = ("2.jsonl", "3.jsonl")
    assert said == [
        f"stats: 1.jsonl -> {name}: {line}"
        for name, lines in zip(names, told[1:3], strict=True)
        for line in lines or ()
    ]
    answers = first["distinct_answers"]
    alike = round(200 * (1 - second["near_duplicates"]))
    frequent = sum(share for _, share in first["openings"])
    to_second, to_third = "stats: 1.jsonl -> 2.jsonl: ", "stats: 1.jsonl -> 3.jsonl: "
    cluster = first["largest_cluster"], second["largest_cluster"]
    assert said == [
        f"{to_second}questions without an earlier near-duplicate fell from 200 of 200 (100%) to "
        f"{alike} of 200 ({alike / 200:.0%})",
        f"{to_second}distinct answers fell from {answers} of 200 ({answers / 200:.0%}) to 4 of 200 "
        "(2%)",
        f"{to_second}self-BLEU rose from 0.01 to {second['self_bleu']:.2f}",
        f"{to_second}the largest cluster's fraction rose from {cluster[0]:.2f} to {cluster[1]:.2f}",
        f"{to_second}the fraction of the ten most frequent openings rose from {frequent:.2f} to "
        f"{sum(share for _, share in second['openings']):.2f}",
        f"{to_second}the fraction of the ten most frequent answers rose from "
        f"{first['top_10_answers']:.2f} to 1.00",
        f"{to_third}distinct questions fell from 200 of 200 (100%) to 2 of 100 (2%)",
        f"{to_third}questions without an earlier near-duplicate fell from 200 of 200 (100%) to "
        "2 of 100 (2%)",
        f"{to_third}self-BLEU rose from 0.01 to {third['self_bleu']:.2f}",
        f"{to_third}the largest cluster's fraction rose from 0.01 to 0.50",
        f"{to_third}the fraction of the ten most frequent openings rose from {frequent:.2f} to "
        "1.00",
    ]
    assert rzero("stats", "--json", "2.jsonl", "1.jsonl").stderr == ""
    assert rzero("stats", "--json", "--quiet", "1.jsonl", "2.jsonl").stderr == ""


def test_diverse_files_give_no_warning(rzero: Rzero, tmp_path: Path) -> None:
    """More questions have more distinct answers; of fewer, the top answers are a larger part."""
    for number, n in enumerate((1000, 60, 4000, 250, 1000)):
        (tmp_path / f"{number}.jsonl").write_text(various(n, number))
    ended = rzero("stats", *(f"{number}.jsonl" for number in range(5)))
    assert ended.status == 0
    progress = re.compile(r"stats: [\d,/]+ records, .*")  # on a slow machine
    assert not [line for line in ended.stderr.splitlines() if not progress.fullmatch(line)]


def test_stats_table_of_three_files_fits_80_columns(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / f"iter-{number + 1}"
        folder.mkdir()
        rows = [
            {"question": f"\x1b[1m[red] the x {k} of {k % 7}", "answer": str(k), "p_hat": 0.5}
            | {"votes": {str(k): 1, "x": 1}, "reference": "1"}
            for k in range(1100)
        ]
        (folder / "labeled.jsonl").write_text(jsonl(*rows))
    names = [f"iter-{number}/labeled.jsonl" for number in (1, 2, 3)]
    shown = OnTerminal(tmp_path, "stats", "--quiet", *names, COLUMNS="80")
    assert shown.status == 0
    assert shown.is_harmless()
    lines = shown.bare.splitlines()
    assert max(map(len, lines)) <= 80
    rows_by_name = {line[:20].strip(): line[20:].split() for line in lines}
    assert rows_by_name["records"] == ["1,100"] * 3
    assert rows_by_name["clusters"][1:3] == ["of", "1,000"]
    assert rows_by_name["vote entropy"] == ["1.00", "bits"] * 3
    assert rows_by_name["words, 5-50-95 %"] == ["6-6-6"] * 3
    assert rows_by_name["seen before"] == ["100.0%"] * 2
    assert len(rows_by_name["label accuracy"]) == 3
    opening = next(line for line in lines if line.strip().startswith("openings"))
    assert opening.count(r"100.0% \x1b[1m[re") == 3


def test_stats_splits_wide_tables(tmp_path: Path) -> None:
    for number in range(1, 6):
        (tmp_path / f"{number}.jsonl").write_text(various(5, number))
    names = [f"{number}.jsonl" for number in range(1, 6)]
    shown = OnTerminal(tmp_path, "stats", *names, COLUMNS="80")
    lines = shown.bare.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines if ".jsonl" in line and "->" not in line]
    assert heads == [names[:3], names[3:]]
    kept = [line.split() for line in lines if line.strip().startswith("kept, 0.25 to 0.75 ")]
    assert [len(row) - 4 for row in kept] == [3, 2]


def test_stats_table_has_a_column_per_file(rzero: Rzero, tmp_path: Path) -> None:
    for name in ("iter-1", "iter-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labeled.jsonl").write_text(jsonl({"question": "a b", "p_hat": 0.5}))
    ended = rzero("stats", "iter-1/labeled.jsonl", "iter-2/labeled.jsonl")
    assert ended.status == 0
    assert ended.lines[0].split() == ["iter-1/labeled.jsonl", "iter-2/labeled.jsonl"]
    row = next(line for line in ended.lines if "kept" in line)
    assert " ".join(row.split()) == "kept, 0.25 to 0.75 100.0% 100.0%"
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": 3}, 'key "question" must be a string'),
        ({"p_hat": 2}, 'key "p_hat" must be between 0 and 1, not 2'),
        ({"answer": ["1"]}, 'key "answer" must be a string'),
        ({"reference": 5}, 'key "reference" must be a string, not a number'),
        ({"answer": "1", "p_hat": 1, "votes": [1]}, 'key "votes" must be an object'),
        (
            {"answer": "1", "p_hat": 1, "votes": {"1": "2"}},
            "key \"votes\" must hold whole numbers from 1: '1' has '2'",
        ),
        ({"answer": "1", "p_hat": 1, "answers": [1]}, 'key "answers" must hold texts or null'),
        ({"reference": "5", "answers": "5"}, 'key "answers" must be a list of texts'),
        ({"reference": "5", "answers": [5]}, 'key "answers" must hold texts or null, not 5'),
    ],
)
def test_stats_names_a_bad_record(rzero: Rzero, row: dict[str, Any], message: str) -> None:
    ended = rzero("stats", input=jsonl({"question": "a"}, row))
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"rzero: <stdin>:2: {message}")


def test_stats_option_errors(refused: Refused) -> None:
    assert "--bleu nice: unknown" in refused("stats", "--bleu", "nice")
    assert "nowhere.jsonl: no such file" in refused("stats", "nowhere.jsonl")
    assert "nowhere.jsonl: no such file" in refused("stats", "--oracle-data", "nowhere.jsonl")


def test_stats_with_standard_output_closed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl({"question": "a"}))
    command = [sys.executable, "-m", "rzero_cli", "stats", "q.jsonl"]
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert closed.returncode == 2
    assert closed.stderr.startswith("rzero: standard output is closed")
