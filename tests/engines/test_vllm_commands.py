"""Commands with the real vLLM on the CPU: pipes, signals, kills, resume.

Run with `make test-vllm`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.live_processes import alive, children

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

RZERO = [sys.executable, "-m", "rzero_cli"]


def piped(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # A shell function, since the word also occurs in paths: the cache's directory is named rzero.
    rzero = f'rzero() {{ {" ".join(RZERO)} "$@"; }}'
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {rzero}; {command}"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_vllm_sample_label_filter_through_pipes(small_base: Path, tmp_path: Path) -> None:
    both = {"RZERO_ENGINE": "vllm", "RZERO_PRESET": "tiny", "RZERO_SOLVER": str(small_base)}
    line = (
        f"rzero sample --challenger {small_base} -n 40 | tee q.jsonl | rzero label --m 10 "
        "| tee l.jsonl | rzero filter --low 0 --high 1"
    )
    done = piped(line, tmp_path, **both)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    labelled = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    kept = [json.loads(text) for text in done.stdout.splitlines()]
    sampled = (tmp_path / "q.jsonl").read_text().splitlines()
    assert [json.loads(text)["question"] for text in sampled] == [r["question"] for r in labelled]
    assert kept == [record for record in labelled if record["answer"] is not None]
    assert len(kept) > 5
    assert all(len(record["answers"]) == record["m"] == 10 for record in kept)
    assert len({answer for record in kept for answer in record["answers"]}) > 5


def test_vllm_labels_with_a_real_llm_and_prints_only_records(smollm2: Path, tmp_path: Path) -> None:
    questions = [f"What is {n} + {n}? Answer with \\boxed{{}}." for n in range(1, 5)]
    (tmp_path / "q.jsonl").write_text(
        "".join(json.dumps({"question": q, "kept": [n]}) + "\n" for n, q in enumerate(questions))
    )
    line = (
        f"cat q.jsonl | rzero label --solver {smollm2} --engine vllm --m 4 --max-tokens 48 "
        "--max-model-len 512 --extract boxed,phrase,last-number --stop '\n\n\n' "
        "| tee l.jsonl | rzero filter --low 0 --high 1 | cat"
    )
    done = piped(line.replace("last-number", "hashes"), tmp_path)
    assert done.returncode == 0, done.stderr
    records = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert [record["question"] for record in records] == questions
    assert [record["kept"] for record in records] == [[0], [1], [2], [3]]
    assert all(len(record["answers"]) == 4 for record in records)
    for text in done.stdout.splitlines():
        assert json.loads(text)["answer"] is not None
    assert "answers truncated at 48 tokens" in done.stderr


def start_label(
    base: Path, questions: Path, folder: Path, *more: str, ignoring: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a labelling in a separate process group and wait until it has written some records.

    It ignores the signal `ignoring`, if there is one.
    """
    command = ["label", questions, "--solver", base, "--engine", "vllm", "--preset", "tiny"]
    process = subprocess.Popen(
        [*RZERO, *map(str, command), "--m", "4", "-o", "l.jsonl", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=ignoring and (lambda: signal.signal(ignoring, signal.SIG_IGN)),
    )
    journal = folder / "l.jsonl.part"
    for _ in range(1800):
        time.sleep(0.1)
        if process.poll() is not None or (journal.exists() and journal.stat().st_size > 2000):
            break
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize(
    ("number", "group", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGKILL, False, -9)],
)
def test_signal_leaves_no_vllm_process_and_keeps_finished_records(
    small_base: Path, many_questions: Path, tmp_path: Path, number, group: bool, status: int
) -> None:
    process = start_label(small_base, many_questions, tmp_path)
    theirs = children(process.pid)
    assert len(theirs) >= 2
    (os.killpg if group else os.kill)(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    nothing_is_left(theirs, stderr)
    done = (tmp_path / "l.jsonl.part").read_text().count("\n")
    assert 0 < done < 3000
    if number == signal.SIGKILL:  # continue it, which takes less time
        command = ["label", many_questions, "--solver", small_base, "--engine", "vllm"]
        again = subprocess.run(
            [
                *RZERO,
                *map(str, command),
                *["--preset", "tiny", "--m", "4", "-o", "l.jsonl", "--resume"],
            ],
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
        )
        assert again.returncode == 0, again.stderr
        records = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
        assert [record["id"] for record in records] == list(range(3000))
        assert all(len(record["answers"]) == 4 for record in records)


def nothing_is_left(theirs: list[int], stderr: bytes) -> None:
    """Check that no process of vLLM's is left, and none of its messages."""
    assert b"Traceback" not in stderr
    assert b"EngineCore" not in stderr
    for _ in range(100):
        if not alive(theirs):
            break
        time.sleep(0.1)
    assert not alive(theirs)


def test_death_of_a_vllm_worker_is_reported_in_one_line(
    small_base: Path, many_questions: Path, tmp_path: Path
) -> None:
    process = start_label(small_base, many_questions, tmp_path, "--quiet")
    theirs = children(process.pid)
    os.kill(max(theirs), signal.SIGKILL)  # the last one started: the worker, which holds the memory
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert stderr.startswith(b"rzero: vLLM failed: ")
    assert stderr.count(b"\n") == 1, stderr
    nothing_is_left(theirs, stderr)


def test_ignored_ctrl_c_ends_no_vllm_process(
    small_base: Path, many_questions: Path, tmp_path: Path
) -> None:
    """A script's background job ignores Ctrl-C, which reaches its whole process group."""
    process = start_label(small_base, many_questions, tmp_path, ignoring=signal.SIGINT)
    theirs = children(process.pid)
    journal = tmp_path / "l.jsonl.part"
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    before = journal.stat().st_size
    for _ in range(300):
        time.sleep(0.1)
        if process.poll() is not None or journal.stat().st_size > before + 2000:
            break
    assert process.poll() is None, process.communicate()
    assert alive(theirs) == theirs
    os.killpg(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    nothing_is_left(theirs, stderr)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_during_vllm_start_leaves_no_process(
    small_base: Path, many_questions: Path, tmp_path: Path, number, status: int
) -> None:
    command = ["label", many_questions, "--solver", small_base, "--engine", "vllm"]
    process = subprocess.Popen(
        [*RZERO, *map(str, command), "-o", "l.jsonl"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    theirs: list[int] = []
    for _ in range(600):  # until vLLM has started processes next to the watchdog
        time.sleep(0.1)
        if len(theirs := children(process.pid)) > 1:
            break
    time.sleep(2)
    theirs = sorted({*theirs, *children(process.pid)})
    assert len(theirs) > 1
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    nothing_is_left(theirs, stderr)


def test_challenge_runs_its_solver_on_vllm(small_base: Path, tmp_path: Path) -> None:
    plan = "--steps 1 --prompts 2 --batch 2 --group 4 --per-device 8 --m 4 --preset tiny"
    command = f"challenge --challenger {small_base} --solver {small_base} -o c --engine vllm {plan}"
    done = subprocess.run(
        [*RZERO, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "rollouts" in done.stderr
    log = json.loads((tmp_path / "c" / "log.jsonl").read_text().splitlines()[0])
    assert 0 < log["p_hat"] <= 1 or log["valid"] == 0
