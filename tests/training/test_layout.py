"""The layout of a training, for GPUs that this machine need not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rzero_cli
from conftest import Refused
from helpers.empty_checkpoints import empty_checkpoint
from helpers.loop import make
from helpers.option_groups import group
from helpers.recorded_vllm import record_vllm
from rzero_cli.engines.shapes import model_of, published
from rzero_cli.errors import UsageError
from rzero_cli.training.layout import (
    USABLE,
    Choice,
    Devices,
    FrozenSolver,
    Stage,
    choose,
    devices_here,
    reasons,
    refuse,
)
from rzero_cli.training.memory import least_engine
from rzero_cli.training.settings import Grpo, Hardware

GPUS = {"24gb": 22.0, "48gb": 44.4, "80gb": 79.1, "141gb": 139.8}
SMALL, LARGE = "Qwen/Qwen3-4B-Base", "Qwen/Qwen3-8B-Base"


def stage(name: str, command: str = "challenge", **hardware: Any) -> Stage:
    """A stage with the paper's settings, its Solver in vLLM next to the training."""
    model = model_of(published()[name])
    solver = FrozenSolver(10, 4096, name, model, in_vllm=True, context=8704)
    return Stage(
        model=model,
        grpo=group(Grpo, command),
        hardware=group(Hardware, command, **{"lora_r": None} | hardware),
        max_tokens=4096,
        batch_size=64,
        rollouts="colocate",
        solver=solver if command == "challenge" else None,
    )


def chosen(name: str, gpus: str, number: int, **hardware: Any) -> Choice:
    return choose(stage(name, **hardware), Devices(number, GPUS[gpus]))[0]


@pytest.mark.parametrize("command", ["challenge", "train-solver"])
@pytest.mark.parametrize("name", published())
@pytest.mark.parametrize("gpus", GPUS)
@pytest.mark.parametrize("number", [1, 4, 6, 8])
def test_layouts_that_fit_leave_a_tenth_of_each_gpu(
    command: str, name: str, gpus: str, number: int
) -> None:
    given, devices = stage(name, command), Devices(number, GPUS[gpus])
    choice, rest = choose(given, devices)
    assert not any(one.fits for one in rest)
    if not choice.fits:
        with pytest.raises(UsageError, match=r"--lora-r|larger GPUs"):
            refuse(given, choice)
        return
    assert choice.gib["peak"] <= USABLE * devices.gib
    # vLLM can start: its share holds the weights and a text of maximum length.
    assert choice.rollout_memory * devices.gib >= least_engine(given.model, 256 + 4096)
    if command == "challenge":
        assert choice.solver_memory * devices.gib >= least_engine(given.model, 8704)
    assert (
        choice.plan.processes == {1: 1, 4: 4, 6: 4 if command == "challenge" else 5, 8: 8}[number]
    )


def test_papers_models_on_usual_machines() -> None:
    """What is trained, and how it is spread."""

    def kind(name: str, gpus: str, number: int) -> str:
        choice = chosen(name, gpus, number)
        if not choice.fits:
            return "refused"
        return f"r{choice.lora_r}" if choice.lora_r else choice.accelerate or "whole"

    found = {
        (name[11:13], gpus): [kind(name, gpus, number) for number in (1, 4, 8)]
        for name in (SMALL, LARGE)
        for gpus in GPUS
    }
    assert found == {
        ("4B", "24gb"): ["refused"] * 3,
        ("4B", "48gb"): ["r16", "fsdp2", "fsdp2"],
        ("4B", "80gb"): ["r16", "fsdp2", "fsdp2"],
        ("4B", "141gb"): ["whole", "whole", "whole"],
        ("8B", "24gb"): ["refused"] * 3,
        ("8B", "48gb"): ["refused"] * 3,
        ("8B", "80gb"): ["r16", "fsdp2", "fsdp2"],
        ("8B", "141gb"): ["r16", "fsdp2", "fsdp2"],
    }


def test_given_options_are_not_changed() -> None:
    one = chosen(SMALL, "80gb", 1, lora_r=64, rollout_memory=0.3)
    assert (one.lora_r, one.rollout_memory) == (64, 0.3)
    assert not chosen(SMALL, "80gb", 1, lora_r=0).fits
    few = replace(stage(SMALL), grpo=group(Grpo, "challenge", per_device=2), sharded=True)
    choice = choose(few, Devices(8, 140.0))[0]
    assert (choice.plan.per_device, choice.layout.sharded) == (2, True)


