"""The GPUs and cores of a vLLM engine: all of the machine's, or those of one rank of a training.

Each rank starts its own engine. vLLM's processes inherit the rank's environment, which would place
every engine on the first GPU, or bind all of them to the same cores.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rzero_cli.system.processes import local_rank, local_world_size, world_size

_USABLE = 0.9  # of a GPU's memory; the rest is for CUDA and kernels
# What torchrun and accelerate set. With TORCHELASTIC_USE_AGENT_STORE torch does not start a store
# for a new process group, but waits for the launcher's, which is at another address.
_LAUNCHER = re.compile(
    "RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT|"
    "(GROUP|ROLE|TORCHELASTIC|ACCELERATE)_.*"
)


def spread(weights: float, memory: float, gpus: int) -> tuple[int, int]:
    """Return the GPUs per copy of a model, and the number of copies, that use all GPUs.

    A copy gets as few GPUs as its weights need, since copies do not communicate. Their number is a
    power of two that divides `gpus`.

    Args:
        weights: bytes of the weights.
        memory: bytes of one GPU.
        gpus: number of GPUs.
    """
    size = 1
    while weights > _USABLE * memory * size and gpus % (2 * size) == 0:
        size *= 2
    return size, gpus // size


@contextmanager
def engine_environment() -> Iterator[None]:
    """Set the environment for engines started in the block: without the launcher's variables and,
    in one of several ranks, with its own GPU or cores.

    The GPU is the visible one with the number of the local rank. A CPU's cores are divided evenly;
    with fewer cores than ranks, vLLM binds no threads.
    """
    own = _own_devices() if world_size() > 1 else {}

    def concerned() -> dict[str, str]:
        return {n: v for n, v in os.environ.items() if n in own or _LAUNCHER.fullmatch(n)}

    before = concerned()
    _replace(before, own)
    try:
        yield
    finally:
        _replace(concerned(), before)  # vLLM sets LOCAL_WORLD_SIZE itself


def _replace(names: Iterable[str], variables: Mapping[str, str]) -> None:
    """Remove variables from the environment and set others."""
    for name in names:
        del os.environ[name]
    os.environ.update(variables)


def _own_devices() -> dict[str, str]:
    """Return the variables that give vLLM this rank's GPU, or its cores on a CPU."""
    import torch

    if torch.cuda.is_available():
        # CUDA reads the variable when it is initialised, so this process keeps its GPUs.
        torch.cuda.init()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
            map(str, range(torch.cuda.device_count()))
        )
        return {"CUDA_VISIBLE_DEVICES": visible.split(",")[local_rank()]}
    if "VLLM_CPU_OMP_THREADS_BIND" in os.environ or not hasattr(os, "sched_getaffinity"):
        return {}
    # vLLM binds to all cores of the first memory node but one, in every rank to the same.
    cores = sorted(os.sched_getaffinity(0))[local_rank() :: local_world_size()]
    return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)) or "nobind"}
