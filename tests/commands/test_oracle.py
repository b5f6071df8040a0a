"""`rzero oracle`: references from a file, from a server, from the miniature's world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.json_lines import jsonl
from helpers.scripted_server import Body, Reply, ScriptedServer, completion, error, question
from rzero_cli.world.questions import truth


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def asked(count: int) -> list[dict[str, Any]]:
    return [{"id": k, "question": f"q{k}", "answer": str(k), "mine": [k]} for k in range(count)]


# ---------------------------------------------------------------- --oracle-data


def test_oracle_reads_references_from_a_file(rzero: Rzero, tmp_path: Path) -> None:
    truths = [{"question": "q0", "reference": "zero"}, {"question": "q2", "reference": None}]
    (tmp_path / "truth.jsonl").write_text(jsonl(*truths, truths[0]))
    ended = rzero("oracle", "--oracle-data", "truth.jsonl", input=jsonl(*asked(3)))
    assert ended.status == 0
    assert records(ended.stdout) == [
        row | {"reference": reference}
        for row, reference in zip(asked(3), ("zero", None, None), strict=True)
    ]
    assert ended.stderr == "oracle: 3 questions, 2 without a known answer\n"
    known = rzero("oracle", "--oracle-data", "truth.jsonl", "--known", input=jsonl(*asked(3)))
    assert [record["id"] for record in records(known.stdout)] == [0]


def test_oracle_reads_and_writes_other_keys(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl({"problem": "q0", "answer": "7"}))
    keys = ("--oracle-question-key", "problem", "--oracle-reference-key", "answer")
    mine = ("--question-key", "text", "--reference-key", "gold")
    rows = jsonl({"text": "q0", "gold": "old", "x": 1})
    ended = rzero("oracle", "--oracle-data", "truth.jsonl", *keys, *mine, input=rows)
    assert ended.stdout == '{"text":"q0","gold":"7","x":1}\n'


def test_oracle_shard_and_limit_agree_with_the_whole(rzero: Rzero, tmp_path: Path) -> None:
    rows = [{"question": f"copy the number {k}"} for k in range(100, 107)]
    (tmp_path / "q.jsonl").write_text(jsonl(*rows))
    whole = rzero("oracle", "q.jsonl", "--world").stdout
    parts = [rzero("oracle", "q.jsonl", "--world", "--shard", f"{k}/2").stdout for k in (0, 1)]
    assert sorted(whole.splitlines()) == sorted("".join(parts).splitlines())
    limited = rzero("oracle", "q.jsonl", "--world", "--limit", "2").stdout
    assert limited == "".join(whole.splitlines(keepends=True)[:2])


# ---------------------------------------------------------------- --world


def test_oracle_world_answers_every_question_and_grade_agrees(rzero: Rzero, tmp_path: Path) -> None:
    questions = ["reverse the digits of 4071", "copy the number 023", "what is it"]
    rows = [{"question": q, "answer": "1704"} for q in questions]
    (tmp_path / "q.jsonl").write_text(jsonl(*rows))
    ended = rzero("oracle", "q.jsonl", "--world", "-o", "truth.jsonl")
    assert (ended.status, ended.stdout) == (0, "")
    found = records((tmp_path / "truth.jsonl").read_text())
    assert [record["reference"] for record in found] == ["1704", "023", "0"]
    assert [record["reference"] for record in found] == [truth(q) for q in questions]
    graded = records(rzero("grade", "q.jsonl", "--truth").stdout)
    assert [record["reference"] for record in graded] == [record["reference"] for record in found]
    origin = json.loads((tmp_path / "truth.jsonl.meta.json").read_text())
    assert origin["metrics"] == {"questions": 3, "known": 3, "asked": 3}
    assert (origin["stage"], origin["settings"]["world"]) == ("oracle", True)
    assert [parent["path"] for parent in origin["parents"]] == ["q.jsonl"]
    stats = json.loads(rzero("stats", "truth.jsonl", "--json").stdout)
    assert (stats["with_reference"], stats["label_accuracy"]) == (3, 1 / 3)


@pytest.mark.parametrize("who", [["--world"], ["--oracle-data", "truth.jsonl"]])
def test_interrupted_lookup_resumes(rzero: Rzero, tmp_path: Path, who: list[str]) -> None:
    rows = [{"question": f"copy the number {k}"} for k in range(100, 106)]
    truths = [row | {"reference": str(k)} for k, row in enumerate(rows, 100)]
    (tmp_path / "truth.jsonl").write_text(jsonl(*truths))
    command = ("oracle", *who, "-o", "t.jsonl", "--resume")
    broken = rzero(*command, input=jsonl(*rows[:3]) + "nonsense")
    assert (broken.status, (tmp_path / "t.jsonl").exists()) == (2, False)
    assert len((tmp_path / "t.jsonl.part").read_text().splitlines()) == 3
    ended = rzero(*command, input=jsonl(*rows))
    assert ended.status == 0, ended.stderr
    assert ended.stderr == "oracle: 6 questions, 0 without a known answer\n"
    assert records((tmp_path / "t.jsonl").read_text()) == truths


@pytest.mark.parametrize("known", [[], ["--known"]])
def test_resumed_oracle_counts_questions_before_the_interruption(
    rzero: Rzero, tmp_path: Path, known: list[str]
) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q4", "reference": "4"}))
    command = ("oracle", "--oracle-data", "truth.jsonl", *known, "-o", "t.jsonl", "--resume")
    rzero(*command, input=jsonl(*asked(3)) + "nonsense")
    ended = rzero(*command, input=jsonl(*asked(5)))
    assert ended.stderr == "oracle: 5 questions, 4 without a known answer\n"
    metrics = json.loads((tmp_path / "t.jsonl.meta.json").read_text())["metrics"]
    assert metrics == {"questions": 1 if known else 5, "known": 1, "asked": 5}


# ---------------------------------------------------------------- --oracle-endpoint


def knows(*boxes: str) -> Any:
    """Return a server that answers q0 with the boxes in turn, and q1 with none."""

    def answer(body: Body) -> Reply:
        if question(body) != "q0":
            return 200, completion(*["I do not know."] * body.get("n", 1))
        texts = [f"It is \\boxed{{{box}}}." for box in boxes]
        return 200, completion(*texts[: body.get("n", 1)])

    return answer


def test_oracle_server_gets_the_solver_prompt_greedily(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(*asked(2)))
    with ScriptedServer(knows("7"), models=("strong", "weak")) as server:
        ended = rzero(
            *("oracle", "q.jsonl", "--oracle-endpoint", server.url, "--oracle-model", "strong"),
            *("-o", "truth.jsonl", "--max-tokens", "99"),
        )
        assert ended.status == 0, ended.stderr
        requests = sorted(server.requests, key=question)
    assert [record["reference"] for record in records((tmp_path / "truth.jsonl").read_text())] == [
        "7",
        None,
    ]
    for k, body in enumerate(requests):
        assert body["model"] == "strong"
        assert body["temperature"] == 0
        assert body.get("n", 1) == 1
        assert body["max_tokens"] == 99
        roles = {message["role"]: message["content"] for message in body["messages"]}
        assert roles["user"] == f"q{k}"
        assert "\\boxed{}" in roles["system"]
    assert len(requests) == 2
    origin = json.loads((tmp_path / "truth.jsonl.meta.json").read_text())
    assert origin["metrics"] == {"questions": 2, "known": 1, "asked": 2}
    assert origin["parents"][1]["path"] == f"strong at {server.url}"
    assert "oracle_endpoint" not in origin["settings"], "the address of the server is not recorded"


def test_oracle_takes_the_majority_of_several_answers(rzero: Rzero) -> None:
    with ScriptedServer(knows("7", "0.5", r"\frac12")) as server:
        ended = rzero(
            *("oracle", "--oracle-endpoint", server.url, "--m", "3"), input=jsonl(*asked(2))
        )
        assert ended.status == 0, ended.stderr
        drawn = {body["temperature"] for body in server.requests}
    assert [record["reference"] for record in records(ended.stdout)] == ["0.5", None]
    assert drawn == {1.0}, "greedy answers would all be equal"


def test_interrupted_oracle_server_run_resumes(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(*asked(6)))
    broken = True

    def answer(body: Body) -> Reply:
        number = question(body)[1:]
        if broken and int(number) >= 3:
            return 400, error("no more credit")
        return 200, completion(f"\\boxed{{{number}}}" if number != "1" else "?")

    with ScriptedServer(answer) as server:
        command = ("oracle", "q.jsonl", "--oracle-endpoint", server.url, "--known", "-o", "t.jsonl")
        failed = rzero(*command, "--batch-size", "1", timeout=60)
        assert failed.status == 1, failed.stderr
        assert not (tmp_path / "t.jsonl").exists()
        journal = (tmp_path / "t.jsonl.part").read_text().splitlines()
        broken, before = False, len(server.requests)
        assert "t.jsonl.part" in rzero(*command).stderr, "requires --resume"
        ended = rzero(*command, "--batch-size", "1", "--resume")
        assert ended.status == 0, ended.stderr
        again = {question(body) for body in server.requests[before:]}
    assert again == {f"q{k}" for k in range(len(journal), 6)}
    assert len(journal) >= 1
    found = records((tmp_path / "t.jsonl").read_text())
    assert [(record["id"], record["reference"]) for record in found] == [
        (k, str(k)) for k in (0, 2, 3, 4, 5)
    ]
    assert "already complete" in rzero(*command, "--batch-size", "1", "--resume").stderr


# ---------------------------------------------------------------- errors

ONE = "give exactly one source of true answers: --oracle-data, --oracle-endpoint, --world"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], ONE),
        (["--world", "--oracle-data", "truth.jsonl"], ONE),
        (["--world", "--oracle-endpoint", "http://127.0.0.1:1/v1"], ONE),
        (["--world", "--oracle-model", "m"], "--oracle-model requires --oracle-endpoint"),
        (["--oracle-endpoint", "nowhere"], "--oracle-endpoint nowhere: not a URL"),
        (["--oracle-endpoint", "http://k:y@h/v1"], "--oracle-endpoint: put the API key in OPENAI"),
        (["--oracle-data", "nowhere"], "nowhere: no such file"),
        (["--world", "--extract", "x"], "--extract x: unknown"),
        (["--world", "--m", "0"], "--m"),
        (["--world", "--resume"], "--resume needs -o FILE"),
        (["--world", "-o", "truth.jsonl"], "truth.jsonl exists"),
        (
            ["--world", "--question-key", "problem"],
            'q.jsonl:1: key "problem" (a string) is missing',
        ),
    ],
)
def test_oracle_errors_are_one_line(
    refused: Refused, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(*asked(1)))
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q0", "reference": "1"}))
    assert message in refused("oracle", "q.jsonl", *options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"question": "q0", "reference": "2"},
            "truth.jsonl:2: the same question has a different true",
        ),
        ({"question": "q1", "reference": 2}, 'truth.jsonl:2: key "reference" must be a string'),
        ({"question": "q1"}, 'truth.jsonl:2: key "reference" (a string or null) is missing'),
    ],
)
def test_bad_oracle_data_is_named(
    rzero: Rzero, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q0", "reference": "1"}, row))
    for command in ("oracle", "stats"):
        ended = rzero(command, "--oracle-data", "truth.jsonl", input=jsonl(*asked(1)))
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"rzero: {message}")


def test_oracle_keeps_earlier_references(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q0", "reference": "new"}))
    rows = jsonl({"question": "q0", "reference": "old"}, {"question": "q1", "reference": "old"})
    ended = rzero("oracle", "--oracle-data", "truth.jsonl", input=rows)
    assert [row["reference"] for row in records(ended.stdout)] == ["new", "old"]
    assert ended.stderr == "oracle: 2 questions, 0 without a known answer\n"
    known = rzero("oracle", "--oracle-data", "truth.jsonl", "--known", input=rows)
    assert known.stdout == ended.stdout


def test_empty_reference_is_a_reference(rzero: Rzero, tmp_path: Path) -> None:
    """Both for `rzero stats --oracle-data` and `rzero oracle`."""
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q0", "reference": ""}))
    rows = jsonl({"question": "q0", "answer": "old", "reference": "old"})
    ended = rzero("oracle", "--oracle-data", "truth.jsonl", input=rows)
    assert records(ended.stdout)[0]["reference"] == ""
    joined = rzero("stats", "--oracle-data", "truth.jsonl", "--json", input=rows)
    assert json.loads(joined.stdout)["label_accuracy"] == 0.0


def test_oracle_records_how_many_questions_were_looked_up(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(jsonl({"question": "q0", "reference": "0"}))
    (tmp_path / "q.jsonl").write_text(jsonl(*asked(3)))
    ended = rzero("oracle", "q.jsonl", "--oracle-data", "truth.jsonl", "--known", "-o", "t.jsonl")
    assert ended.status == 0, ended.stderr
    metrics = json.loads((tmp_path / "t.jsonl.meta.json").read_text())["metrics"]
    assert metrics == {"questions": 1, "known": 1, "asked": 3}


def test_oracle_resume_refuses_another_model(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(*asked(20)))
    seen = 0

    def fails(body: Body) -> Reply:
        nonlocal seen
        seen += 1
        return (200, completion("\\boxed{1}")) if seen < 8 else (400, {"error": "no more"})

    command = ("oracle", "q.jsonl", "-o", "t.jsonl", "--batch-size", "1", "--oracle-endpoint")
    with ScriptedServer(fails, models=("one",)) as server:
        assert rzero(*command, server.url).status == 1
    assert (tmp_path / "t.jsonl.part").read_text().count("\n") > 0
    with ScriptedServer(lambda body: (200, completion("x")), models=("two",)) as server:
        other = rzero(*command, server.url, "--resume")
    assert (other.status, "other settings (oracle)" in other.stderr) == (2, True), other.stderr
    with ScriptedServer(lambda body: (200, completion("x")), models=("one",)) as server:
        same = rzero(*command, server.url, "--resume")
        assert same.status == 0, same.stderr
        parents = json.loads((tmp_path / "t.jsonl.meta.json").read_text())["parents"]
        assert parents[1]["path"] == f"one at {server.url}"
