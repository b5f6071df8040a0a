"""Selection of the rollout engine: transformers, or vLLM through TRL.

TRL sends vLLM the new weights after every update: in the trainer's processes (*colocate*) or on a
server with separate GPUs (*server*). Both require GPUs: on a CPU, vLLM packs its layers and cannot
load new weights, and a server receives them over NCCL.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from rzero_cli.engines import NO_VLLM
from rzero_cli.errors import UsageError
from rzero_cli.training.settings import MODES, Hardware

_WHY_NOT = {
    "colocate": "on a CPU, vLLM cannot load the new weights after an update",
    "server": "a server receives the new weights over NCCL, which requires GPUs",
}

_MEMORY = 0.3


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The rollout engine and its settings."""

    mode: str = "transformers"
    """Or "colocate", or "server"."""
    endpoint: str | None = None
    """The server's URL."""
    memory: float = _MEMORY
    """The fraction of a GPU's memory for vLLM, next to the trainer."""
    tensor_parallel_size: int = 1
    notice: str | None = None
    """A line for the user about the choice."""


def check_mode(mode: str) -> None:
    """Raise UsageError if --rollouts is unknown."""
    if mode not in MODES:
        raise UsageError(f"--rollouts {mode}: unknown; known: {', '.join(MODES)}")


def choose_rollouts(hardware: Hardware, processes: int) -> Rollouts:
    """Choose the rollout engine; "auto" is colocate on a machine with a GPU, else transformers.

    Args:
        hardware: the options.
        processes: number of training processes.

    Raises:
        UsageError: the options are unknown, incomplete, or unavailable on this machine.
    """
    mode, endpoint = hardware.rollouts, hardware.rollout_endpoint
    check_mode(mode)
    if mode == "server" and not endpoint:
        raise UsageError(
            "--rollouts server requires --rollout-endpoint URL, a `trl vllm-serve` server"
        )
    if endpoint and mode != "server":
        raise UsageError(f"--rollout-endpoint requires --rollouts server, not {mode}")
    installed = find_spec("vllm") is not None
    if mode == "transformers":
        return Rollouts()
    import torch

    gpu = torch.cuda.is_available()
    if mode == "auto":
        mode = "colocate"
        if not gpu:
            notice = f"transformers generates the rollouts: {_WHY_NOT[mode]}" if installed else None
            return Rollouts(notice=notice)
        if not installed:
            raise UsageError(NO_VLLM + "--rollouts transformers")
    if not gpu:
        raise UsageError(
            f"--rollouts {mode}: no GPU, and {_WHY_NOT[mode]}; use --rollouts transformers"
        )
    if not installed:
        raise UsageError(
            f"--rollouts {mode}: vllm not installed: pip install '.[vllm]' in the clone"
        )
    parallel = hardware.rollout_tensor_parallel_size
    if mode == "colocate" and processes % parallel:
        raise UsageError(
            f"--rollout-tensor-parallel-size {parallel} does not divide the {processes} processes"
        )
    return Rollouts(mode, endpoint, hardware.rollout_memory or _MEMORY, parallel)
