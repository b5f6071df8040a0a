"""`--accelerate` and `--processes`: start the command again, once per process.

The options are checked before, so that a mistake gives one error line and not one per process. On a
CPU the launcher is torchrun, since accelerate's starts a single process there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.system.processes import available_cores, world_size
from rzero_cli.training.ranks import PATIENCE
from rzero_cli.training.settings import Hardware

_CONFIGS = Path(__file__).parents[1] / "recipes" / "accelerate"
_LAUNCHED = "RZERO_LAUNCHED"
"""Set for the started processes: accelerate gives a single process no rank."""


def processes_of(hardware: Hardware) -> int | None:
    """Return the number of training processes, running or requested; None if neither.

    Raises:
        UsageError: the accelerate configuration cannot be read or has no num_processes.
    """
    if is_launched():
        return world_size()
    wanted, config = hardware.processes, hardware.accelerate
    if wanted or config is None:
        return wanted
    number = _read_config(config)[1].get("num_processes", -1)
    if not isinstance(number, int) or number < 1:
        raise UsageError(f"--accelerate {config}: no num_processes; add --processes")
    return number


def processes_here(hardware: Hardware) -> int:
    """Return the number of training processes on this machine, at least. Raises as
    `processes_of`."""
    config = _read_config(hardware.accelerate)[1] if hardware.accelerate else {}
    several = config.get("num_machines", 1) > 1
    machines = int(os.environ.get("SLURM_NNODES") or config["num_machines"]) if several else 1
    return max(1, (processes_of(hardware) or 1) // machines)


def sharded_by(hardware: Hardware) -> bool | None:
    """Return whether the launcher, running or requested, shards the weights; None without one.

    Raises:
        UsageError: the accelerate configuration cannot be read.
    """
    if is_launched():
        shards = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
        return any(os.environ.get(name) == "true" for name in shards)
    if hardware.accelerate is None:
        return None
    kind = _read_config(hardware.accelerate)[1].get("distributed_type")
    return kind in ("FSDP", "DEEPSPEED")


def on_cpu(hardware: Hardware) -> bool:
    """Return whether accelerate's configuration trains on the CPU. Raises as `sharded_by`."""
    if is_launched() or hardware.accelerate is None:
        return False
    return bool(_read_config(hardware.accelerate)[1].get("use_cpu"))


def restarted() -> bool:
    """Return whether `relaunch` has started this process."""
    return _LAUNCHED in os.environ


def relaunch(hardware: Hardware) -> None:
    """Start the processes and wait for them, if they are requested and not running yet.

    The launcher runs in this process, so there is no additional one, and the command ends with the
    status of the process that failed, without the launcher's traceback.

    Raises:
        UsageError: as `check_launch`; or accelerate rejects the configuration.
        RzeroError: a process was killed.
        SystemExit: the processes have ended.
    """
    if command := _command(hardware):
        launch, arguments, environment = command
        os.environ.update(environment)
        _run(launch, arguments)


def check_launch(hardware: Hardware) -> None:
    """Check that the processes can be started.

    Raises:
        UsageError: as `processes_of`; or the first machine's address is unknown, or DeepSpeed is
            not installed.
    """
    _command(hardware)


def _command(
    hardware: Hardware,
) -> tuple[Callable[[list[str]], None], list[str], dict[str, str]] | None:
    """Return the launcher, its arguments and its additions to the environment, if it is needed."""
    processes, name = processes_of(hardware) or 1, hardware.accelerate
    if is_launched() or (name is None and processes == 1):
        return None
    # After `--`, torchrun does not take our --m for an abbreviation of its own options.
    words = ["-m", "--", "rzero_cli", *_without(sys.argv[1:], "--accelerate", "--processes")]
    path, config = _read_config(name) if name else (None, {})
    on_cpu = bool(config.get("use_cpu"))
    if path is None or on_cpu:
        launch, options = _torchrun, ["--standalone", f"--nproc_per_node={processes}"]
    elif config.get("distributed_type") == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise UsageError(f"--accelerate {name}: deepspeed not installed: pip install deepspeed")
    else:
        launch, options = _accelerate, [f"--config_file={path}", f"--num_processes={processes}"]
        options += _machines(str(name), config)
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, available_cores() // processes))
    environment = {_LAUNCHED: "1", "OMP_NUM_THREADS": threads}
    if on_cpu:
        environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    return launch, [*options, *words], environment


def _torchrun(arguments: list[str]) -> None:
    from torch.distributed import run

    run.run(run.parse_args(arguments))


def _accelerate(arguments: list[str]) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser

    launch_command(launch_command_parser().parse_args(arguments))


def _run(launch: Callable[[list[str]], None], arguments: list[str]) -> NoReturn:
    """Start the processes, wait for them, and exit with the status of the first that failed."""
    import logging
    from subprocess import CalledProcessError

    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # the processes report their errors themselves
    try:
        launch(arguments)
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from error
    except ValueError as error:  # accelerate rejects the configuration
        raise UsageError(f"--accelerate: {' '.join(str(error).split())}") from error
    except CalledProcessError as error:  # a single process
        raise SystemExit(error.returncode) from error
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise RzeroError(
                f"process {number} was killed by signal {-failure.exitcode}"
            ) from error
        raise SystemExit(failure.exitcode) from error
    raise SystemExit(0)


def is_launched() -> bool:
    """Return whether this process is one of those that a launcher has started."""
    return "RANK" in os.environ or restarted()


def _read_config(name: str) -> tuple[Path, dict[str, Any]]:
    """Return the path and content of an accelerate configuration: a file, else one of rzero's by
    name."""
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
        raise UsageError(f"--accelerate {name}: not an accelerate configuration")
    return path, config


def _machines(name: str, config: Mapping[str, Any]) -> list[str]:
    """Return accelerate's options for one of several machines: its rank, and the first's address.

    They are read from Slurm's variables, MASTER_ADDR and MASTER_PORT.
    """
    if config.get("num_machines", 1) == 1:
        return []
    options = {
        "--num_machines": os.environ.get("SLURM_NNODES"),
        "--machine_rank": os.environ.get("SLURM_NODEID"),
        "--main_process_ip": os.environ.get("MASTER_ADDR"),
        "--main_process_port": os.environ.get("MASTER_PORT"),
    }
    if not (options["--main_process_ip"] or config.get("main_process_ip")):
        raise UsageError(
            f"--accelerate {name}: several machines but no main_process_ip: set MASTER_ADDR to "
            "the first one's host name"
        )
    found = [f"{option}={value}" for option, value in options.items() if value]
    # The machines may load their Solvers' servers at different speeds; torch would wait 10 minutes.
    return [*found, f"--rdzv_conf=timeout={int(PATIENCE.total_seconds())}"]


def _without(words: Sequence[str], *options: str) -> list[str]:
    """Return a command line without some options and their values."""
    kept: list[str] = []
    source = iter(words)
    for word in source:
        if word in options:
            next(source, None)
        elif word.split("=")[0] not in options:
            kept.append(word)
    return kept
