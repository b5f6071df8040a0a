"""The worker process that compares answers: it must not hang or leak, and is not trusted."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers.data_files import load_data
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.errors import RzeroError
from rzero_cli.method.votes import vote

SLOW = r"\int \frac{1}{1+x^{17}+\sin x} dx"  # no antiderivative to be found


def _descendants(pid: int) -> set[int]:
    """Return the descendants of pid, zombies included."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_hostile_answers_end_in_seconds_and_leave_no_process() -> None:
    answers = [row["answer"] for row in load_data("adversarial_answers.jsonl")]
    start = time.monotonic()
    before = _descendants(os.getpid())
    # Other tests ran in this process, so only the growth counts.
    needed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Equivalence(timeout=0.5) as equivalence:
        assert not any(equivalence.equal(answer, "7") for answer in answers)
        assert 0 < equivalence.timeouts <= len(answers)
        result = vote(answers, equivalence)
        assert result.m == len(answers)
    assert time.monotonic() - start < 40
    assert _descendants(os.getpid()) <= before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - needed < 500_000  # kB


def test_comparison_that_times_out_costs_no_other() -> None:
    with Equivalence(timeout=0.5) as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        start = time.monotonic()
        assert not equivalence.equal(SLOW, "3")
        assert equivalence.timeouts == 1
        assert equivalence.equal(r"\log_2 16", "4")
        assert time.monotonic() - start < 3  # not waiting for an answer


def test_timeouts_do_not_depend_on_earlier_comparisons() -> None:
    hostile = [SLOW, r"\sum_{n=1}^{10^{9}} \frac{1}{n}"]
    with Equivalence(timeout=0.3) as equivalence:
        for tries in (1, 2, 3):
            assert len(equivalence.classes([*hostile, "3"])) == 3
            # each of the two against 7, counted again although it is known by then
            assert equivalence.timeouts == 2 * tries


def test_partition_gives_up_after_four_timeouts() -> None:
    hostile = [rf"\int \frac{{1}}{{1+x^{{{n}}}+\sin x}} dx" for n in range(17, 24)]
    with Equivalence(timeout=0.2) as equivalence:
        assert len(equivalence.classes([*hostile, "3", r"\log_2 8"])) >= len(hostile) + 1
        assert equivalence.timeouts == 4


def test_timeout_counts_processor_time_not_wall_clock_time() -> None:
    """The limit is processor time, which a stopped worker does not use."""
    with Equivalence(timeout=1.0) as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert equivalence._worker is not None
        (child,) = _descendants(equivalence._worker.pid)
        os.kill(child, signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (child, signal.SIGCONT)).start()
        assert equivalence.equal(r"2^{n+1}", r"2\cdot 2^n")
        assert equivalence.timeouts == 0


def test_worker_memory_is_limited() -> None:
    with Equivalence(memory_mb=700) as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert equivalence._worker is not None
        for pid in {equivalence._worker.pid} | _descendants(equivalence._worker.pid):
            assert f" {700 << 20} " in Path(f"/proc/{pid}/limits").read_text()


def test_comparison_that_exceeds_memory_is_unequal() -> None:
    with Equivalence() as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert equivalence._worker is not None
        status = Path(f"/proc/{equivalence._worker.pid}/status").read_text()
    needed = int(status.partition("VmSize:")[2].split()[0]) >> 10
    start = time.monotonic()
    with Equivalence(timeout=600.0, memory_mb=needed + 16) as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert not equivalence.equal(r"(x+y)^{n} - \sum_{k=1}^{3} 7^{7^{7^{k}}}", "3")
        assert time.monotonic() - start < 600  # so that memory ended it, not its time limit
        assert equivalence.timeouts == 1
        assert equivalence.equal(r"\log_2 16", "4")


@pytest.mark.parametrize("gone", [True, False])
def test_worker_killed_from_outside_is_replaced(gone: bool) -> None:
    with Equivalence() as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert equivalence._worker is not None
        os.kill(equivalence._worker.pid, signal.SIGKILL)
        if gone:  # so that the request cannot be written; otherwise it may be
            os.waitid(os.P_PID, equivalence._worker.pid, os.WEXITED | os.WNOWAIT)
        equivalence.equal(r"\log_2 32", "5")
        assert equivalence.equal(r"\log_2 16", "4")


def test_abandoned_comparison_does_not_affect_others() -> None:
    """A child that ends before reading a request leaves it to the next child with a later one."""
    command = [sys.executable, "-m", "rzero_cli.answers.equivalence_worker", "1", "5", "768"]
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b'"ready"\n'
        deadline = time.monotonic() + 10
        while not (children := _descendants(worker.pid)):
            assert time.monotonic() < deadline
        (child,) = children
        os.kill(child, signal.SIGSTOP)  # so that it reads neither
        while " T " not in Path(f"/proc/{child}/stat").read_text():
            assert time.monotonic() < deadline
        worker.stdin.write(b'[1, "2", "3"]\n[2, "3", "3"]\n')
        os.kill(child, signal.SIGKILL)
        assert worker.stdout.readline() == b"null\n"
        assert worker.stdout.readline() == b"[2, true]\n"
        worker.stdin.close()


