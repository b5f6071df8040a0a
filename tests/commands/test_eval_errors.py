"""`rzero eval`: errors reported before anything is loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.empty_checkpoints import empty_checkpoint

pytest.importorskip("lm_eval")


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


ROWS = [
    {"question": f"reverse the digits of {k}", "reference": str(k), "group": f"level {k % 2}"}
    for k in range(6)
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "-o"),
        (["-o", "out.json", "--data", "q.jsonl", "--model", ""], "--model is missing"),
        (["-o", "out.json"], "give either --data FILE or --tasks NAMES"),
        (["-o", "out.json", "--data", "q.jsonl", "--tasks", "gsm8k"], "give either --data FILE or"),
        (["-o", "out.json", "--data", "q.jsonl", "--chat"], "--chat requires --tasks"),
        (["-o", "out.json", "--data", "q.jsonl", "--num-fewshot", "0"], "--num-fewshot requires"),
        (["-o", "out.json", "--tasks", "x", "--data-file", "x"], "--data-file x: must be TASK="),
        (["-o", "out.json", "--tasks", "x", "--data-file", "x=no"], "--data-file x=no: no such"),
        (
            ["-o", "out.json", "--tasks", "x", *["--data-file", "x=q.jsonl"] * 2],
            "--data-file x: given twice",
        ),
        (
            ["-o", "out.json", "--data", "q.jsonl", "--prompt-file", "taken"],
            "must contain {question}",
        ),
        (["-o", "out.json", "--data", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["-o", "out.json", "--data", "q.jsonl", "--k", "-1"], "--k"),
        (["-o", "out.json", "--data", "q.jsonl", "--limit", "0"], "--limit"),
        (["-o", "out.json", "--data", "q.jsonl", "--engine", "x"], "--engine x: unknown"),
        (["-o", "taken", "--data", "q.jsonl"], "taken exists: choose another name, or replace"),
        (["-o", "taken", "--tasks", "gsm8k"], "taken exists"),
        (["-o", "nowhere/out.json", "--data", "q.jsonl"], "no such folder for out.json"),
        (["-o", "nowhere/out.json", "--tasks", "gsm8k"], "no such folder for out.json"),
        (
            ["-o", "out.json", "--data", "q.jsonl", "--log-samples", "nowhere/log.jsonl"],
            "no such folder for log.jsonl",
        ),
        (["-o", "out.json", "--data", "q.jsonl", "--log-samples", "taken"], "taken exists"),
        (["-o", "folder", "--force", "--tasks", "gsm8k"], "folder is a directory"),
        (
            ["-o", "out.json", "--force", "--data", "q.jsonl", "--log-samples", "folder"],
            "folder is a directory",
        ),
        (["-o", "out.json", "--data", "q.jsonl", "--log-samples", "out.json"], "--log-samples"),
        (["-o", "out.json", "--tasks", "x", "--include-path", "nowhere"], "--include-path nowhere"),
        (
            ["-o", "unfinished.json", "--data", "q.jsonl"],
            "unfinished.json.part exists from an interrupted run: continue with --resume",
        ),
        (["-o", "out.json", "--data", "bad.jsonl"], 'bad.jsonl:2: key "reference"'),
        (["-o", "out.json", "--data", "q.jsonl", "--reference-key", "x"], 'q.jsonl:1: key "x"'),
        (["-o", "out.json", "--data", "q.jsonl", "--question-key", "x"], 'q.jsonl:1: key "x"'),
        (["-o", "out.json", "--data", "typed.jsonl"], 'typed.jsonl:1: key "reference" must be a'),
    ],
)
def test_eval_errors_come_before_anything_is_loaded(
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    # The checkpoint cannot be loaded, and lm-eval is not installed.
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    empty_checkpoint(tmp_path / "model")
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "unfinished.json.part").write_text("{}\n")
    (tmp_path / "prompt.txt").write_text("{question}")
    (tmp_path / "q.jsonl").write_text(jsonl(ROWS))
    (tmp_path / "bad.jsonl").write_text(jsonl([ROWS[0], {"question": "why?", "answer": "1"}]))
    (tmp_path / "typed.jsonl").write_text(jsonl([{"question": "why?", "reference": 4}]))
    before = sorted(tmp_path.rglob("*"))
    given = [] if "--model" in arguments else ["--model", "model"]
    assert message in refused("eval", *given, *arguments)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken").read_text() == "mine"


def test_unknown_output_folder_is_refused_before_torch_loads(rzero: Rzero, tmp_path: Path) -> None:
    empty_checkpoint(tmp_path / "model")
    (tmp_path / "q.jsonl").write_text(jsonl(ROWS))
    command = ("eval", "--model", "model", "--data", "q.jsonl", "-o", "nowhere/out.json")
    ended = rzero(*command, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.status == 2
    loaded = {line.split("|")[-1].strip() for line in ended.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"torch", "transformers"}


def test_judge_with_nothing_to_judge_is_refused(
    rzero: Rzero, tmp_path: Path, tiny_model: Path
) -> None:
    row = {"question": "q", "options": ["x", "y"], "answer": "B"}
    (tmp_path / "mmlu.jsonl").write_text(jsonl([row]))
    command = ["eval", "--model", tiny_model, "--tasks", "rzero_mmlu_pro", "-o", "out.json"]
    more = ["--data-file=rzero_mmlu_pro=mmlu.jsonl", "--judge-endpoint", "http://127.0.0.1:9/v1"]
    ended = rzero(*command, *more)
    assert ended.status == 2
    assert "--judge-endpoint: nothing to judge in rzero_mmlu_pro" in ended.stderr


def test_judge_options_need_a_server(refused: Refused, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl(ROWS))
    command = ["eval", "--model", tiny_model, "--data", "q.jsonl", "-o", "out.json"]
    assert "--judge-model requires --judge-endpoint" in refused(*command, "--judge-model", "x")
    message = refused(*command, "--judge-endpoint", "nonsense")
    assert "--judge-endpoint nonsense: not a URL" in message
