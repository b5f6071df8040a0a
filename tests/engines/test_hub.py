"""An unreachable hub: its libraries use their cache and do not wait for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from conftest import Rzero
from helpers.empty_checkpoints import empty_checkpoint
from rzero_cli.engines.models import offline_without_hub


def closed_port() -> str:
    """Return a URL at which no server listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("endpoint", ["", "https://hub.invalid", "http://host:port"])
def test_unreachable_hub_switches_the_libraries_offline(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", endpoint or closed_port())
    offline_without_hub()
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_reachable_hub_leaves_the_libraries_online(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        offline_without_hub()
    assert os.environ["HF_HUB_OFFLINE"] == "0"


def test_proxy_leaves_the_libraries_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", closed_port())
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    offline_without_hub()
    assert os.environ["HF_HUB_OFFLINE"] == "0"


def test_libraries_imported_afterwards_are_offline() -> None:
    """No stage may import them earlier: they read the environment at import."""
    pytest.importorskip("datasets")
    code = """
import sys
import rzero_cli.commands.challenge, rzero_cli.commands.eval, rzero_cli.commands.train_solver
from rzero_cli.engines.models import offline_without_hub
print({"huggingface_hub", "datasets", "transformers"} & set(sys.modules))
offline_without_hub()
import datasets, huggingface_hub
print(huggingface_hub.is_offline_mode(), datasets.config.HF_HUB_OFFLINE)
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": closed_port()}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "set()\nTrue True\n", ended.stderr


def test_tasks_without_a_hub_are_reported_in_one_line(rzero: Rzero, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    model = empty_checkpoint(tmp_path / "model")
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": closed_port()}
    environment["HF_DATASETS_CACHE"] = str(tmp_path / "cache")
    task = ["--tasks", "rzero_math500", "-o", "out.json"]
    ended = rzero("eval", "--model", model, *task, environment=environment)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("rzero: no data for rzero_math500 (")
    assert ended.stderr.count("\n") == 1