def test_choice_is_explained() -> None:
    line = reasons(*choose(stage(SMALL), Devices(1, 79.1)))
    assert line.startswith("1 GPU of 79 GiB: LoRA r = 16, 8 rollouts per pass, peak 64 of 71 GiB; ")
    assert line.endswith("all weights would take 87")


def test_refusal_names_the_options_that_fit() -> None:
    def refusal(given: Stage, devices: Devices) -> str:
        with pytest.raises(UsageError) as caught:
            refuse(given, choose(given, devices)[0])
        return str(caught.value)

    whole = stage(SMALL, lora_r=0)
    assert refusal(whole, Devices(1, 79.1)).endswith("; --lora-r 16 --per-device 8")
    wide = replace(stage(SMALL), grpo=group(Grpo, "challenge", per_device=64))
    assert refusal(wide, Devices(1, 79.1)).endswith("; --lora-r 16 --per-device 8")
    more = refusal(stage(LARGE, lora_r=0), Devices(1, 79.1))
    assert more.endswith("; --lora-r 16 --per-device 8")
    more = refusal(stage(LARGE, lora_r=0, lora_targets="none"), Devices(1, 79.1))
    assert "use 4 such GPUs: --lora-r 0 --per-device 4 --processes 4 --accelerate fsdp2" in more
    assert "use larger GPUs, a smaller model" in refusal(stage(LARGE), Devices(1, 8.0))


def pretend(monkeypatch: pytest.MonkeyPatch, gib: float, number: int = 1) -> None:
    """Simulate a machine with GPUs and vLLM, and no launcher."""
    from rzero_cli.commands import _training
    from rzero_cli.training import dry_run

    for module in (_training, dry_run):
        monkeypatch.setattr(module, "devices_here", lambda: Devices(number, gib))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for module in ("engines", "engines.models", "training.rollouts"):
        monkeypatch.setattr(f"rzero_cli.{module}.find_spec", lambda name: object())
    for name in ("RANK", "WORLD_SIZE", "RZERO_LAUNCHED", "ACCELERATE_USE_FSDP"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def begun(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> tuple[Any, Any]:
    """Return a training, and what its process then does: the launcher's arguments, or the engine
    choice of the Solver."""
    from rzero_cli import cli
    from rzero_cli.commands import challenge
    from rzero_cli.options.engine import EngineChoice
    from rzero_cli.training import launch

    found: list[Any] = []
    planned = challenge.plan_training
    monkeypatch.setattr(
        challenge, "plan_training", lambda *given: found.append(planned(*given)) or found[-1]
    )

    def stop(*what: Any, **more: Any) -> None:
        found.extend(what)
        raise SystemExit(0)

    monkeypatch.setattr(launch, "_run", lambda launch, arguments: stop(arguments))
    monkeypatch.setattr(EngineChoice, "open_solver", stop)
    empty_checkpoint(folder / "m", **published()[SMALL])  # has no weights to load
    words = ["challenge", "--challenger", "m", "--solver", "m", "-o", "c", *options]
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["rzero", *words])
    with pytest.raises(SystemExit):
        cli.run(words)
    monkeypatch.setattr(challenge, "plan_training", planned)
    return found[0], found[1]


def test_several_gpus_are_launched_and_ranks_choose_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, 79.1, 8)
    chosen, arguments = begun(monkeypatch, tmp_path)
    assert arguments[0].endswith("recipes/accelerate/fsdp2.yaml")
    assert arguments[1] == "--num_processes=8"
    assert chosen.hardware.lora_r == 0
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "8"), ("ACCELERATE_USE_FSDP", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("rzero_cli.commands.challenge.on_first", lambda work: [])
    again, solver = begun(monkeypatch, tmp_path)
    assert again.plan == chosen.plan
    assert again.hardware.lora_r == 0
    assert again.hardware.rollout_memory == chosen.hardware.rollout_memory > 0.1
    assert solver.arguments["gpu_memory_utilization"] == chosen.chosen.solver_memory > 0.1
    assert solver.arguments["max_model_len"] == 2 * 4096 + 512


def test_host_memory_of_a_machine_is_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sharded = chosen(SMALL, "80gb", 8)
    # policy and reference in float32 in each process, and its sleeping Solver in 16 bits
    assert sharded.host == pytest.approx(8 * (4 + 4 + 2) * 4_022_468_096 / (1 << 30))
    pretend(monkeypatch, 79.1, 8)
    monkeypatch.setattr("rzero_cli.commands._training.host_memory", lambda: 128.0)
    begun(monkeypatch, tmp_path)
    assert (
        "loading takes 300 GiB of host memory, and this machine has 128" in capfd.readouterr().err
    )


def test_one_gpu_gets_the_chosen_fractions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, 79.1)
    chosen, solver = begun(monkeypatch, tmp_path)
    assert chosen.hardware.lora_r == 16
    assert chosen.grpo.learning_rate == 1e-5
    assert chosen.hardware.rollout_memory == chosen.chosen.rollout_memory > 0.1
    assert solver.arguments["enable_sleep_mode"] is True
    assert solver.arguments["gpu_memory_utilization"] == chosen.chosen.solver_memory
    given = ("--gpu-memory-utilization", "0.3", "--rollout-memory", "0.2")
    chosen, solver = begun(monkeypatch, tmp_path, *given)
    assert solver.arguments["gpu_memory_utilization"] == 0.3
    assert chosen.hardware.rollout_memory == 0.2


