"""The choice of the rollout engine, and TRL's configuration; no GPU is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.option_groups import group
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import make_plan
from rzero_cli.system.stopwatch import Stopwatch
from rzero_cli.training import rollouts
from rzero_cli.training.checks import check_correction, check_engine_size
from rzero_cli.training.rollouts import Rollouts, choose_rollouts
from rzero_cli.training.settings import Grpo, Hardware


def choose(mode: str, *, processes: int = 1, **options: Any) -> Rollouts:
    options = {"endpoint": None, "memory": 0.3, "tensor_parallel_size": 1} | options
    named = {f"rollout_{name}": value for name, value in options.items()}
    return choose_rollouts(group(Hardware, rollouts=mode, **named), processes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that simulates a machine with or without a GPU and vLLM."""

    def pretend(*, gpu: bool, vllm: bool) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
        monkeypatch.setattr(rollouts, "find_spec", lambda name: object() if vllm else None)

    return pretend


def test_auto_rollouts_use_vllm_with_a_gpu(machine) -> None:
    machine(gpu=True, vllm=True)
    assert choose("auto", memory=0.4) == Rollouts("colocate", None, 0.4, 1)
    machine(gpu=True, vllm=False)
    assert choose("transformers") == Rollouts()
    with pytest.raises(UsageError, match="but vLLM is not installed: pip install"):
        choose("auto")
    machine(gpu=False, vllm=False)
    assert choose("auto") == Rollouts()
    machine(gpu=False, vllm=True)
    chosen = choose("auto")
    assert chosen.mode == "transformers"
    assert "transformers generates the rollouts" in str(chosen.notice)
    machine(gpu=True, vllm=True)
    assert choose("transformers") == Rollouts()


def test_unavailable_rollouts_are_rejected_with_the_reason(machine) -> None:
    machine(gpu=True, vllm=True)
    server = choose("server", endpoint="http://10.0.0.1:8000")
    assert server == Rollouts("server", "http://10.0.0.1:8000", 0.3, 1)
    assert choose("colocate", tensor_parallel_size=2, processes=8).tensor_parallel_size == 2
    for mode, options, reason in (
        ("vllm", {}, "known: auto, transformers, colocate, server"),
        ("server", {}, "requires --rollout-endpoint"),
        ("auto", {"endpoint": "http://10.0.0.1:8000"}, "requires --rollouts server, not auto"),
        ("colocate", {"tensor_parallel_size": 2, "processes": 3}, "does not divide the 3"),
    ):
        with pytest.raises(UsageError, match=reason):
            choose(mode, **options)
    machine(gpu=True, vllm=False)
    with pytest.raises(UsageError, match="pip install"):
        choose("colocate")
    machine(gpu=False, vllm=True)
    with pytest.raises(UsageError, match="cannot load the new weights"):
        choose("colocate")
    with pytest.raises(UsageError, match="NCCL"):
        choose("server", endpoint="http://10.0.0.1:8000")


def test_more_rollouts_than_an_engine_takes_are_rejected_before_loading() -> None:
    plan = make_plan(steps=1, prompts=2048, batch=16, group=4, max_tokens=8)
    check_engine_size(Rollouts(), plan)
    with pytest.raises(UsageError, match="8,192 rollouts per vLLM engine, and TRL allows 4,096"):
        check_engine_size(Rollouts("colocate"), plan)
    two = make_plan(steps=1, prompts=2048, batch=16, group=4, max_tokens=8, processes=2)
    check_engine_size(Rollouts("colocate"), two)
    with pytest.raises(UsageError, match="8,192"):
        check_engine_size(Rollouts("colocate", tensor_parallel_size=2), two)


def test_correction_requires_vllm() -> None:
    for mode in ("auto", "colocate", "server"):  # "auto" is known to be something else later
        check_correction("token_truncate", mode)
    check_correction("none", "transformers")
    with pytest.raises(UsageError, match="requires rollouts from vLLM"):
        check_correction("token_truncate", "transformers")


def test_rollout_errors_are_one_line(refused: Callable[..., str], tiny_model: Path) -> None:
    command = ["challenge", "--challenger", str(tiny_model), "--solver", str(tiny_model)]
    command += ["-o", "c", "--preset", "tiny"]
    message = refused(*command, "--rollouts", "colocate")
    assert message.startswith("--rollouts colocate: no GPU, and on a CPU, vLLM cannot load")
    message = refused(*command, "--rollout-correction", "token_truncate")
    assert message.startswith("--rollout-correction token_truncate requires rollouts from vLLM")
    for more in ([], ["--dry-run"]):
        message = refused(*command, "--rollout-correction", "sequence_mask", *more)
        assert message.endswith("unknown; known: none, token_truncate\n")


