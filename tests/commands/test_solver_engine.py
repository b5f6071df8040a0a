"""The engine of `challenge`'s frozen Solver next to the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.recorded_vllm import record_vllm
from rzero_cli.errors import RzeroError
from rzero_cli.options.engine import EngineChoice
from rzero_cli.training.layout import Devices


def command(model: Path, *options: str) -> list[str]:
    words = ["challenge", "--challenger", str(model), "--solver", str(model), "-o", "c"]
    return [*words, "--preset", "tiny", "--processes", "2", "--per-device", "48", *options]


def test_vllm_may_answer_in_several_processes(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rzero_cli.cli import run

    record_vllm(monkeypatch)
    assert run([*command(tiny_model), "--engine", "vllm", "--dry-run"]) == 0
    assert "2 GPUs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option",
    [
        ["--tensor-parallel-size", "2"],
        ["--data-parallel-size", "4"],
        ["--engine-arg", "pipeline_parallel_size=2"],
    ],
)
def test_a_rank_has_one_gpu_for_the_solver(
    refused: Callable[..., str],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
) -> None:
    record_vllm(monkeypatch)
    message = refused(*command(tiny_model, *option))
    assert "each of the 2 processes starts the Solver on its own GPU" in message
    assert "serve a larger Solver on other GPUs: --solver-gpus 4-7" in message


@pytest.mark.parametrize("gpu", [True, False])
def test_the_solver_sleeps_next_to_a_training_on_a_gpu(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    from rzero_cli.cli import run

    def opened(*options: str) -> dict[str, Any]:
        given: list[dict[str, Any]] = []

        def open_solver(self: EngineChoice, *arguments: Any, **more: Any) -> Any:
            given.append(self.arguments)
            raise RzeroError("far enough")

        monkeypatch.setattr(EngineChoice, "open_solver", open_solver)
        words = ["challenge", "--challenger", str(tiny_model), "--solver", str(tiny_model)]
        words += ["-o", str(tmp_path / "c"), "--preset", "tiny", "--engine", "vllm"]
        assert run([*words, *options]) == 1
        return given[0]

    record_vllm(monkeypatch)
    here = Devices(1, 80.0) if gpu else None
    monkeypatch.setattr("rzero_cli.commands._training.devices_here", lambda: here)
    monkeypatch.setattr("rzero_cli.commands.challenge.relaunch", lambda hardware: None)
    found = opened()
    assert found.get("enable_sleep_mode", False) is gpu  # vLLM cannot sleep on a CPU
    if gpu:
        assert found["data_parallel_size"] == 1
        assert opened("--engine-arg", "enable_sleep_mode=false")["enable_sleep_mode"] is False