def test_presets_rollouts_per_pass_are_an_upper_limit_on_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in `make demo` on a machine with GPUs: the preset `tiny` has 192 rollouts per pass."""
    pretend(monkeypatch, 79.1, 4)
    chosen, arguments = begun(monkeypatch, tmp_path, "--preset", "tiny", "--engine", "transformers")
    assert (chosen.plan.processes, chosen.plan.per_device) == (4, 48)
    assert arguments[1] == "--num_processes=4"


def test_processes_without_a_gpu_each_are_refused(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 79.1, 4)
    empty_checkpoint(tmp_path / "m", **published()[SMALL])
    both = ("challenge", "--challenger", "m", "--solver", "m", "-o", "c")
    for options in (("--processes", "8"), ("--accelerate", "fsdp2")):
        message = refused(*both, *options)
        assert message == "8 processes on this machine, which has 4 GPUs: --processes 4\n"
    assert "choose one with CUDA_VISIBLE_DEVICES" in refused(*both, "--processes", "1")


def test_stage_is_refused_before_anything_is_loaded(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 22.0)
    record_vllm(monkeypatch)
    empty_checkpoint(tmp_path / "m", **published()[SMALL])  # has no weights to load
    both = ("challenge", "--challenger", "m", "--solver", "m", "-o", "c")
    message = refused(*both)
    assert "this training takes" in message
    assert "use 64 such GPUs: --lora-r 0" in message
    assert message.endswith("--accelerate fsdp2-nodes\n")
    assert "--lora-r 16" in refused(*both, "--lora-r", "0", "--gpu-memory", "79.1")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_machine_without_gpus_has_no_layout() -> None:
    assert devices_here() is None


@pytest.mark.slow
def test_loop_writes_the_layout_before_its_first_stage(tmp_path: Path, small_base: Path) -> None:
    """As on a machine with GPUs. A training that cannot be planned ends the loop at once."""
    run = (f"MODEL={small_base}", "PRESET=tiny", "RUN=r", "LAYOUT=runs/r/layout.txt")
    recipe = Path(rzero_cli.__file__).parent / "recipes" / "loop.mk"
    (tmp_path / "Makefile").write_text(f"include {recipe}\n")
    done = make(tmp_path, *run, "CHALLENGE_FLAGS=--batch 5", "loop")
    assert done.returncode == 2
    assert "is not a multiple" in done.stderr
    assert not (tmp_path / "runs/r/layout.txt").exists()
    assert not (tmp_path / "runs/r/base").exists()
    done = make(tmp_path, *run, "runs/r/layout.txt")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "runs/r/layout.txt").read_text()
    assert text.count("1 GPU of 79 GiB: all weights") == 2
