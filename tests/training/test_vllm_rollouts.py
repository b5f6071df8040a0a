"""What TRL gives to a colocated vLLM engine, and takes from it; a stand-in replaces the engine,
which needs a GPU."""

from __future__ import annotations

import json
import math
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

    def answer(self, prompt: list[int], end: int) -> tuple[list[int], list[float]]:
        """Return tokens and their log-probabilities."""
        return [end], [0.0]

    def generate(self, prompts: list[Any], sampling_params: Any, use_tqdm: bool) -> list[Any]:
        type(self).sampling = sampling_params
        generated = []
        for one in prompts:
            prompt = one["prompt_token_ids"]
            tokens, logps = self.answer(prompt, sampling_params.stop_token_ids[0])
            answer = SimpleNamespace(
                token_ids=tokens,
                logprobs=[
                    {token: SimpleNamespace(logprob=logp, rank=1)}
                    for token, logp in zip(tokens, logps, strict=True)
                ],
            )
            generated.append(SimpleNamespace(prompt_token_ids=prompt, outputs=[answer]))
        return generated


def train(
    model: Path,
    part: Path,
    monkeypatch: Any,
    *,
    engine: type[Recorded] = Recorded,
    seed: int = 0,
    updates: int = 1,
    correction: str = "none",
) -> Any:
    """Train for one step on rollouts of the stand-in, and return it."""
    from trl.generation import vllm_generation

    from rzero_cli.training import grpo

    monkeypatch.setattr(vllm_generation, "LLM", engine)
    monkeypatch.setattr(vllm_generation.VLLMGeneration, "sync_weights", lambda self: None)
    grpo.train(
        str(model),
        [{"prompt": prompt_for(SOLVER, f"copy {n}")} for n in (123, 456)],
        lambda completions, **columns: [float(i) for i in range(len(completions))],
        plan=make_plan(steps=1, prompts=2, batch=2 // updates, group=2, max_tokens=8, per_device=1),
        grpo=group(Grpo, learning_rate=1e-3, rollout_correction=correction),
        hardware=group(Hardware),
        sampling=group(SamplingOptions),
        seed=seed,
        part=part,
        batch_size=4,
        on_update=lambda metrics: None,
        rollouts=Rollouts("colocate"),
    )
    assert vllm_generation.LLM is engine  # replaced while the trainer is created, no longer
    return engine


def test_vllm_gets_end_tokens_sleep_mode_and_a_seed_of_the_run(
    small_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rzero_cli.engines.chat import end_tokens
    from rzero_cli.engines.transformers import load_tokenizer

    given = train(small_base, tmp_path / "0", monkeypatch)
    ends = end_tokens(load_tokenizer(str(small_base)), None)
    assert ends and set(ends) <= set(given.sampling.stop_token_ids)
    assert given.made["enable_sleep_mode"] is True
    seed = given.made["seed"]
    other = train(small_base, tmp_path / "1", monkeypatch, seed=1)
    assert seed == derived_seed(0, 0) % 2**32 != other.made["seed"] == derived_seed(1, 0) % 2**32


DIFFERENCES = [0.1, -0.3, 1.0, math.nan]
"""Of the trainer's log-probabilities from vLLM's, for the tokens of each answer; vLLM has none for
the last."""


def engine_off_by(model: Path, differences: list[float]) -> type[Recorded]:
    """Return a stand-in whose log-probabilities are the model's minus `differences`."""
    import torch

    from rzero_cli.engines.transformers import load_model

    judge = load_model(str(model), dtype="float32")

    class OffBy(Recorded):
        @torch.no_grad()
        def answer(self, prompt: list[int], end: int) -> tuple[list[int], list[float]]:
            self.turn = not getattr(self, "turn", False)  # the two of a group differ
            tokens = [*(prompt[-3:] if self.turn else prompt[-1:-4:-1]), end]
            rows = judge(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
            logps = rows.log_softmax(-1)[range(len(tokens)), tokens].tolist()
            return tokens, [a - b for a, b in zip(logps, differences, strict=True)]

    return OffBy


def test_mismatch_with_vllm_is_logged_and_corrected_only_on_request(
    small_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file
    from trl import GRPOTrainer

    off = engine_off_by(small_base, DIFFERENCES)
    runs = {
        "equal": {"engine": engine_off_by(small_base, [0.0] * 4)},
        "off": {"engine": off},
        "corrected": {"engine": off, "correction": "token_truncate"},
    }
    passes: list[int] = []
    score = GRPOTrainer._get_per_token_logps_and_entropies
    monkeypatch.setattr(
        GRPOTrainer,
        "_get_per_token_logps_and_entropies",
        lambda self, *given, **named: passes.append(0) or score(self, *given, **named),
    )
    logs, weights, counts = {}, {}, {}
    for updates in (1, 2):  # TRL computes old log-probabilities for several updates only
        for name, options in runs.items():
            part = tmp_path / f"{name}-{updates}"
            passes.clear()
            train(small_base, part, monkeypatch, updates=updates, **options)
            lines = [json.loads(line) for line in (part / "log.jsonl").read_text().splitlines()]
            assert len(lines) == updates
            assert not [key for line in lines[1:] for key in line if key.startswith("sampling/")]
            key = name, updates
            logs[key], weights[key] = lines[0], load_file(part / "model.safetensors")
            counts[key] = len(passes)
        known = DIFFERENCES[:3]
        for name in ("off", "corrected"):
            log = logs[name, updates]
            mean = sum(map(abs, known)) / 3
            assert log["sampling/sampling_logp_difference/mean"] == pytest.approx(mean, abs=1e-4)
            assert log["sampling/sampling_logp_difference/max"] == pytest.approx(1.0, abs=1e-4)
            kl = sum(math.expm1(one) - one for one in known) / 3
            assert log["sampling/kl"] == pytest.approx(kl, abs=1e-4)
        log = logs["equal", updates]
        assert log["sampling/sampling_logp_difference/max"] < 1e-4
        assert abs(log["sampling/kl"]) < 1e-6
        # By default the mismatch changes nothing; the correction weights e by at most 2.
        equal, other, corrected = (weights[name, updates] for name in runs)
        assert all(equal[name].equal(other[name]) for name in equal)
        assert not any(equal[name].equal(corrected[name]) for name in equal)
        log = logs["corrected", updates]
        assert log["sampling/importance_sampling_ratio/max"] == 2.0
        assert log["sampling/importance_sampling_ratio/min"] == pytest.approx(math.exp(-0.3), 1e-3)
    # The reference, the passes, and TRL's own pass for several updates or the correction.
    assert counts["off", 1] == 8 and counts["corrected", 1] == counts["off", 2] == 12
