"""`--processes` and `--accelerate`: their checks, and the launcher's arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import rzero_cli
from helpers.option_groups import group


def not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as a process without a launcher, and restore the environment afterwards."""
    for name in ("RANK", "RZERO_LAUNCHED"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


def test_launch_options_are_checked_before_the_launch(
    refused: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    not_launched(monkeypatch)

    def refuse(*options: str) -> str:
        return refused(
            *("challenge", "--challenger", str(tiny_model), "--solver", str(tiny_model)),
            *("-o", "c", "--preset", "tiny", *options),
        )

    assert "divide the 96 rollouts" in refuse("--processes", "2", "--per-device", "192")
    assert "shipped: cpu, ddp, fsdp2, fsdp2-nodes, zero3" in refuse("--accelerate", "nothing")
    (tmp_path / "empty.yaml").touch()
    assert "not an accelerate configuration" in refuse("--accelerate", "empty.yaml")
    (tmp_path / "bare.yaml").write_text("use_cpu: true\n")
    assert "add --processes" in refuse("--accelerate", "bare.yaml")
    few = ("--per-device", "48", "--processes", "4")
    assert "set MASTER_ADDR" in refuse("--accelerate", "fsdp2-nodes", *few)
    if find_spec("deepspeed") is None:
        assert "pip install deepspeed" in refuse("--accelerate", "zero3", *few)
    (tmp_path / "slip.yaml").write_text("distributed_type: FSDP\nnum_procesess: 4\n")
    assert "unknown keys (['num_procesess'])" in refuse("--accelerate", "slip.yaml", *few)


def test_launcher_gets_slurm_nodes_and_no_options_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's variables reach every node, and rzero's launch options are removed."""
    from rzero_cli.training import launch
    from rzero_cli.training.settings import Hardware

    begun: list[object] = []
    monkeypatch.setattr(launch, "_run", lambda launch, arguments: begun.append(arguments))
    monkeypatch.setattr(launch, "world_size", lambda: 1)
    not_launched(monkeypatch)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SLURM_NNODES", "4")
    monkeypatch.setenv("SLURM_NODEID", "3")
    monkeypatch.setenv("MASTER_ADDR", "node-0")
    words = ["challenge", "--accelerate=fsdp2-nodes", "-o", "c", "--processes", "32", "--force"]
    monkeypatch.setattr(sys, "argv", ["rzero", *words])
    hardware = group(Hardware, accelerate="fsdp2-nodes", processes=32)
    launch.relaunch(hardware)
    (arguments,) = begun
    assert arguments[0].endswith("recipes/accelerate/fsdp2-nodes.yaml")
    assert arguments[1:] == [
        *("--num_processes=32", "--num_machines=4", "--machine_rank=3"),
        *("--main_process_ip=node-0", "--rdzv_conf=timeout=86400"),
        *("-m", "--", "rzero_cli", "challenge", "-o", "c", "--force"),
    ]
    assert launch.processes_of(replace(hardware, processes=None)) == 1
    launch.relaunch(hardware)  # already launched: not again
    assert len(begun) == 1


def test_torchrun_takes_no_option_of_ours_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """--m and --log-file begin like options of torchrun."""
    from torch.distributed import run

    from rzero_cli.training import launch
    from rzero_cli.training.settings import Hardware

    begun: list[list[str]] = []
    monkeypatch.setattr(launch, "_run", lambda launch, arguments: begun.append(arguments))
    not_launched(monkeypatch)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["challenge", "--m", "4", "--log-file", "log", "-m", "--ma", "--standalone"]
    monkeypatch.setattr(sys, "argv", ["rzero", *words, "--processes", "2"])
    launch.relaunch(group(Hardware, processes=2))
    parsed = run.parse_args(begun[0])
    assert (parsed.nproc_per_node, parsed.module, parsed.training_script) == (
        "2",
        True,
        "rzero_cli",
    )
    assert parsed.training_script_args == words


CONFIGS = sorted((Path(rzero_cli.__file__).parent / "recipes/accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid_for_accelerate(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate parses them, and its launcher passes them on to the processes."""
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    assert path.read_text().startswith("# ")
    config = load_config_from_file(str(path))
    assert config.num_machines == (2 if path.stem.endswith("nodes") else 1)
    if config.use_cpu:
        return
    words = [f"--config_file={path}", "--main_process_ip=node-0", "-m", "rzero_cli", "env"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert arguments.num_processes == config.num_processes
    assert arguments.mixed_precision == "bf16"
    if arguments.use_fsdp:
        monkeypatch.setattr("accelerate.utils.launch._filter_args", lambda *a, **k: arguments)
        for name, value in prepare_multi_gpu_env(arguments).items():
            monkeypatch.setenv(name, value)
        plugin = FullyShardedDataParallelPlugin()
        assert plugin.fsdp_version == 2
        assert plugin.reshard_after_forward is True
        assert plugin.cpu_ram_efficient_loading is False
        assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    elif arguments.use_deepspeed:
        options = dict(config.deepspeed_config)
        nodes = options.pop("deepspeed_multinode_launcher", None)
        assert nodes == ("standard" if config.num_machines > 1 else None)
        zero = DeepSpeedPlugin(**options).deepspeed_config["zero_optimization"]
        assert zero["stage"] == 3
        assert zero["stage3_gather_16bit_weights_on_model_save"] is True
