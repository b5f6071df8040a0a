"""The commands in a shell: pipes, files, terminals, bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Rzero
from helpers.json_lines import records
from helpers.labeled_questions import LABELED
from helpers.shell import shell


def test_quiet_prints_only_records(rzero: Rzero) -> None:
    for command in (["filter"], ["score"], ["grade", "--reference-key", "answer"]):
        ended = rzero(*command, "--quiet", input=LABELED)
        assert ended.stderr == ""
        assert ended.stdout != ""


def test_empty_input_gives_empty_output(rzero: Rzero, tmp_path: Path) -> None:
    for number, command in enumerate(("filter", "score", "grade")):
        ended = rzero(command, input="\n\n")
        assert (ended.status, ended.stdout) == (0, "")
        assert rzero(command, "-o", str(number)).status == 0
        assert (tmp_path / str(number)).read_bytes() == b""


def test_output_is_replaced_only_by_force_and_records_its_origin(
    rzero: Rzero, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text(LABELED)
    for command in (["filter"], ["score"]):
        out, meta = tmp_path / "out.jsonl", tmp_path / "out.jsonl.meta.json"
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl").status == 0
        first = out.read_bytes()
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl").status == 2
        assert rzero(*command, "in.jsonl", "-o", "out.jsonl", "--force").status == 0
        assert out.read_bytes() == first
        record = json.loads(meta.read_text())
        assert record["stage"] == command[0]
        assert [parent["path"] for parent in record["parents"]] == ["in.jsonl"]
        assert record["parents"][0]["sha256"] == _sha256(tmp_path / "in.jsonl")
        assert record["sha256"] == _sha256(out)
        assert sorted(tmp_path.iterdir()) == [tmp_path / "in.jsonl", out, meta]
        out.unlink()
        meta.unlink()


def _sha256(path: Path) -> str:
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout
    return printed.split()[0]


def test_command_ends_quietly_behind_head(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED * 2000)
    ended = shell(tmp_path, "set -o pipefail; rzero filter -q labeled.jsonl | head -1")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(ended.lines) == 1
    ended = shell(tmp_path, "set -o pipefail; rzero score -q --batch 11 labeled.jsonl | head -1")
    assert (ended.status, ended.stderr) == (0, "")
    assert len(ended.lines) == 1
    for help in ("--help", "score --help"):
        ended = shell(tmp_path, f"set -o pipefail; rzero {help} | true")
        assert (ended.status, ended.stderr) == (0, "")


def test_stages_run_through_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    script = "set -o pipefail; rzero filter labeled.jsonl | rzero score --lambda-rep 0 | {}"
    ended = shell(tmp_path, script.format("rzero grade -q --reference-key answer"))
    assert ended.status == 0, ended.stderr
    assert [row["answer"] for row in records(ended)] == list("34567")
    assert all(row["correct"] for row in records(ended))


def test_pipe_input_gives_the_output_of_a_file(rzero: Rzero, tmp_path: Path) -> None:
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    for command in ("filter", "score"):
        straight = rzero(command, "labeled.jsonl")
        piped = shell(
            tmp_path, f"rzero {command} <(cat labeled.jsonl) -qo {command} && cat {command}"
        )
        assert straight.stdout == piped.stdout != ""


def test_filter_writes_each_line_before_reading_the_next(tmp_path: Path) -> None:
    line = b'{"answer": "1", "p_hat": 0.5}\n'
    with subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", "filter", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line  # while the input is still open
        process.stdin.close()
        assert process.wait(20) == 0


def test_filter_needs_constant_memory(tmp_path: Path) -> None:
    # 96 MB of records with an address space only slightly larger than the interpreter's.
    script = (
        'ulimit -v 260000; yes \'{"answer": "1", "p_hat": 0.5, "x": "'
        + "x" * 1000
        + "\"}' | head -n 96000 | rzero filter | wc -l"
    )
    ended = shell(tmp_path, script)
    assert ended.stdout.strip() == "96000", ended.stderr


def test_terminal_input_prints_help_instead_of_waiting(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        for name in ("filter", "score", "grade"):
            ended = subprocess.run(
                [sys.executable, "-m", "rzero_cli", name],
                stdin=theirs,
                capture_output=True,
                text=True,
                cwd=tmp_path,
                timeout=20,
            )
            assert ended.returncode == 2
            assert f"Usage: rzero {name}" in ended.stdout
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.slow
def test_loop_runs_through_pipes(rzero: Rzero, tmp_path: Path, small_base: Path) -> None:
    (tmp_path / "rzero.toml").write_text('preset = "tiny"\n')
    script = (
        "set -eo pipefail\n"
        "rzero sample --challenger $BASE -n 48 | tee questions.jsonl"
        " | rzero label --solver $BASE --m 4 | rzero filter --delta 0.25 > piped.jsonl\n"
    )
    ended = shell(tmp_path, script, BASE=str(small_base))
    assert ended.status == 0, ended.stderr
    for name, command in (
        ("labeled", "label questions.jsonl --m 4"),
        ("train", "filter labeled.jsonl --delta 0.25"),
        # label and then score equals score with a Solver
        ("scored", "score labeled.jsonl"),
        ("both", "score questions.jsonl --m 4"),
        ("graded", "grade --truth labeled.jsonl"),
    ):
        ended = rzero(*command.split(), environment={"RZERO_SOLVER": str(small_base)})
        assert ended.status == 0, ended.stderr
        (tmp_path / f"{name}.jsonl").write_text(ended.stdout)
    files = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in tmp_path.glob("*.jsonl")
    }
    labeled, kept = files["labeled"], files["train"]
    assert len(files["questions"]) == len(labeled) > 24
    assert kept == [row for row in labeled if row["answer"] and 0.25 <= row["p_hat"] <= 0.75]
    assert 0 < len(kept) < len(labeled)
    assert files["piped"] == kept
    assert files["scored"] == files["both"]
    assert {row["correct"] for row in files["graded"]} == {True, False}
