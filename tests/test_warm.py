"""`rzero warm`: what a fork of its server does is what the command does by itself."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from begun_processes import alive
from rzero_cli.data.provenance import content_hash
from rzero_cli.warm import _asked

pytestmark = pytest.mark.slow  # the start of the server

RZERO = [sys.executable, "-m", "rzero_cli"]
# Says where the server is, and is there until it is told to go.
HOLD = "import os, sys; print(os.environ['RZERO_WARM'], flush=True); sys.stdin.read()"
# What `-X importtime` says of its import.
TORCH = re.compile(r"\| +torch$", re.MULTILINE)
QUESTIONS = "".join(
    json.dumps({"question": f"reverse the digits of {n}"}) + "\n" for n in range(100, 140)
)


class Server:
    """A server that is begun for a test, and its process."""

    def __init__(self, folder: Path) -> None:
        # Without the number of threads, as a shell is; the tests' own commands have it as 1.
        env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self.process = subprocess.Popen(
            [*RZERO, "warm", sys.executable, "-c", HOLD],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.env = os.environ | {"RZERO_WARM": self.process.stdout.readline().strip()}

    def forks(self) -> list[int]:
        """Its children but the command."""
        found = [child.pid for child in psutil.Process(self.process.pid).children()]
        return [pid for pid in found if words_of(pid)[1] == "-m"]  # a fork has the server's words

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


def words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    folder = Path(server.env["RZERO_WARM"]).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.forks() == []
    assert server.end() == 0
    assert not folder.exists()


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """What a shell begins in the background ignores these two, and so does what it begins."""
    before = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGQUIT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def bash(folder: Path, script: str, env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", f'rzero() {{ {" ".join(RZERO)} "$@"; }}; set -o pipefail; {script}'],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[int, str, str]:
    """How the command of the next test ends by itself."""
    folder = tmp_path_factory.mktemp("plainly")
    (folder / "q.jsonl").write_text(QUESTIONS)
    return bash(folder, "rzero label q.jsonl --m 2", os.environ | settings(tiny_model))


def settings(model: Path) -> dict[str, str]:
    return {"RZERO_SOLVER": str(model), "RZERO_PRESET": "tiny"}


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("rzero label q.jsonl --m 2", "all"),
        ("cat q.jsonl | rzero label --m 2", "all"),
        ("rzero label q.jsonl --m 2 <&-", "all"),
        ("rzero label q.jsonl --m 2 2>&-", "records"),
        ("rzero label q.jsonl --m 2 --quiet | head -1", "first"),
        ("rzero label q.jsonl --m 2 -o out 2>&- <&- >&-; cat out", "records"),
        (
            "(umask 077; rzero label q.jsonl --m 2 -o out); cat out; test $(stat -c %a out) = 600",
            "all",
        ),
    ],
)
def test_a_fork_does_what_the_command_does(
    server: Server,
    tmp_path: Path,
    tiny_model: Path,
    plainly: tuple[int, str, str],
    script: str,
    kept: str,
) -> None:
    (tmp_path / "q.jsonl").write_text(QUESTIONS)
    status, records, said = plainly
    assert (status, records.count("\n"), said.count("\n")) == (0, 40, 1)
    expected = {
        "all": plainly,
        "records": (0, records, ""),
        "first": (0, records.splitlines(keepends=True)[0], ""),
    }
    assert bash(tmp_path, script, server.env | settings(tiny_model)) == expected[kept]


@pytest.mark.parametrize(
    "script",
    [
        "cd .. && rzero label missing.jsonl",
        "rzero label --temperature -1 q.jsonl",
        "rzero label --nonsense",
        "rzero label --help",
        "rzero --debug label --solver nowhere q.jsonl 2>&1 | tail -1",
        "rzero label q.jsonl > /dev/full",
        "cd gone && rmdir ../gone && rzero label q.jsonl",
    ],
)
def test_a_fork_fails_as_the_command_does(
    server: Server, tmp_path: Path, tiny_model: Path, script: str
) -> None:
    (tmp_path / "q.jsonl").write_text(QUESTIONS)
    ends = []
    for env in (server.env, os.environ):
        (tmp_path / "gone").mkdir(exist_ok=True)
        ends.append(bash(tmp_path, script, env | settings(tiny_model)))
    assert ends[0] == ends[1]


def imports_torch(folder: Path, model: Path, env: dict[str, str], *flags: str) -> bool:
    """Whether a client does itself what it could ask for."""
    (folder / "q.jsonl").write_text(QUESTIONS)
    words = ["label", "q.jsonl", "--solver", str(model), "--preset", "tiny", "--m", "2"]
    done = subprocess.run(
        [sys.executable, *flags, "-X", "importtime", *RZERO[1:], *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 40
    return bool(TORCH.search(done.stderr))


def test_what_a_fork_cannot_have_is_done_without_one(
    server: Server, tmp_path: Path, tiny_model: Path
) -> None:
    def fresh(*flags: str, **changes: str) -> bool:
        return imports_torch(tmp_path, tiny_model, server.env | changes, *flags)

    assert not fresh()
    assert not fresh(RZERO_SEED="3")
    assert fresh(HF_HUB_OFFLINE="0", TRANSFORMERS_OFFLINE="1")
    assert fresh(OMP_NUM_THREADS="2")
    assert fresh("-O")
    assert fresh(RANK="0", WORLD_SIZE="1")
    assert fresh(RZERO_WARM=str(tmp_path / "nowhere"))


def begun(folder: Path, model: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A command with finished records that waits for more questions."""
    command = subprocess.Popen(
        [
            *(*RZERO, "label", "-", "--solver", str(model), "--preset", "tiny", "--m", "2"),
            *("--batch-size", "2", "--quiet", "-o", "out.jsonl"),
        ],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdin is not None
    command.stdin.write(QUESTIONS)
    command.stdin.flush()
    part = folder / "out.jsonl.part"
    wait_until(lambda: part.exists() and part.stat().st_size)
    return command


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, -3), (signal.SIGHUP, -1)],
)
def test_a_signal_for_the_client_is_for_the_fork(
    server: Server, tmp_path: Path, tiny_model: Path, number: int, status: int
) -> None:
    command = begun(tmp_path, tiny_model, server.env)
    (fork,) = server.forks()
    assert os.getpgid(fork) != os.getpgid(command.pid)
    command.send_signal(number)
    assert command.wait(timeout=60) == status
    assert "Traceback" not in command.communicate()[1]
    lines = (tmp_path / "out.jsonl.part").read_text().splitlines()
    assert lines and all("answer" in json.loads(line) for line in lines)
    assert not alive([fork])
    wait_until(lambda: server.forks() == [])


