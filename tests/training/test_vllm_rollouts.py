"""What TRL gives to a colocated vLLM engine; a stand-in replaces the engine, which needs a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.option_groups import group
from rzero_cli.engines import derived_seed
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import make_plan
from rzero_cli.method.prompts import SOLVER, prompt_for
from rzero_cli.training.rollouts import Rollouts
from rzero_cli.training.settings import Grpo, Hardware

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


class Recorded:
    """Stands in for vLLM's engine: keeps what it is given and answers with the first stop token."""

    made: dict[str, Any]
    sampling: Any

    def __init__(self, **options: Any) -> None:
        type(self).made = options

    def sleep(self, level: int) -> None: ...

    def wake_up(self, tags: list[str]) -> None: ...

    def generate(self, prompts: list[Any], sampling_params: Any, use_tqdm: bool) -> list[Any]:
        type(self).sampling = sampling_params
        token = sampling_params.stop_token_ids[0]
        answer = SimpleNamespace(
            token_ids=[token], logprobs=[{token: SimpleNamespace(logprob=0.0, rank=1)}]
        )
        return [
            SimpleNamespace(prompt_token_ids=one["prompt_token_ids"], outputs=[answer])
            for one in prompts
        ]


def first_rollouts(model: Path, part: Path, monkeypatch: Any, seed: int) -> type[Recorded]:
    """Train for one update on rollouts of the stand-in, and return what it was given."""
    from trl.generation import vllm_generation

    from rzero_cli.training import grpo

    monkeypatch.setattr(vllm_generation, "LLM", Recorded)
    monkeypatch.setattr(vllm_generation.VLLMGeneration, "sync_weights", lambda self: None)
    plan = make_plan(steps=1, prompts=2, batch=2, group=2, max_tokens=8)
    grpo.train(
        str(model),
        [{"prompt": prompt_for(SOLVER, f"copy {n}")} for n in (123, 456)],
        lambda completions, **columns: [float(i) for i in range(len(completions))],
        plan=plan,
        grpo=group(Grpo),
        hardware=group(Hardware),
        sampling=group(SamplingOptions),
        seed=seed,
        part=part,
        batch_size=4,
        on_update=lambda metrics: None,
        rollouts=Rollouts("colocate"),
    )
    assert vllm_generation.LLM is Recorded  # replaced while the trainer is created, no longer
    return Recorded


def test_vllm_gets_end_tokens_sleep_mode_and_a_seed_of_the_run(
    small_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rzero_cli.engines.chat import end_tokens
    from rzero_cli.engines.transformers import load_tokenizer

    given = first_rollouts(small_base, tmp_path / "0", monkeypatch, seed=0)
    ends = end_tokens(load_tokenizer(str(small_base)), None)
    assert ends and set(ends) <= set(given.sampling.stop_token_ids)
    assert given.made["enable_sleep_mode"] is True
    seed = given.made["seed"]
    other = first_rollouts(small_base, tmp_path / "1", monkeypatch, seed=1)
    assert seed == derived_seed(0, 0) % 2**32 != other.made["seed"] == derived_seed(1, 0) % 2**32
