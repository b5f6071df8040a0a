"""Errors of the commands: one line, the right status, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Refused, Rzero
from helpers.empty_checkpoints import empty_checkpoint
from helpers.labeled_questions import LABELED
from helpers.shell import shell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["filter", "--frobnicate"], "No such option: --frobnicate"),
        (["filter", "--preset", "x"], "unknown preset 'x'; known: paper, official, tiny"),
        (["filter", "--limit", "0"], "--limit"),
        (["filter", "--limit", "many"], "--limit"),
        (["filter", "--delta"], "--delta"),
        (["filter", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["filter", "."], ".: is a directory, not a file"),
        (["filter", "-o", "nowhere/out.jsonl"], "no such folder"),
        (["filter", "-o", "taken"], "taken exists: choose another name, or replace it"),
        (["filter", "-o", "folder", "--force"], "folder is a directory: give -o a file in it"),
        (["score", "-o", "folder", "--force"], "folder is a directory: give -o a file in it"),
        (["score", "-o", "taken"], "taken exists"),
        (["score", "--resume"], "--resume needs -o FILE"),
        (["score", "--bleu", "x"], "--bleu x: unknown; known: 13a"),
        (["score", "--rule", "x"], "--rule x: unknown; known: paper, official"),
        (["score", "--tau-bleu", "1.5"], "--tau-bleu"),
        (["score", "--lambda-rep", "-1"], "--lambda-rep"),
        (["score", "--lambda-rep", "nan"], "--lambda-rep nan: must be finite"),
        (["score", "--lambda-rep", "inf"], "--lambda-rep inf: must be finite"),
        (["score", "--batch", "0"], "--batch"),
        (["score", "nowhere.jsonl", "-o", "out"], "nowhere.jsonl: no such file"),
        (["grade", "nowhere.jsonl", "-o", "out"], "nowhere.jsonl: no such file"),
        (["label"], "--solver is missing: give a checkpoint directory or a hub name, or set RZ"),
        (["label", "--solver", "nowhere"], "--solver nowhere: no such directory"),
        (["label", "--solver", "./nowhere/x"], "--solver ./nowhere/x: no such directory"),
        (["label", "--solver", "folder"], "--solver folder: not a checkpoint (no config.json)"),
        (["label", "--solver", "taken"], "--solver taken: a file; give a checkpoint directory"),
        (["label", "--solver", "model", "--m", "0"], "--m"),
        (["label", "--solver", "model", "--temperature", "-1"], "--temperature"),
        (["label", "--solver", "model", "--top-p", "1.1"], "--top-p"),
        (["label", "--solver", "model", "--engine", "x"], "--engine x: unknown; known: auto"),
        (["label", "--solver", "model", "--prompt-file", "nowhere"], "--prompt-file nowhere"),
        (["label", "--solver", "model", "--prompt-file", "taken"], "must contain {question}"),
        (["label", "nowhere.jsonl", "--solver", "model"], "nowhere.jsonl: no such file"),
        (["label", "bad.jsonl", "--solver", "model", "-o", "out"], 'bad.jsonl:2: key "question"'),
        (["sample"], "--challenger is missing"),
        (["sample", "--challenger", "model", "-n", "0"], "-n"),
        (["init"], "DIR"),
    ],
)
def test_errors_are_one_line_and_change_no_file(
    refused: Refused, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "bad.jsonl").write_text('{"question": "a"}\n{"question": 5}\n')
    (tmp_path / "folder").mkdir()
    empty_checkpoint(tmp_path / "model")
    before = sorted(tmp_path.rglob("*"))
    assert message in refused(*arguments)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    "command",
    [
        "filter in.jsonl -o in.jsonl --force",
        "filter ./link.jsonl -o in.jsonl --force",
        "vote other.jsonl link.jsonl -o in.jsonl --force",
        "grade in.jsonl -o in.jsonl --force",
        "score link.jsonl -o ./in.jsonl --force",
        "eval --model model --data in.jsonl -o in.jsonl --force",
    ],
)
def test_output_that_is_an_input_is_refused(refused: Refused, tmp_path: Path, command: str) -> None:
    empty_checkpoint(tmp_path / "model")
    line = '{"question": "1 + 1?", "answer": "2", "reference": "2", "answers": ["2"], "p_hat": 0.5}'
    for name in ("in.jsonl", "other.jsonl"):
        (tmp_path / name).write_text(line + "\n")
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    message = refused(*command.split())
    assert "would replace the input" in message
    assert (tmp_path / "in.jsonl").read_text() == line + "\n"
    assert (tmp_path / "link.jsonl").is_symlink()


def test_report_refuses_one_file_twice(refused: Refused) -> None:
    assert "-o a.png: given twice" in refused("report", ".", "-o", "a.png", "-o", "a.png")


@pytest.mark.parametrize(
    ("command", "line", "message"),
    [
        ("filter", "nonsense", "<stdin>:2: not JSON"),
        ("filter", "[]", "<stdin>:2: expected one JSON object per line"),
        ("filter", '{"answer": "1"}', '<stdin>:2: key "p_hat"'),
        ("filter", '{"p_hat": 0.5}', '<stdin>:2: key "answer"'),
        ("filter", '{"answer": 1, "p_hat": 0.5}', '<stdin>:2: key "answer" must be a string'),
        ("filter", '{"answer": "1", "p_hat": 1.5}', '<stdin>:2: key "p_hat" must be between'),
        ("filter", '{"answer": "1", "p_hat": "a"}', '<stdin>:2: key "p_hat" must be a number'),
        ("score", '{"p_hat": 0.5}', '<stdin>:2: key "question"'),
        ("score", '{"question": "a"}', '<stdin>:2: no "p_hat": give --solver MODEL'),
        ("score", '{"question": "a", "p_hat": 2}', '<stdin>:2: key "p_hat" must be between'),
        ("grade", '{"reference": "1"}', '<stdin>:2: key "answer"'),
        ("grade", '{"answer": "1"}', '<stdin>:2: key "reference"'),
        ("grade", '{"answer": 1, "reference": "1"}', '<stdin>:2: key "answer" must be a string'),
        (
            "oracle --world",
            '{"question": null}',
            '<stdin>:2: key "question" must be a string, not null',
        ),
    ],
)
def test_bad_record_error_names_file_line_and_key(
    rzero: Rzero, command: str, line: str, message: str
) -> None:
    good = '{"question": "a", "answer": "1", "p_hat": 0.5, "reference": "1"}\n'
    ended = rzero(*command.split(), input=f"{good}{line}\n{good}")
    assert ended.status == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    # Streaming commands have written the records before it.
    assert len(ended.lines) == (0 if command == "score" else 1)


def test_debug_prints_the_traceback(rzero: Rzero) -> None:
    assert "Traceback" in rzero("--debug", "filter", "nowhere").stderr
    ended = rzero("filter", "nowhere", environment={"RZERO_DEBUG": "1"})
    assert "Traceback" in ended.stderr


def test_full_disk_has_status_1(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    for command in ("filter", "score", "grade --reference-key answer"):
        ended = shell(tmp_path, f"rzero {command} labeled.jsonl > /dev/full")
        assert (ended.status, ended.stderr) == (
            1,
            "rzero: standard output: No space left on device\n",
        ), command


@pytest.mark.parametrize("offline", ["1", "0"])
def test_unreachable_hub_name_fails_in_one_line(rzero: Rzero, offline: str) -> None:
    """With HF_HUB_OFFLINE set, or without a connection to the hub."""
    environment = {"HF_HUB_OFFLINE": offline, "HF_ENDPOINT": "https://hub.invalid"}
    ended = rzero("sample", "--challenger", "nobody/nothing", environment=environment)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("rzero: --challenger nobody/nothing: no such directory; ")
    assert "unreachable" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_train_solver_refuses_an_empty_set(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    ended = rzero("train-solver", "train.jsonl", "--solver", tiny_model, "-o", "out")
    assert ended.status == 2
    assert ended.stderr.splitlines()[-1].startswith("rzero: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("closed", "said"), [("<&-", "input"), (">&-", "output")])
def test_closed_standard_stream_is_reported_in_one_line(
    tmp_path: Path, closed: str, said: str
) -> None:
    command = f"{sys.executable} -m rzero_cli filter - {closed}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, input="", cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2
    assert f"standard {said} is closed" in done.stderr
    assert done.stderr.count("\n") == 1
