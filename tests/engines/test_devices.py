"""The GPUs and cores of vLLM engines."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rzero_cli.engines.devices import engine_environment, spread

LAUNCHER = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
    "ROLE_NAME": "default",
    "MASTER_ADDR": "node-0",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "ACCELERATE_USE_FSDP": "true",
}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make this process the second rank of four on its machine, without a GPU."""
    for name, value in LAUNCHER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return monkeypatch


def with_gpus(patch: pytest.MonkeyPatch, count: int) -> list[str | None]:
    """Simulate GPUs, and return what is visible when torch initialises CUDA."""
    seen: list[str | None] = []
    patch.setattr("torch.cuda.is_available", lambda: True)
    patch.setattr("torch.cuda.device_count", lambda: count)
    patch.setattr("torch.cuda.init", lambda: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")))
    return seen


@pytest.mark.parametrize(
    ("weights", "memory", "gpus", "expected"),
    [
        (8e9, 80e9, 1, (1, 1)),
        (8e9, 80e9, 8, (1, 8)),
        (72e9, 80e9, 8, (1, 8)),  # just fits
        (73e9, 80e9, 8, (2, 4)),
        (16e9, 24e9, 4, (1, 4)),
        (28e9, 24e9, 4, (2, 2)),
        (144e9, 80e9, 8, (2, 4)),
        (145e9, 80e9, 8, (4, 2)),
        (800e9, 80e9, 8, (8, 1)),  # does not fit: vLLM reports it
        (100e9, 80e9, 6, (2, 3)),
        (200e9, 80e9, 6, (2, 3)),  # 4 does not divide 6
        (100e9, 80e9, 3, (1, 3)),
    ],
)
def test_a_copy_gets_as_few_gpus_as_its_weights_need(
    weights: float, memory: float, gpus: int, expected: tuple[int, int]
) -> None:
    assert spread(weights, memory, gpus) == expected


@pytest.mark.parametrize(
    ("visible", "own"), [(None, "1"), ("4,5,6,7", "5"), ("GPU-a,GPU-b", "GPU-b")]
)
def test_processes_of_a_rank_see_its_gpu_and_no_launcher(
    launched: pytest.MonkeyPatch, visible: str | None, own: str
) -> None:
    if visible:
        launched.setenv("CUDA_VISIBLE_DEVICES", visible)
    initialised = with_gpus(launched, 4)
    before = dict(os.environ)
    with pytest.raises(KeyError), engine_environment():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == own
        assert not LAUNCHER.keys() & os.environ.keys()
        os.environ["LOCAL_WORLD_SIZE"] = "1"  # as vLLM does
        raise KeyError
    assert dict(os.environ) == before
    assert initialised == [visible]  # this process keeps its view of the GPUs


def test_ranks_on_a_cpu_share_no_core(launched: pytest.MonkeyPatch) -> None:
    def bound(rank: int, cores: set[int], ranks: int = 2) -> str | None:
        launched.setenv("LOCAL_RANK", str(rank))
        launched.setenv("LOCAL_WORLD_SIZE", str(ranks))
        launched.setattr("os.sched_getaffinity", lambda pid: cores, raising=False)
        with engine_environment():
            return os.environ.get("VLLM_CPU_OMP_THREADS_BIND")

    assert [bound(rank, {0, 1}) for rank in (0, 1)] == ["0", "1"]
    assert [bound(rank, {2, 3, 5, 8, 9}) for rank in (0, 1)] == ["2,5,9", "3,8"]
    assert [bound(rank, {3}) for rank in (0, 1)] == ["3", "nobind"]
    assert bound(0, {0, 1}, ranks=1) == "0,1"  # one of two machines
    launched.setenv("VLLM_CPU_OMP_THREADS_BIND", "7")
    assert bound(0, {0, 1}) == "7"


def test_without_ranks_an_engine_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")  # torchrun with one process
    monkeypatch.setenv("WORLD_SIZE", "1")

    def unused() -> Any:
        raise AssertionError

    monkeypatch.setattr("torch.cuda.is_available", unused)
    before = dict(os.environ)
    with engine_environment():
        inside = dict(os.environ)
        os.environ["LOCAL_WORLD_SIZE"] = "1"
    assert before.keys() - inside.keys() >= {"TORCHELASTIC_USE_AGENT_STORE", "WORLD_SIZE"}
    assert not inside.keys() - before.keys()
    assert dict(os.environ) == before
