"""What vLLM is started with, and when it sleeps; a stand-in replaces it, since it needs GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.recorded_vllm import Recorded, record_vllm
from rzero_cli.engines import Sampling, open_engine
from rzero_cli.errors import RzeroError
from rzero_cli.method.prompts import SOLVER, prompt_for

pytestmark = pytest.mark.slow

PROMPTS = [prompt_for(SOLVER, f"copy {n}") for n in range(2)]
SLEEPING = {"enable_sleep_mode": True}


@pytest.fixture
def opened(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that opens an engine on a machine with some GPUs, and closes it."""

    def start(gpus: int, **arguments: Any) -> tuple[Recorded, list[str]]:
        recorded, told = record_vllm(monkeypatch, gpus=gpus), list[str]()
        with open_engine("vllm", str(tiny_model), arguments=arguments, notify=told.append):
            pass
        return recorded, told

    return start


def test_an_engine_alone_uses_all_gpus_and_says_so(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, told = opened(8)
    assert recorded.arguments["data_parallel_size"] == 8
    assert recorded.arguments["tensor_parallel_size"] == 1
    assert told == ["vLLM uses all 8 GPUs: --tensor-parallel-size 1, --data-parallel-size 8"]
    large = SimpleNamespace(parameters=70e9)  # 140 GB in 16 bits
    monkeypatch.setattr("rzero_cli.engines.vllm_arguments.read_model", lambda name: large)
    recorded, told = opened(2)
    assert recorded.arguments["tensor_parallel_size"] == 2
    assert told == ["vLLM uses all 2 GPUs: --tensor-parallel-size 2, --data-parallel-size 1"]
    for gpus, given in (
        (1, {}),
        (0, {}),
        (8, {"data_parallel_size": 1}),
        (8, {"tensor_parallel_size": 4}),
        (8, {"pipeline_parallel_size": 2}),
    ):
        recorded, told = opened(gpus, **given)
        found = {name for name in recorded.arguments if name.endswith("_parallel_size")}
        assert found == given.keys()
        assert not told


def test_copies_of_a_model_get_their_own_seeds(opened) -> None:
    for gpus, given in ((8, {}), (0, {"data_parallel_size": 2})):
        recorded, _ = opened(gpus, **given)
        assert recorded.arguments["worker_cls"] == "rzero_cli.engines.vllm_copies.SeededWorker"
    recorded, _ = opened(1)
    assert "worker_cls" not in recorded.arguments


def test_an_architecture_that_transformers_lacks_gets_a_gpu_per_copy(
    opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> Any:
        raise RzeroError("cannot read the configuration")

    monkeypatch.setattr("rzero_cli.engines.vllm_arguments.read_model", unknown)
    recorded, _ = opened(4)
    assert recorded.arguments["data_parallel_size"] == 4


def test_the_engine_of_a_rank_gets_its_gpu_only(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4"}
    for name, value in (rank | {"TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.init", lambda: None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    recorded, told = opened(4)
    assert "data_parallel_size" not in recorded.arguments
    assert recorded.environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert not {*rank, "TORCHELASTIC_USE_AGENT_STORE"} & recorded.environment.keys()
    assert {name: os.environ[name] for name in rank} == rank
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not told


def test_ranks_on_a_cpu_share_the_memory_of_the_kv_cache(
    opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _ = opened(0)
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    of_two, _ = opened(0)
    size = alone.arguments["kv_cache_memory_bytes"]
    assert of_two.arguments["kv_cache_memory_bytes"] == size / 2 == 1 << 30
    assert alone.environment.get("VLLM_CPU_OMP_THREADS_BIND") is None
    assert of_two.environment["VLLM_CPU_OMP_THREADS_BIND"]


def test_an_engine_sleeps_except_while_it_completes(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_vllm(monkeypatch)
    freed: list[int] = []
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: freed.append(len(recorded.calls)))
    one = Sampling(max_tokens=4)
    with open_engine("vllm", str(tiny_model), arguments=SLEEPING) as engine:
        assert recorded.calls == ["start", "sleep 1"]
        assert len(list(engine.generate(PROMPTS, one))) == 2
        assert recorded.calls[2:] == ["wake_up", "generate", "generate", "sleep 1"]
        assert freed == [2]  # before it wakes up

        recorded.calls.clear()
        results = engine.complete(enumerate(PROMPTS[:1]), one)
        assert recorded.calls == []  # until the first result is taken
        next(results)
        assert recorded.calls == ["wake_up", "generate"]
        results.close()
        assert recorded.calls == ["wake_up", "generate", "sleep 1"]

        def broken() -> Iterator[Any]:
            yield PROMPTS[0]
            raise RzeroError("a bad record")

        recorded.calls.clear()
        with pytest.raises(RzeroError, match="a bad record"):
            list(engine.generate(broken(), one))
        assert recorded.calls == ["wake_up", "generate", "sleep 1"]

        recorded.calls.clear()
        recorded.errored = True
        with pytest.raises(RzeroError, match="vLLM failed: RuntimeError: out of memory"):
            list(engine.generate(PROMPTS[:1], one))
        assert recorded.calls == ["wake_up", "generate"]  # it cannot sleep any more
        recorded.errored = False
        unfinished = engine.complete(enumerate(PROMPTS[:1]), one)
        next(unfinished)
        recorded.calls.clear()
    unfinished.close()
    assert recorded.calls == ["shutdown"]


def test_an_engine_does_not_sleep_by_default(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_vllm(monkeypatch)
    with open_engine("vllm", str(tiny_model)) as engine:
        list(engine.generate(PROMPTS[:1], Sampling(max_tokens=4)))
    assert recorded.calls == ["start", "generate", "shutdown"]