@pytest.mark.slow
def test_rollout_settings_reach_trl(tiny_model: Path, tmp_path: Path) -> None:
    from rzero_cli.engines.transformers import load_tokenizer
    from rzero_cli.method.prompts import SOLVER, prompt_for
    from rzero_cli.training import grpo
    from rzero_cli.training.config import trl_config, vllm_config

    plan = make_plan(steps=1, prompts=4, batch=4, group=4, max_tokens=24)
    options = (plan, group(Grpo), group(Hardware), group(SamplingOptions))
    how = {"seed": 0, "states": tmp_path}
    tokenizer = load_tokenizer(str(tiny_model))
    rows = [{"prompt": prompt_for(SOLVER, "copy " + "1" * n)} for n in (3, 50, 9)]
    longest = grpo._longest(tokenizer, rows, {})
    as_trl = [
        tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        for row in rows
    ]
    assert longest == len(as_trl[1]) > len(as_trl[0])
    with_vllm = vllm_config(Rollouts("colocate", None, 0.4, 2), longest + plan.max_tokens)
    config = trl_config(*options, **how, **with_vllm)
    assert (config.use_vllm, config.vllm_mode) == (True, "colocate")
    assert config.vllm_gpu_memory_utilization == 0.4
    assert config.vllm_tensor_parallel_size == 2
    assert config.vllm_max_model_length == longest + 24
    assert config.vllm_importance_sampling_correction is False
    assert config.vllm_enable_sleep_mode is True
    server = vllm_config(Rollouts("server", "http://10.0.0.1:8000"), 100)
    config = trl_config(*options, **how, **server)
    assert (config.vllm_mode, config.vllm_server_base_url) == ("server", "http://10.0.0.1:8000")
    assert config.vllm_enable_sleep_mode is False
    assert trl_config(*options, **how).use_vllm is False
    corrected = (plan, group(Grpo, rollout_correction="token_truncate"), *options[2:])
    config = trl_config(*corrected, **how, **server)
    assert config.vllm_importance_sampling_correction is True
    assert config.vllm_importance_sampling_mode == "token_truncate"
    assert config.vllm_importance_sampling_clip_max == 2.0


@pytest.mark.slow
def test_rollouts_are_batched_for_transformers_only(monkeypatch) -> None:
    from trl import GRPOTrainer

    from rzero_cli.training import grpo

    given: list[int] = []

    def generate(self: Any, prompts: list[list[int]]) -> tuple[list[list[int]], list[float]]:
        given.append(len(prompts))
        return prompts, [0.0] * len(prompts)

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", generate)
    trainer = object.__new__(grpo._Trainer)
    trainer._batch_size, trainer._spent, trainer._on_rollouts = 4, Stopwatch(), None
    trainer._tokenizer = SimpleNamespace(chat_template="its own")
    prompts = [[i] for i in range(10)]
    trainer.use_vllm = False
    assert trainer._generate_single_turn(prompts) == (prompts, None)
    assert given == [4, 4, 2]
    given.clear()
    trainer.use_vllm = True
    assert trainer._generate_single_turn(prompts) == (prompts, [0.0] * 10)
    assert given == [10]


@pytest.mark.slow
def test_without_template_rollouts_end_at_another_speakers_line(plain_model: Path) -> None:
    from rzero_cli.engines.transformers import load_tokenizer
    from rzero_cli.training.grpo import cut_at_stop

    tokenizer = load_tokenizer(str(plain_model))
    stops = ("4", "31")
    for digits, kept in (
        ("", ""), ("7", "7"), ("777", "777"), ("4", "4"), ("74", "74"), ("7477", "74"),
        ("731774", "731"), ("77317", "7731"), ("3", "3"), ("44", "4"),
    ):  # fmt: skip
        tokens = tokenizer(digits, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(cut_at_stop(tokenizer, tokens, stops)) == kept


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm")
def test_rollouts_on_a_cpu_with_vllm_use_transformers(
    rzero, tiny_model: Path, tmp_path: Path
) -> None:
    done = rzero(
        *("challenge", "--challenger", tiny_model, "--solver", tiny_model, "-o", "c"),
        *("--preset", "tiny", "--steps", "1", "--engine", "transformers", "--rollouts", "auto"),
    )
    assert done.status == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("transformers generates the rollouts") == 1
    assert (tmp_path / "c" / "model.safetensors").is_file()
