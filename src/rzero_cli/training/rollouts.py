"""Where a training's rollouts are generated: by transformers, or by vLLM in TRL's hands.

TRL gives vLLM the new weights after every update: in the trainer's own processes (*colocate*), or
on a server that has GPUs of its own (*server*). Neither is to be had on a CPU: vLLM packs its
layers there and cannot take weights afterwards, and a server gets them over NCCL.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from rzero_cli.errors import UsageError
from rzero_cli.training.settings import MODES, Hardware

_WHY_NOT = {
    "colocate": "vLLM's layers for the CPU cannot take the new weights of an update",
    "server": "a server takes the new weights of an update over NCCL, which needs GPUs",
}


@dataclass(frozen=True, slots=True)
class Rollouts:
    """How rollouts are generated."""

    mode: str = "transformers"
    """Or "colocate", or "server"."""
    endpoint: str | None = None
    """The server's URL."""
    memory: float = 0.3
    """The share of a GPU's memory that vLLM takes beside the trainer."""
    tensor_parallel_size: int = 1
    notice: str | None = None
    """What the person should know of the decision."""


def check_mode(mode: str) -> None:
    """Raise UsageError where --rollouts is unknown."""
    if mode not in MODES:
        raise UsageError(f"--rollouts {mode}: unknown; known: {', '.join(MODES)}")


def choose_rollouts(hardware: Hardware, processes: int) -> Rollouts:
    """Decide where rollouts come from: "auto" is colocate where vLLM is installed on a GPU machine.

    Args:
        hardware: the options.
        processes: of the training.

    Raises:
        UsageError: what is asked for is unknown, incomplete, or not to be had on this machine.
    """
    mode, endpoint = hardware.rollouts, hardware.rollout_endpoint
    check_mode(mode)
    if mode == "server" and not endpoint:
        raise UsageError(
            "--rollouts server needs --rollout-endpoint URL, a `trl vllm-serve` server"
        )
    if endpoint and mode != "server":
        raise UsageError(f"--rollout-endpoint is of use with --rollouts server only, not {mode}")
    installed = find_spec("vllm") is not None
    if mode == "transformers" or (mode == "auto" and not installed):
        return Rollouts()
    import torch

    gpu = torch.cuda.is_available()
    if mode == "auto":
        mode = "colocate"
        if not gpu:
            return Rollouts(notice=f"rollouts come from transformers: {_WHY_NOT[mode]}")
    if not gpu:
        raise UsageError(
            f"--rollouts {mode}: no GPU is here, and {_WHY_NOT[mode]}; use --rollouts transformers"
        )
    if not installed:
        raise UsageError(f"--rollouts {mode}: vllm not installed: pip install 'rzero-cli[vllm]'")
    parallel = hardware.rollout_tensor_parallel_size
    if mode == "colocate" and processes % parallel:
        raise UsageError(
            f"--rollout-tensor-parallel-size {parallel} does not divide the {processes} processes"
        )
    return Rollouts(mode, endpoint, hardware.rollout_memory, parallel)
