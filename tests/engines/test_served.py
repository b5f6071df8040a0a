"""`vllm serve` for the frozen Solver: its environment, its end and its failures, with a stand-in.

`recipes/test_served_loop.py` has the real server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.live_processes import alive, children
from rzero_cli.engines import served
from rzero_cli.engines.served import gpu_numbers, request_fields, take_gpus
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import plain_text

SERVER = """
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
model, port, settings = sys.argv[1:]
if model == "fails":
    sys.exit("Traceback\\nRuntimeError: Engine core init failed\\nValueError: no\\n memory")
if model == "misused":
    print("--engine-arg x: vLLM has no such engine argument")
    sys.exit(2)
subprocess.Popen(["sleep", "1000"])
Path("server.json").write_text(json.dumps([model, json.loads(settings), dict(os.environ)]))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/end":
            print("CUDAError: device lost", flush=True)
            os._exit(1)
    def log_message(self, *args):
        pass
HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the server's program, and restore the environment afterwards; return the folder."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    monkeypatch.setattr(served, "_PROGRAM", [str(script)])
    monkeypatch.chdir(tmp_path)
    for name in ("RZERO_SOLVER_SERVER", "OPENAI_API_KEY", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    return tmp_path


def serve(model: str, gpus: list[str], said: list[str]) -> Any:
    return served.served(
        model, gpus, {"data_parallel_size": 2}, batch_size=64, seed=7, notify=said.append
    )


def wait_until_gone(processes: list[int]) -> None:
    for _ in range(600):
        if not alive(processes):
            return
        time.sleep(0.1)
    raise AssertionError(processes)


def test_server_and_ranks_get_their_environment(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("NO_PROXY", "example.org")
    said: list[str] = []
    before = children(os.getpid())
    with serve("iter-1/solver", ["4", "5"], said):
        model, settings, environment = json.loads((stand_in / "server.json").read_text())
        assert model == "iter-1/solver"
        assert settings == {"given": {"data_parallel_size": 2}, "batch_size": 64, "seed": 7}
        assert environment["CUDA_VISIBLE_DEVICES"] == "4,5"
        assert environment["VLLM_NO_USAGE_STATS"] == "1"
        assert len(environment["VLLM_API_KEY"]) >= 32
        # what a rank inherits
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
        assert os.environ["OPENAI_API_KEY"] == environment["VLLM_API_KEY"]
        assert served.server_url() == os.environ["RZERO_SOLVER_SERVER"]
        assert os.environ["no_proxy"] == "example.org,127.0.0.1"
        theirs = [pid for pid in children(os.getpid()) if pid not in before]
        assert len(theirs) == 3, "the watchdog, the server and the server's process"
    wait_until_gone(theirs)
    assert said == ["starting the Solver's server on GPUs 4,5"]


def test_key_is_on_no_command_line(stand_in: Path) -> None:
    with serve("m", [], []):
        key = os.environ["OPENAI_API_KEY"]
        shown = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(os.getpid())]
        assert not any(key.encode() in line for line in shown)


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        ("fails", RzeroError, "ValueError: no"),
        ("misused", UsageError, "--engine-arg x: vLLM has no such engine argument"),
    ],
)
def test_failing_server_is_one_line(
    stand_in: Path, model: str, kind: type[RzeroError], reason: str
) -> None:
    with pytest.raises(kind) as failure, serve(model, [], []):
        pass
    assert str(failure.value) == (
        f"the Solver's server cannot start with {model}: {reason} "
        "(RZERO_DEBUG=1 shows its full output)"
    )
    assert type(failure.value) is kind


def test_server_that_ends_early_is_reported(stand_in: Path) -> None:
    import urllib.request
    from contextlib import suppress

    said: list[str] = []
    with pytest.raises(SystemExit), serve("m", [], said):
        (server,) = (p for p in children(os.getpid()) if "server.py" in command(p))
        with suppress(OSError):
            urllib.request.urlopen(served.server_url().replace("/v1", "/end"), timeout=30).close()
        wait_until_gone([server])
        raise SystemExit(1)  # as the ranks' failure
    assert said[1:] == [
        "the Solver's server has ended: CUDAError: device lost "
        "(RZERO_DEBUG=1 shows its full output)"
    ]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_killed_launcher_takes_its_server_along(stand_in: Path) -> None:
    script = stand_in / "launcher.py"
    script.write_text(
        "import time\n"
        "from rzero_cli.engines import served\n"
        "served._PROGRAM = ['server.py']\n"
        "with served.served('m', [], {}, batch_size=None, seed=0, notify=lambda line: None):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(1000)\n"
    )
    launcher = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "up\n"
    time.sleep(1.5)  # the watchdog looks every half second
    theirs = children(launcher.pid)
    assert len(theirs) == 3
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    wait_until_gone(theirs)


def test_lists_of_gpus() -> None:
    assert gpu_numbers("4-7") == [4, 5, 6, 7]
    assert gpu_numbers("0-2,6") == [0, 1, 2, 6]
    assert gpu_numbers("7-7") == [7]
    assert gpu_numbers("cpu") == []


@pytest.mark.parametrize(
    ("visible", "theirs", "left"),
    [
        (None, ["4", "5"], "0,1,2,3,6,7"),
        ("8,9,GPU-a,MIG-b,1,2,3,4,7", ["1", "2"], "8,9,GPU-a,MIG-b,3,4"),
    ],
)
def test_gpus_are_numbered_among_the_visible_ones(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, theirs: list[str], left: str
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert take_gpus("4-5", 6) == theirs
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


@pytest.mark.slow
def test_requests_end_where_the_engine_ends_an_answer(tiny_model: Path, plain_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    templated = request_fields(str(tiny_model), ("3",), own_code=False)
    assert tokenizer.eos_token_id in templated["stop_token_ids"]
    assert (templated["stop"], templated["add_special_tokens"]) == (["3"], False)
    assert templated["seed"] is None, "the server has one seed"
    plain = request_fields(str(plain_model), (), own_code=False)
    assert plain["stop"] == ["\nuser:", "\nsystem:"]
    assert plain["add_special_tokens"] is True
    messages = [{"role": "system", "content": "a\n"}, {"role": "user", "content": "{b}"}]
    text = tokenizer.apply_chat_template(messages, chat_template=served._PLAIN, tokenize=False)
    assert text == plain_text(messages)


@pytest.mark.slow
def test_turn_end_of_a_base_model_is_a_stop_token(plain_model: Path, tmp_path: Path) -> None:
    """Qwen3-4B-Base declares <|endoftext|>, and its template ends a turn with <|im_end|>."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(plain_model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|im_end|>\n{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    ends = request_fields(str(tmp_path), (), own_code=False)["stop_token_ids"]
    assert ends == sorted([tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")])
