"""vLLM's own server, killed and restarted while `rzero label` uses it.

Run with `make test-vllm`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.live_processes import children
from helpers.sampling_checks import assert_k_answers_are_k_samples
from rzero_cli.engines import Sampling, open_engine
from rzero_cli.engines.chat import CUT

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

RZERO = [sys.executable, "-m", "rzero_cli"]


@contextmanager
def served(model: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `vllm serve` for `model`, as `m`, and wait until it accepts requests."""
    import urllib.request

    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    options = (
        f"--served-model-name m --host 127.0.0.1 --port {port} --enforce-eager --dtype float32 "
        "--max-model-len 64 --no-enable-chunked-prefill --max-num-batched-tokens 4096 "
        "--kv-cache-memory-bytes 500000000"
    )
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, *command, *options.split()],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env=os.environ | {"VLLM_NO_USAGE_STATS": "1"},
        )
    try:
        for _ in range(1200):
            time.sleep(0.25)
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                continue
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    theirs = [process.pid, *children(process.pid)]
    for pid in theirs:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def check_samples_and_raw_prompts(url: str, base: Path) -> None:
    """Check both on a running server, since starting one takes half a minute."""
    from rzero_cli.engines.transformers import TransformersEngine

    raw = ["copy the number 4071", "7", "turn around 33", "4071 " * 20, "9" * 300]
    greedy = Sampling(temperature=0, max_tokens=12, stop=("3",))
    notices: list[str] = []
    with open_engine("openai", "m", endpoints=[url], notify=notices.append) as engine:
        assert_k_answers_are_k_samples(engine, base)
        assert not notices
        theirs = list(engine.generate(raw, greedy))
    assert notices == [CUT]  # the last two are longer than the context
    with TransformersEngine(str(base)) as ours:
        assert list(ours.generate(raw, greedy)) == theirs


def test_answers_do_not_change_when_the_vllm_server_is_restarted(
    small_base: Path, many_questions: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    questions = tmp_path / "q.jsonl"
    questions.write_text("".join(many_questions.read_text().splitlines(keepends=True)[:500]))
    common = f"label {questions} --preset tiny --endpoint http://127.0.0.1:{port} --m 4"
    log = tmp_path / "server.log"
    with served(small_base, port, log) as server:
        whole = subprocess.run(
            [*RZERO, *common.split(), "-o", "whole.jsonl"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert whole.returncode == 0, whole.stderr
        check_samples_and_raw_prompts(f"http://127.0.0.1:{port}/v1", small_base)
        stderr = tmp_path / "stderr"
        with stderr.open("wb") as stream:
            disturbed = subprocess.Popen(
                [*RZERO, *common.split(), "-o", "disturbed.jsonl"], cwd=tmp_path, stderr=stream
            )
        journal = tmp_path / "disturbed.jsonl.part"
        for _ in range(1200):
            time.sleep(0.05)
            if journal.exists() and journal.read_text().count("\n") > 30:
                break
        end(server)
        at_the_kill = journal.read_text().count("\n")
    assert 30 < at_the_kill < 500
    with served(small_base, port, log):
        assert disturbed.wait(timeout=200) == 0, stderr.read_text()
        command = (
            "challenge --challenger {0} --solver m --solver-endpoint http://127.0.0.1:{1} -o c"
        )
        plan = (
            "--steps 1 --prompts 2 --batch 2 --group 4 --per-device 8 --m 4 --preset tiny --quiet"
        )
        command = f"{command.format(small_base, port)} {plan}"
        trained = subprocess.run(
            [*RZERO, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert trained.returncode == 0, trained.stderr
    messages = stderr.read_text()
    assert "set aside until it is back" in messages
    assert f"http://127.0.0.1:{port}/v1: back" in messages
    first, second = (
        [json.loads(text) for text in (tmp_path / name).read_text().splitlines()]
        for name in ("whole.jsonl", "disturbed.jsonl")
    )
    assert [record["id"] for record in second] == list(range(500))
    # Each request has its own seed, but the batch it is in changes logits by rounding errors.
    same = sum(a["answers"] == b["answers"] for a, b in zip(first, second, strict=True))
    assert same > 0.95 * 500
    assert (tmp_path / "c" / "rzero.json").is_file()
