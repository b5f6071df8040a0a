"""`--accelerate` and `--processes`: begin the command again, once for each process.

The options are checked by then, so that a slip of the pen ends with one line and not with that of a
launcher. On a CPU the launcher is torchrun: accelerate's own begins a single process there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rzero_cli.core.processes import available_cores, world_size
from rzero_cli.errors import UsageError

__all__ = ["processes_of", "relaunch"]

_CONFIGS = Path(__file__).parents[1] / "recipes" / "accelerate"
_BEGUN = "RZERO_LAUNCHED"
"""Set for what a launcher begins: accelerate leaves a process that is alone without a rank."""


def processes_of(options: Mapping[str, Any]) -> int:
    """How many processes train: those that are there, or those to be begun.

    Raises:
        UsageError: the accelerate configuration cannot be read, or names no number.
    """
    if _is_begun():
        return world_size()
    asked: int | None = options["processes"]
    if asked or options["accelerate"] is None:
        return asked or 1
    number = _read_config(options["accelerate"])[1].get("num_processes", -1)
    if not isinstance(number, int) or number < 1:
        raise UsageError(f"--accelerate {options['accelerate']}: no num_processes; add --processes")
    return number


def relaunch(options: Mapping[str, Any]) -> None:
    """Put the launcher in this process's place, if one is asked for and has not begun it.

    Raises:
        UsageError: as `processes_of`; or the first machine's address is not known.
    """
    processes = processes_of(options)
    if _is_begun() or (options["accelerate"] is None and processes == 1):
        return
    words = ["-m", "rzero_cli", *_without(sys.argv[1:], "--accelerate", "--processes")]
    environment = {"OMP_NUM_THREADS": str(max(1, available_cores() // processes))} | os.environ
    environment[_BEGUN] = "1"
    path, config = _read_config(options["accelerate"]) if options["accelerate"] else (None, {})
    if path is None or config.get("use_cpu"):
        launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        if path:
            environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    else:
        launcher = ["accelerate.commands.launch", "--config_file", str(path)]
        launcher += [f"--num_processes={processes}", *_machines(str(options["accelerate"]), config)]
    sys.stderr.flush()
    command = [sys.executable, "-m", *launcher, *words]
    os.execve(sys.executable, command, environment)


def _is_begun() -> bool:
    return "RANK" in os.environ or _BEGUN in os.environ


def _read_config(name: str) -> tuple[Path, dict[str, Any]]:
    """An accelerate configuration by its path, which wins, or by the name of one shipped here."""
    import yaml

    path = Path(name)
    if not path.is_file():
        path = _CONFIGS / f"{name}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in _CONFIGS.glob("*.yaml")))
        raise UsageError(f"--accelerate {name}: no such file; shipped: {shipped}")
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--accelerate {name}: not YAML: {reason}") from error
    if not isinstance(config, dict):
        raise UsageError(f"--accelerate {name}: no accelerate configuration")
    return path, config


def _machines(name: str, config: Mapping[str, Any]) -> list[str]:
    """What each of several machines is told: its number, and the first one's address."""
    if config.get("num_machines", 1) == 1:
        return []
    told = {
        "--num_machines": os.environ.get("SLURM_NNODES"),
        "--machine_rank": os.environ.get("SLURM_NODEID"),
        "--main_process_ip": os.environ.get("MASTER_ADDR"),
        "--main_process_port": os.environ.get("MASTER_PORT"),
    }
    if not (told["--main_process_ip"] or config.get("main_process_ip")):
        raise UsageError(
            f"--accelerate {name}: several machines, and no main_process_ip: set MASTER_ADDR to "
            "the first one's name"
        )
    return [f"{option}={value}" for option, value in told.items() if value]


def _without(words: Sequence[str], *options: str) -> list[str]:
    """A command line without these options and their values."""
    kept: list[str] = []
    source = iter(words)
    for word in source:
        if word in options:
            next(source, None)
        elif word.split("=")[0] not in options:
            kept.append(word)
    return kept
