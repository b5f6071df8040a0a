"""API keys of the commands: taken from the environment, never printed or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import Refused, Rzero

KEY = "sk-hush-0123456789"


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("label q --solver m --endpoint", "http://user:{}@h/v1"),
        ("label q --solver m --endpoint", "http://h/v1#{}"),
        ("label q --solver m --endpoint", "http://{}@h:99999/v1"),
        ("sample -n 1 --challenger m --endpoint", "http://h/v1?api_key={}"),
        ("score q --solver m --endpoint", "http://{}@h"),
        ("oracle q --oracle-model m --oracle-endpoint", "http://h?sig={}"),
        ("eval --data q --model m -o e.json --endpoint", "http://{}@h"),
        ("eval --data q --model M -o e.json --judge-model m --judge-endpoint", "http://h?token={}"),
        ("challenge --challenger M --solver M -o c --solver-endpoint", "http://{}@h"),
        ("challenge --challenger M --solver M -o c --rollout-endpoint", "http://h?secret={}"),
        ("train-solver t --solver M -o s --rollout-endpoint", "http://{}@h"),
    ],
)
def test_url_with_a_key_is_refused_without_showing_the_key(
    refused: Refused, tmp_path: Path, tiny_model: Path, command: str, url: str
) -> None:
    pytest.importorskip("openai")
    (tmp_path / "q").write_text('{"question": "a", "reference": "1"}\n')
    (tmp_path / "t").write_text('{"question": "a", "answer": "1", "p_hat": 0.5}\n')
    words = [str(tiny_model) if word == "M" else word for word in command.split()]
    said = refused(*words, url.format(KEY))
    assert said == f"{words[-1]}: put the API key in OPENAI_API_KEY, not in the URL\n"


@pytest.mark.parametrize(
    ("arguments", "config", "said"),
    [
        (["--engine-arg", f"api_key={KEY}"], "", "--engine-arg api_key: put API keys in"),
        (
            ["--engine", "vllm", "--engine-arg", f"hf_token={KEY}"],
            "",
            "--engine-arg hf_token: put API keys",
        ),
        (
            ["--engine-arg", f'extra_headers={{"X": "{KEY}"}}'],
            "",
            "--engine-arg extra_headers: put API keys",
        ),
        (
            ["--engine-arg", f'x={{"y": [{{"Authorization": "{KEY}"}}]}}'],
            "",
            "Authorization: put API keys",
        ),
        (
            ["--chat-template-arg", f"api_key={KEY}"],
            "",
            "--chat-template-arg api_key: put API keys",
        ),
        ([], f'api_key = "{KEY}"', "rzero.toml: api_key: put API keys in the environment"),
        ([], f'[label]\nopenai-api-key = "{KEY}"', "rzero.toml: openai_api_key: put API keys"),
        ([], f'[sample]\nhf_token = "{KEY}"', "rzero.toml: hf_token: put API keys"),
        ([], f'engine-arg = "api_key={KEY}"', "--engine-arg api_key: put API keys in"),
        ([], f'[label]\nendpoint = "http://h?key={KEY}"', "--endpoint: put the API key in"),
    ],
)
def test_option_named_like_a_key_is_refused(
    refused: Refused, tmp_path: Path, arguments: list[str], config: str, said: str
) -> None:
    pytest.importorskip("openai")
    (tmp_path / "rzero.toml").write_text(config)
    server = [] if "--engine" in arguments or "endpoint" in config else ["--endpoint", "http://h"]
    line = refused("label", "--solver", "m", *server, *arguments, input="{}")
    assert said in line or "vllm not installed" in line
    assert KEY not in line


def test_env_does_not_show_keys(rzero: Rzero) -> None:
    values = {"OPENAI_API_KEY": KEY, "HF_TOKEN": KEY, "RZERO_ENDPOINT": f"http://u:{KEY}@h/v1"}
    for options in ((), ("--json",)):
        ended = rzero("env", *options, environment=values)
        assert ended.status == 0
        assert KEY not in ended.stdout + ended.stderr
    settings = json.loads(ended.stdout)["settings"]
    assert (settings["OPENAI_API_KEY"], settings["RZERO_ENDPOINT"]) == ("set", "http://h/v1")


def descendants(root: int) -> list[int]:
    found = [root]
    for pid in found:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, path.read_text().split())
            except OSError:
                continue
    return found


@pytest.mark.parametrize("debug", [False, True])
def test_server_error_is_printed_without_the_key(rzero: Rzero, tmp_path: Path, debug: bool) -> None:
    from helpers.scripted_server import ScriptedServer, error

    pytest.importorskip("openai")
    (tmp_path / "q.jsonl").write_text('{"question": "a"}\n')
    # Truncated in the middle of the key, unless the key is removed first.
    said = error("x" * 254 + f" Incorrect API key provided: Bearer {KEY}")
    with ScriptedServer(lambda body: (401, said)) as server:
        ended = rzero(
            *("label", "q.jsonl", "--endpoint", server.url, "-o", "l.jsonl"),
            environment={"OPENAI_API_KEY": KEY} | ({"RZERO_DEBUG": "1"} if debug else {}),
        )
    assert ended.status == 1
    assert ("Traceback" in ended.stderr) == debug
    assert "set OPENAI_API_KEY to a key that the server accepts" in ended.stderr
    assert KEY[:6] not in ended.stderr + ended.stdout


def test_key_is_in_no_file_output_or_process_environment(tmp_path: Path) -> None:
    from helpers.scripted_server import Body, Reply, ScriptedServer, completion, error, question

    pytest.importorskip("openai")
    rows = [{"id": n, "question": str(n)} for n in range(12)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    looked = threading.Event()

    def answer(body: Body) -> Reply:
        header = next(value for value in server.headers[-1].values() if KEY in value)
        if question(body) == "3":
            return 400, error(f"the context length is too short for {header}")
        if question(body) == "11":
            looked.wait(60)
        # Answers without a canonical key, so that the worker process compares them.
        texts = (rf"{header} \boxed{{\sin^2 y + {question(body)}}}", r"\boxed{\cos(2z) + \sin x}")
        return 200, completion(*texts)

    with ScriptedServer(answer) as server:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "rzero_cli", "label", "q.jsonl", "--endpoint", server.url),
                *("-o", "l.jsonl", "--m", "2", "--keep-completions"),
            ],
            cwd=tmp_path,
            env=os.environ | {"OPENAI_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        commands, environments = b"", []
        try:
            while process.poll() is None:
                for pid in descendants(process.pid):
                    try:
                        command = Path(f"/proc/{pid}/cmdline").read_bytes()
                        environment = Path(f"/proc/{pid}/environ").read_bytes()
                    except OSError:
                        continue
                    commands += command
                    if b"equivalence_worker" in command and b"PATH=" in environment:
                        environments.append(environment)
                        looked.set()
                if looked.wait(0.05):
                    break
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    assert environments
    assert b"<OPENAI_API_KEY>" in stderr  # of the message about number 3
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert written.count(b"\n") > 12
    for text in (commands, *environments, stdout, stderr, written):
        assert KEY.encode() not in text