def test_a_client_is_stopped_and_goes_on(server: Server, tmp_path: Path, tiny_model: Path) -> None:
    command = begun(tmp_path, tiny_model, server.env)
    (fork,) = server.forks()
    command.send_signal(signal.SIGTSTP)
    for pid in (command.pid, fork):
        wait_until(lambda pid=pid: " T " in Path(f"/proc/{pid}/stat").read_text())
    command.send_signal(signal.SIGCONT)
    _, said = command.communicate(timeout=60)
    assert (command.returncode, said) == (0, "")
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 40


def test_a_fork_ends_without_its_client(server: Server, tmp_path: Path, tiny_model: Path) -> None:
    command = begun(tmp_path, tiny_model, server.env)
    forks = server.forks()
    assert forks
    stdin, command.stdin = command.stdin, None  # so that the fork does not end for want of input
    command.kill()
    command.wait(timeout=60)
    wait_until(lambda: not alive(forks))
    assert stdin is not None
    stdin.close()
    assert (tmp_path / "out.jsonl.part").exists()


def test_a_fork_that_is_killed_has_a_client_that_is(
    server: Server, tmp_path: Path, tiny_model: Path
) -> None:
    command = begun(tmp_path, tiny_model, server.env)
    (fork,) = server.forks()
    os.kill(fork, signal.SIGKILL)
    assert command.wait(timeout=60) == -signal.SIGKILL
    command.communicate()


def test_a_client_that_dies_while_it_asks_leaves_no_stream_open() -> None:
    """Whoever reads what it wrote would wait for the server otherwise."""
    server, client = socket.socketpair()
    reading, writing = os.pipe()
    with server, client:
        socket.send_fds(client, [struct.pack("=q", 100)], [writing])
        client.shutdown(socket.SHUT_WR)  # as at its end: of 100 bytes not one came
        os.close(writing)
        assert _asked(server, {}) is None
        os.set_blocking(reading, False)
        assert os.read(reading, 1) == b""
    os.close(reading)


def test_two_at_once(server: Server, tmp_path: Path, tiny_model: Path) -> None:
    commands = []
    for name in "ab":
        (tmp_path / name).mkdir()
        commands.append(begun(tmp_path / name, tiny_model, server.env))
    for command in commands:
        assert command.communicate(timeout=60)[1] == ""
        assert command.returncode == 0
    assert (tmp_path / "a/out.jsonl").read_bytes() == (tmp_path / "b/out.jsonl").read_bytes()