def test_reply_after_that_of_an_abandoned_comparison_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker"
    script.write_text(
        f"#!{sys.executable}\n"
        """import json, os
os.write(1, b'"ready"\\n')
while line := os.read(0, 65536):
    number = json.loads(line)[0]
    os.write(1, f"[{number - 1}, false]\\n[{number}, true]\\n".encode())
"""
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with Equivalence(timeout=0.1) as equivalence:
        assert equivalence.equal(r"\log_2 8", "3")
        assert equivalence.timeouts == 0


def test_threads_share_one_worker() -> None:
    verdicts: list[bool] = []
    with Equivalence(timeout=5.0) as equivalence:
        threads = [
            threading.Thread(
                target=lambda n=n: verdicts.append(equivalence.equal(rf"\log_2 {2**n}", str(n)))
            )
            for n in range(1, 9)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert equivalence.equal(r"\log_2 512", "9")  # after the thread that started it is gone
    assert verdicts == [True] * 8


def test_worker_dies_with_its_caller() -> None:
    code = (
        "import os, signal; from rzero_cli.answers.equivalence import Equivalence\n"
        "e = Equivalence(); assert e.equal(r'\\log_2 8', '3'); print(e._worker.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    worker = Path("/proc") / result.stdout.strip()
    deadline = time.monotonic() + 10
    while worker.exists() and " Z " not in (worker / "stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_error_of_a_worker_that_cannot_start_names_the_setting() -> None:
    equivalence = Equivalence(memory_mb=1)
    with pytest.raises(RzeroError, match="memory_mb=1"):
        equivalence.equal(r"\log_2 8", "3")
    equivalence.close()


# Effects that hostile text might cause, run in a child of the real server.
TAKEN_OVER = """
import ctypes, os, socket, subprocess, sys
from rzero_cli.answers import equivalence_worker as worker

def writes(path): open(path, "w").write("x")
def removes(path): os.remove(path)
def runs(path): os.system(f"touch {path}")
def begins(path): subprocess.run(["touch", path])
def becomes(path): os.execvp("touch", ["touch", path])
def forks(path): os.fork()
def connects(path): socket.create_connection(("127.0.0.1", 1))
def calls_c(path): ctypes.CDLL(None).system(f"touch {path}".encode())
def reads(path): return len(open(os.devnull).read()) == 0
def opens(path): return [os.open(os.devnull, os.O_RDONLY) for _ in range(100)]

def comparer():
    def equal(a, b):
        try:
            return globals()[a](b) if a in globals() else a == b
        except PermissionError:
            return "refused"
        except OSError as error:
            return error.strerror
    return equal

worker._comparer = comparer
sys.argv = ["worker", "5", "20", "768"]
worker.main()
"""


def test_worker_under_attack_can_neither_write_nor_run_nor_connect(tmp_path: Path) -> None:
    path = tmp_path / "made"
    kept = tmp_path / "kept"
    kept.write_text("x")
    acts = ["writes", "runs", "begins", "becomes", "forks", "connects", "calls_c"]
    requests = [[act, str(path)] for act in acts]
    requests += [["removes", str(kept)], ["reads", ""], ["opens", ""], ["1", "1"], ["1", "2"]]
    with subprocess.Popen(
        [sys.executable, "-c", TAKEN_OVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b'"ready"\n'
        replies = []
        for number, pair in enumerate(requests):
            worker.stdin.write(json.dumps([number, *pair]).encode() + b"\n")
            worker.stdin.flush()
            replies.append(json.loads(worker.stdout.readline()))
        worker.stdin.close()
    assert [reply[1] for reply in replies] == [
        *["refused"] * (len(acts) + 1),
        True,
        "Too many open files",
        True,
        False,
    ]
    assert not path.exists()
    assert kept.exists()


def test_digits_of_an_answer_are_not_compiled_as_python() -> None:
    code = """
import sys
from rzero_cli.answers import equivalence_worker as worker
equal = worker._comparer()
for pair in worker._WARM_UP: equal(*pair)
ran = []
def look(event, details):
    if event == "compile" and isinstance(details[0], bytes): ran.append(details[0])
sys.addaudithook(look)
pairs = [("12 x + 3", "3 + 12 x"), ("1{,}234 y", "1234 y"), ("0.5 x", r"\\\\frac{x}{2}"),
         (r"50\\\\%  x", "x"), ("007 x", "7 x"), (r"__import__(o) + 3x", "x"), ("1.5 y", "1.5 z")]
print([equal(*pair) for pair in pairs], [text for text in ran if b"lambda v" not in text])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[True, False, True, False, True, False, False] []\n", ended.stderr
