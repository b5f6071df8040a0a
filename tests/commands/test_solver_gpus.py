"""`challenge --solver-gpus`: refusals, and what the launcher, the server and the ranks get."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Act as a machine with eight GPUs and vLLM, and restore the environment afterwards."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("rzero_cli.engines.models.find_spec", lambda name: name)
    for name in ("CUDA_VISIBLE_DEVICES", "RANK", "RZERO_LAUNCHED", "RZERO_SOLVER_SERVER"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return monkeypatch


def options(model: Path, *more: str) -> list[str]:
    both = ("--challenger", str(model), "--solver", str(model))
    return ["challenge", *both, "-o", "c", "--preset", "tiny", "--per-device", "8", *more]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("4-", "--solver-gpus 4-: must be GPUs such as 4-7 or 0,2, or cpu"),
        ("all", "--solver-gpus all: must be GPUs"),
        ("4, 5", "--solver-gpus 4, 5: must be GPUs"),
        ("7-4", "the first GPU of a range must be the lowest"),
        ("0-3,2", "--solver-gpus 0-3,2: has a GPU twice"),
        ("6-8", "--solver-gpus 6-8: there is no GPU 8: the last one is 7"),
        ("0-7", "--solver-gpus 0-7 leaves 0 of 8 GPUs, and the training needs 1"),
        ("4-7 --processes 6", "--solver-gpus 4-7 leaves 4 of 8 GPUs, and the training needs 6"),
        ("cpu", "--solver-gpus cpu: this machine has GPUs: give some, such as 0"),
        ("4-7 --solver-endpoint http://h:1", "leave out --solver-endpoint"),
        ("4-7 --engine transformers", "--solver-gpus requires --engine vllm, not transformers"),
        ("4-7 --tensor-parallel-size 3", "--tensor-parallel-size 3 does not divide --solver-gpus"),
        ("4-7 --accelerate fsdp2-nodes --processes 4", "set MASTER_ADDR"),
    ],
)
def test_wrong_gpus_are_one_line_before_anything_is_loaded(
    machine: pytest.MonkeyPatch,
    refused: Callable[..., str],
    tiny_model: Path,
    given: str,
    message: str,
) -> None:
    machine.setattr("rzero_cli.engines.served.served", None)
    words = ["4, 5"] if given == "4, 5" else given.split()
    assert message in refused(*options(tiny_model, "--solver-gpus", *words))
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_machine_without_gpus_or_without_vllm(
    machine: pytest.MonkeyPatch, refused: Callable[..., str], tiny_model: Path
) -> None:
    machine.setattr("torch.cuda.device_count", lambda: 0)
    one = options(tiny_model, "--solver-gpus", "0")
    assert "--solver-gpus 0: there is no GPU 0: this machine has none" in refused(*one)
    machine.setenv("RANK", "0")
    assert "--solver-gpus requires --processes or --accelerate, no other launcher" in refused(*one)
    machine.setattr(
        "rzero_cli.engines.models.find_spec", lambda name: None if name == "vllm" else name
    )
    assert "vllm not installed" in refused(*one)


def run_launcher(
    machine: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> list[dict[str, Any]]:
    """Run the command up to its launcher; return what happened, in order."""
    from rzero_cli.cli import run
    from rzero_cli.training import launch

    events: list[dict[str, Any]] = []

    @contextmanager
    def served(model: str, gpus: list[str], arguments: Any, **others: Any) -> Iterator[None]:
        events.append({"model": model, "gpus": gpus, "arguments": arguments})
        yield
        raise AssertionError("the launcher exits")

    def ranks(launcher: Any, arguments: list[str]) -> None:
        seen = os.environ["CUDA_VISIBLE_DEVICES"]
        events.append({"ranks": arguments, "visible": seen})
        raise SystemExit(0)

    machine.setattr("rzero_cli.engines.served.served", served)
    machine.setattr(launch, "_run", ranks)
    machine.setattr(sys, "argv", ["rzero", *words])
    machine.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            run(words)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert end.value.code == 0
    return events


def test_server_starts_before_the_ranks_on_its_own_gpus(
    machine: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    """The server gets vLLM's default of memory, not the one that leaves room for a training."""
    machine.setenv("RZERO_ENDPOINT", "http://127.0.0.1:1/v1")  # for other stages
    words = options(tiny_model, "--solver-gpus", "4-7", "--processes", "4", "--max-model-len", "64")
    server, ranks = run_launcher(machine, tmp_path, words)
    assert server == {
        "model": str(tiny_model),
        "gpus": ["4", "5", "6", "7"],
        "arguments": {"data_parallel_size": 4, "max_model_len": 64},
    }
    assert ranks["visible"] == "0,1,2,3"
    assert "--nproc_per_node=4" in ranks["ranks"]
    gpus = ranks["ranks"].index("--solver-gpus")
    assert ranks["ranks"][gpus + 1] == "4-7", "a rank uses the server instead of starting one"


def test_each_of_several_nodes_serves_on_its_own_gpus(
    machine: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    """16 processes on 4 nodes are 4 a node, on the GPUs that are left there."""
    for name, value in {"SLURM_NNODES": "4", "SLURM_NODEID": "3", "MASTER_ADDR": "n0"}.items():
        machine.setenv(name, value)
    nodes = ("--accelerate", "fsdp2-nodes", "--processes", "16", "--prompts", "8", "--batch", "8")
    words = options(
        tiny_model, "--solver-gpus", "4-7", "--tensor-parallel-size", "2", "--group", "16", *nodes
    )
    server, ranks = run_launcher(machine, tmp_path, words)
    assert server["gpus"] == ["4", "5", "6", "7"]
    assert server["arguments"] == {"tensor_parallel_size": 2, "data_parallel_size": 2}
    assert ranks["visible"] == "0,1,2,3"
    assert {"--num_processes=16", "--num_machines=4", "--machine_rank=3"} <= {*ranks["ranks"]}


def test_option_is_not_a_setting_that_resume_compares() -> None:
    """The result is the same wherever the Solver answers."""
    from dataclasses import fields

    from rzero_cli.fields import mark_of
    from rzero_cli.options.model_groups import SolverEngine

    (field,) = (field for field in fields(SolverEngine) if field.name == "solver_gpus")
    assert mark_of(field).recorded is False


def test_dry_run_plans_for_any_machine_without_the_solver(
    machine: pytest.MonkeyPatch, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from rzero_cli.cli import run

    machine.setattr("torch.cuda.device_count", lambda: 0)
    handler = signal.getsignal(signal.SIGTERM)
    status = run(options(tiny_model, "--solver-gpus", "4-7", "--dry-run", "--json"))
    signal.signal(signal.SIGTERM, handler)
    plan = json.loads(capfd.readouterr().out)
    assert (status, plan["solver"]) == (0, None)
    parts = [part for layout in plan["layouts"] for part in layout["gib"].items()]
    assert not sum(size for name, size in parts if "Solver" in name)