def test_a_server_that_is_killed_is_told_in_a_line(tmp_path: Path, tiny_model: Path) -> None:
    server = Server(tmp_path)
    command = begun(tmp_path, tiny_model, server.env)
    forks = server.forks()
    assert forks
    server.process.kill()
    assert command.wait(timeout=60) == 1
    wait_until(lambda: not alive(forks))
    assert command.communicate()[1] == "rzero: the server of `rzero warm` has died\n"
    assert imports_torch(tmp_path, tiny_model, server.env)
    server.process.communicate()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $PPID; sleep 60", 143)],
)
def test_it_ends_as_its_command_does(tmp_path: Path, script: str, status: int) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([*RZERO, "warm", "sh", "-c", script], env=env, timeout=120)
    assert done.returncode == status
    assert not list(tmp_path.glob("rzero-warm-*"))


def test_what_its_command_has_left_ends_with_it(tmp_path: Path, tiny_model: Path) -> None:
    os.mkfifo(tmp_path / "asked")
    label = f"label - --solver {tiny_model} --preset tiny --m 2 --batch-size 2 -o out.jsonl"
    begun = "until test -e out.jsonl.part; do sleep 0.1; done; echo begun"
    words = ["sh", "-c", f"{' '.join(RZERO)} {label} < asked & {begun}"]
    server = subprocess.Popen([*RZERO, "warm", *words], cwd=tmp_path, stdout=subprocess.PIPE)
    assert server.stdout is not None
    with (tmp_path / "asked").open("w") as asked, server.stdout:
        asked.write(QUESTIONS)
        asked.flush()
        assert server.stdout.readline() == b"begun\n"
        names = psutil.Process(server.pid).children
        wait_until(lambda: "sh" not in [child.name() for child in names()])
        server.terminate()
        assert server.wait(timeout=60) == 0, "though there could be more questions"
    assert not (tmp_path / "out.jsonl").exists()


def test_where_it_cannot_fork_it_becomes_its_command(tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    told = "import os; print(os.getpid(), 'RZERO_WARM' in os.environ)"
    warm = subprocess.Popen(
        [*RZERO, "warm", sys.executable, "-c", told],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, said = warm.communicate(timeout=60)
    # Of the same number, it gets the signals, and gives the status, of what was begun.
    assert (warm.returncode, printed) == (0, f"{warm.pid} False\n")
    assert said.startswith("warm: vLLM is installed")


def test_it_waits_for_what_its_command_has_left(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "q.jsonl").write_text(QUESTIONS)
    label = f"label - --solver {tiny_model} --preset tiny --m 2 --batch-size 2 -o out.jsonl"
    # The command ends as soon as there is a fork, whose input goes on.
    begun = "until test -e out.jsonl.part; do sleep 0.1; done"
    script = f"(cat q.jsonl; {begun}; sleep 1) | {' '.join(RZERO)} {label} & {begun}"
    words = [*RZERO, "warm", "sh", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.jsonl").exists()


def test_a_loop_leaves_the_same(tmp_path: Path, small_base: Path) -> None:
    """Its server has not the recipe's number of threads, as where it is begun by hand."""
    rzero = " ".join([sys.executable, "-X", "importtime", *RZERO[1:]])
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run([*RZERO, "init", str(tmp_path), "--quiet"], check=True)
    flags = ["PRESET=tiny", f"MODEL={small_base}", f"HELDOUT={small_base}/heldout.jsonl"]
    flags += ["ITERATIONS=1", "CHALLENGE_FLAGS=--steps 2", "SAMPLE_FLAGS=-n 100"]
    flags += ["SOLVER_FLAGS=--steps 2", "EVAL_FLAGS=--limit 100", "OMP_NUM_THREADS=1"]
    said = []
    for name, before in (("fresh", []), ("forked", [*RZERO, "warm"])):
        words = [*before, "make", "run", f"RZERO={rzero}", f"RUNS={name}", *flags]
        done = subprocess.run(
            words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(len(TORCH.findall(done.stderr)))
    assert said[0] >= 5
    assert said[1] == 0
    fresh, forked = (tmp_path / name / "r-zero" for name in ("fresh", "forked"))
    for name in ("challenger", "solver"):
        at = Path("iter-1", name)
        assert content_hash(fresh / at) == content_hash(forked / at)
        texts = [(run / at / "rzero.json").read_text() for run in (fresh, forked)]
        records = [json.loads(text.replace("forked/r-zero", "fresh/r-zero")) for text in texts]
        assert records[0]["settings"] == records[1]["settings"]
        assert records[0]["versions"] == records[1]["versions"]
        assert 0 < records[1]["seconds"] < 600
    for name in ("questions", "labeled", "train"):
        at = Path("iter-1", f"{name}.jsonl")
        assert (fresh / at).read_bytes() == (forked / at).read_bytes()
