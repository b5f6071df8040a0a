"""Trainings with several processes: real torchrun, real TRL, on the CPU."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.training.challenger import split_evenly

HELPERS = Path(__file__).parents[1] / "helpers"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
PLAN = ["--prompts", "4", "--batch", "4", "--group", "4", "--learning-rate", "1e-3"]
PLAN += ["--max-tokens", "24", "--beta", "0.001", "--top-p", "1", "--batch-size", "256"]


def start(folder: Path, *command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*map(str, command)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *command: object, input: str = "") -> tuple[int, str, str]:
    running = start(folder, *command)
    stdout, stderr = running.communicate(input, timeout=240)
    return running.returncode, stdout, stderr


def ours(stderr: str) -> list[str]:
    """Return rzero's own lines on standard error."""
    names = ("rzero: ", "challenge: ", "train-solver: ")
    return [line for line in stderr.splitlines() if line.startswith(names)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "train.jsonl"
    rows = [
        {"question": f"reverse the digits of {n}", "answer": str(n)[::-1]} for n in range(400, 420)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_wait_of_a_rank_outlasts_torchs_default_timeout(tmp_path: Path) -> None:
    """A rank waits while rank 0 reads a pipe that a whole labeling run feeds."""
    script = tmp_path / "wait.py"
    script.write_text(
        "from torch import device, distributed\n"
        "from rzero_cli.training.ranks import PATIENCE, _join\n"
        "_join()\n"
        "group = distributed.distributed_c10d._get_default_group()\n"
        "assert group._get_backend(device('cpu')).options._timeout == PATIENCE\n"
    )
    status, _, stderr = run(tmp_path, *TORCHRUN, script)
    assert status == 0, stderr


@given(st.lists(st.none() | st.integers(0, 300).map("x".__mul__), max_size=40), st.integers(1, 5))
def test_questions_are_divided_evenly_among_ranks(
    questions: list[str | None], processes: int
) -> None:
    parts = split_evenly(questions, processes)
    valid = [i for i, question in enumerate(questions) if question is not None]
    assert sorted(chain.from_iterable(parts)) == valid
    assert all(part == sorted(part) for part in parts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    # Total lengths differ by at most the longest question.
    lengths = [sum(len(questions[i] or "") for i in part) for part in parts]
    assert max(lengths) - min(lengths) <= max((len(q) for q in questions if q), default=0)


@pytest.mark.slow
def test_ranks_reward_the_whole_batch_together(small_base: Path, tmp_path: Path) -> None:
    """Penalties and clusters cover the whole batch, and each rank answers half the questions."""
    script = [HELPERS / "reward_one_batch.py", small_base, tmp_path]
    for command in ([sys.executable], TORCHRUN):
        status, _, errors = run(tmp_path, *command, *script)
        assert status == 0, errors
    results = {p.stem: json.loads(p.read_text()) for p in tmp_path.glob("*.json")}
    one, parts = results["0-of-1"], [results["0-of-2"], results["1-of-2"]]
    # Three of the eight form a cluster; one process has one of them and the other two.
    assert one["figures"]["clusters"] == 3
    assert [one["rewards"][i] for i in (3, 4, 5, 6, 7)] == [-3 / 8, -3 / 8, -1 / 8, -1 / 8, -3 / 8]
    assert [*parts[0]["rewards"], *parts[1]["rewards"]] == one["rewards"]
    assert all(part["figures"] == one["figures"] for part in parts)
    # One process generated one question and the other four: they answer three and two.
    assert sorted(part["asked"] for part in parts) == [2, 3]
    assert one["asked"] == 5


@pytest.mark.slow
def test_two_ranks_train_the_same_weights_as_one(small_base: Path, tmp_path: Path) -> None:
    """Train on the same completions, for both roles."""
    from safetensors.torch import load_file

    for name, command in (("one", [sys.executable]), ("two", TORCHRUN)):
        script = [HELPERS / "train_on_recorded_completions.py", small_base, tmp_path / name]
        status, _, errors = run(tmp_path, *command, *script, tmp_path)
        assert status == 0, errors
    base = load_file(small_base / "model.safetensors")
    for role in ("challenger", "solver"):
        one, two = (
            load_file(tmp_path / name / role / "model.safetensors") for name in ("one", "two")
        )
        assert max((one[name] - base[name]).abs().max() for name in base) > 1e-4
        assert all(one[name].allclose(two[name], rtol=0, atol=3e-6) for name in base), role


@pytest.mark.slow
def test_challenge_starts_its_own_processes(rzero, small_base: Path, tmp_path: Path) -> None:
    done = rzero(
        *("challenge", "--challenger", small_base, "--solver", small_base, "-o", "c", *PLAN),
        *("--steps", "2", "--solver-max-tokens", "24", "--accelerate", "cpu"),
    )
    assert done.status == 0, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines == ours(done.stderr)  # no line of a launcher, and each line once
    firsts = [line.split(" ")[1].rstrip(":") for line in lines]
    assert firsts == ["loading", "2", "step", "step", "time"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["c"]
    record = json.loads((tmp_path / "c" / "rzero.json").read_text())
    assert record["plan"]["processes"] == record["settings"]["processes"] == 2
    assert "--accelerate" not in record["command"]
    log = [json.loads(line) for line in (tmp_path / "c" / "log.jsonl").read_text().splitlines()]
    assert [step["update"] for step in log] == [1, 2]
    assert abs(log[0]["kl"]) < 1e-6


@pytest.mark.slow
def test_train_solver_on_two_ranks_reads_a_pipe_and_resumes(
    small_base: Path, labels: Path, tmp_path: Path
) -> None:
    """It starts with --processes and is continued under torchrun."""
    command = ["-m", "rzero_cli", "train-solver", "--solver", small_base, "-o", "s", *PLAN]
    command += ["--steps", "12"]
    running = start(tmp_path, sys.executable, *command, "--processes", "2")
    assert running.stdin is not None
    running.stdin.write(labels.read_text())
    running.stdin.close()
    running.stdin = None
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("s.part/checkpoints/checkpoint-*/trainer_state.json")):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 143, stderr
    assert stderr.splitlines() == ours(stderr)
    assert not (tmp_path / "s").exists()
    again = [*TORCHRUN, *command, "--resume"]
    status, stdout, stderr = run(tmp_path, *again, input=labels.read_text())
    assert status == 0, stderr
    assert stdout == ""
    assert sum(line.endswith(": loading") for line in ours(stderr)) == 1
    log = [json.loads(line) for line in (tmp_path / "s" / "log.jsonl").read_text().splitlines()]
    assert [step["update"] for step in log] == list(range(1, 13))
    assert not (tmp_path / "s.part").exists()


@pytest.mark.slow
def test_error_of_all_ranks_is_printed_once(tmp_path: Path) -> None:
    command = ["-m", "rzero_cli", "train-solver", "--solver", "missing", "-o", "s"]
    status, _, stderr = run(tmp_path, *TORCHRUN, *command)
    assert status != 0
    assert [line.split(":")[1] for line in ours(stderr)] == [" --solver missing"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["early", "late"])
def test_error_of_one_rank_names_it_and_ends_all(
    small_base: Path, labels: Path, tmp_path: Path, where: str
) -> None:
    script = [HELPERS / "failing_rank.py", where, "train-solver", labels, "--solver", small_base]
    started = time.monotonic()
    status, _, stderr = run(tmp_path, *TORCHRUN, *script, "-o", "s", *PLAN, "--steps", "2")
    assert time.monotonic() - started < 60
    assert status != 0
    reason = "--solver missing" if where == "early" else "no answer from this one"
    assert f"rzero: process 1: {reason}" in stderr
    assert stderr.count(reason) == 1
    assert "RuntimeError" not in stderr
    assert not list(tmp_path.glob("s*"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["--accelerate", "ddp"]], ids=["torchrun", "accelerate"])
def test_launched_command_has_the_status_of_its_process(
    rzero, small_base: Path, tmp_path: Path, launcher: list[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"bad\n')
    command = ["train-solver", "bad.jsonl", "--solver", small_base, "-o", "s", *PLAN]
    done = rzero(*command, *launcher, "--processes", "2")
    assert done.status == 2
    assert done.stderr.splitlines() == ours(done.stderr)
    assert done.stderr.startswith("rzero: bad.jsonl:1: not JSON")
    assert done.stderr.count("\n") == 1
