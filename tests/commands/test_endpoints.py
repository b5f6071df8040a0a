"""`--endpoint` of the commands: keys, options, several servers, Ctrl-C."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from helpers.boxed_answers import boxed

pytest.importorskip("openai")

from helpers.json_lines import recorded
from helpers.scripted_server import Body, Reply, ScriptedServer, question


def test_endpoint_key_comes_from_the_environment_and_is_not_written(rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "7"}\n')
    with ScriptedServer(boxed) as server:
        done = rzero(
            *("label", "q.jsonl", "--endpoint", server.url, "-o", "l.jsonl", "--m", "2"),
            environment={"OPENAI_API_KEY": "sk-secret"},
        )
    assert done.status == 0, done.stderr
    assert "Bearer sk-secret" in server.headers[0].values()
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "sk-secret" not in written + done.stderr
    assert json.loads((tmp_path / "l.jsonl").read_text())["answer"] == "7"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "openai"), "--engine openai needs --endpoint URL"),
        (("--endpoint", "localhost:8000"), "not a URL such as http://"),
        (("--endpoint", "http://user:key@host/v1"), "put the API key in OPENAI_API_KEY"),
        (("--endpoint", "http://host", "--engine", "vllm"), "--endpoint requires --engine openai"),
        (("--endpoint", "http://host", "--quantization", "awq"), "requires --engine vllm"),
        (("--engine", "transformers", "--engine-arg", "seed=1"), "--engine-arg seed requires"),
        (("--endpoint", "http://host", "--engine-arg", "seed"), "must be KEY=VALUE"),
        (("--chat-template-arg", "=1"), "--chat-template-arg =1: must be KEY=VALUE"),
        (("--chat-template-arg", "tokenize=1"), "--chat-template-arg tokenize: is set by"),
        (("--endpoint", "http://host:99999/v1"), "not a URL such as http://"),
        (("--endpoint", "http://[::1/v1"), "not a URL such as http://"),
        (("--endpoint", "http://host/v1?api_key=sk"), "put the API key in OPENAI_API_KEY"),
        (("--endpoint", "http://host", "--engine-arg", "api_key=sk"), "put API keys in"),
        (("--endpoint", "http://host", "--engine-arg", "n=3"), "--engine-arg n: is set by"),
    ],
)
def test_endpoint_option_errors_are_one_line(refused, arguments, said: str) -> None:
    assert said in refused("label", "--solver", "m", *arguments, input="{}")


def test_several_endpoints_from_environment_and_configuration(rzero, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "7"}\n' * 8)
    with ScriptedServer(boxed) as one, ScriptedServer(boxed) as two:
        both = f"{one.url} {two.url}"
        done = rzero("label", "q.jsonl", "--batch-size", "1", environment={"RZERO_ENDPOINT": both})
        assert done.status == 0, done.stderr
        assert one.requests
        assert two.requests
        asked = len(one.requests)
        for written in (f'["{one.url}"]', f'"{one.url}"'):
            (tmp_path / "rzero.toml").write_text(f"[label]\nendpoint = {written}\n")
            assert rzero("label", "q.jsonl").status == 0
            assert len(one.requests) > asked
            asked = len(one.requests)


def test_ctrl_c_ends_at_once_and_keeps_finished_records(rzero, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    (tmp_path / "q.jsonl").write_text("".join(f'{{"question": "{n}"}}\n' for n in range(40)))
    held = threading.Event()

    def answer(body: Body) -> Reply:
        if int(question(body)) >= 10:
            held.wait(60)
        return boxed(body)

    with ScriptedServer(answer) as server:
        command = ["label", "q.jsonl", "--endpoint", server.url, "-o", "l.jsonl", "--m", "2"]
        process = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", *command], cwd=tmp_path, stderr=subprocess.PIPE
        )
        journal = tmp_path / "l.jsonl.part"
        for _ in range(600):
            time.sleep(0.1)
            if journal.exists() and len(recorded(journal)) == 10:
                break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        held.set()
        assert process.returncode == 130, stderr
        assert stderr.splitlines()[-1] == b"label: interrupted: continue with --resume"
        assert b"Traceback" not in stderr
        done = rzero(*command, "--resume")
    assert done.status == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert [record["answer"] for record in records] == [str(n) for n in range(40)]
