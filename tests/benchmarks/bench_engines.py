"""How much of an engine's speed `rzero label` passes on, and vLLM against transformers on the CPU.

The complete command runs: options, records, answers; only loading the model is left out. It takes
turns with the bare engine, which gets all of the same prompts at once. Ratios are of tokens per
second within one run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.cli import run
from rzero_cli.engines import Sampling, open_engine
from rzero_cli.engines.answering import Solver
from rzero_cli.engines.chat import encode, end_tokens
from rzero_cli.method.prompts import SOLVER, prompt_for
from rzero_cli.options.engine import EngineChoice

QUESTIONS, M, TOKENS, ROUNDS = 8, 8, 32, 3
LONG = 256
"""The length within which most answers of the model end, in tokens."""
SAMPLING = Sampling(n=M, max_tokens=TOKENS, top_k=40)


class Counted:
    """An engine that counts the tokens it generates."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.tokens = engine, 0

    def complete(self, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        for item, sampled in self.engine.complete(*arguments, **keywords):
            self.tokens += sum(completion.tokens for completion in sampled)
            yield item, sampled


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    texts = [f"Tom has {n} apples and buys {n * 3 % 7} more. How many?" for n in range(QUESTIONS)]
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    return path


def label(
    engine: Any, questions: Path, monkeypatch: pytest.MonkeyPatch, limit: int = TOKENS
) -> float:
    """Return the tokens per second of the command with a loaded engine."""
    counted = Counted(engine)

    @contextmanager
    def loaded(
        self: Any, model: str, sampling: Any, prompt: Any, *rest: Any, seed: int
    ) -> Iterator[Solver]:
        with Equivalence() as equivalence:
            yield Solver(counted, sampling, prompt, equivalence)

    monkeypatch.setattr(EngineChoice, "open_solver", loaded)
    out = questions.with_name("labeled.jsonl")
    options = ["--m", M, "--max-tokens", limit, "--solver", "unused/here", "-o", out, "--force"]
    monkeypatch.setattr(EngineChoice, "check", lambda *arguments: "unused/here")
    start = time.perf_counter()
    assert run(["label", str(questions), *map(str, options), "--quiet"]) == 0
    return counted.tokens / (time.perf_counter() - start)


def bare_vllm(engine: Any, prompts: list[list[int]]) -> float:
    params = engine._params(
        n=M, temperature=1.0, top_k=40, max_tokens=TOKENS, output_kind=engine._final
    )

    async def one(number: int, tokens: list[int]) -> int:
        async for output in engine._engine.generate(
            {"prompt_token_ids": tokens}, params, f"bare {number} {time.time()}"
        ):
            final = output
        return sum(len(choice.token_ids) for choice in final.outputs)

    async def everything() -> int:
        return sum(await asyncio.gather(*(one(n, tokens) for n, tokens in enumerate(prompts))))

    start = time.perf_counter()
    tokens = engine._loop.run(everything())
    return tokens / (time.perf_counter() - start)


def bare_transformers(engine: Any, prompts: list[list[int]]) -> float:
    import torch
    from transformers import GenerationConfig

    ends = end_tokens(engine.tokenizer, engine._declared, SAMPLING.stop)
    config = GenerationConfig(
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=SAMPLING.top_k,
        max_new_tokens=SAMPLING.max_tokens,
        eos_token_id=ends,
    )
    rows = sorted((tokens for tokens in prompts for _ in range(M)), key=len)
    total = 0
    start = time.perf_counter()
    for at in range(0, len(rows), engine.batch_size):
        batch = {"input_ids": rows[at : at + engine.batch_size]}
        padded = engine.tokenizer.pad(batch, return_tensors="pt")
        with torch.inference_mode():
            output = engine.model.generate(**padded, generation_config=config)
        new = output[:, padded["input_ids"].shape[1] :]
        ended = torch.isin(new, torch.tensor(ends)).int().cumsum(1)
        total += int((ended == 0).sum()) + int((ended[:, -1] > 0).sum())
    return total / (time.perf_counter() - start)


def turns(
    name: str, bare: Callable[..., float], model: Path, questions: Path, monkeypatch: Any
) -> None:
    """Print the ratio of `rzero label` to the bare engine."""
    with open_engine(name, str(model)) as engine:
        texts = [json.loads(line)["question"] for line in questions.read_text().splitlines()]
        prompts = [encode(engine.tokenizer, prompt_for(SOLVER, text)) for text in texts]
        bare(engine, prompts)  # the first run of an engine is slower
        pairs = [
            (label(engine, questions, monkeypatch), bare(engine, prompts)) for _ in range(ROUNDS)
        ]
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    print(
        f"\nrzero label, {name}, SmolLM2-135M, {QUESTIONS} questions x {M}: {ours:.0f} tokens/s, "
        f"bare engine {theirs:.0f}: ratio {median(ratios):.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f}), "
        "wanted 0.95",
        file=sys.stderr,
    )


def bench_label_passes_an_engines_speed_on(
    smollm2: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make bench` runs this in vLLM's environment."""
    turns("transformers", bare_transformers, smollm2, questions, monkeypatch)
    turns("vllm", bare_vllm, smollm2, questions, monkeypatch)


def bench_vllm_over_transformers(
    smollm2: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit that most answers stay below, as in labelling; vLLM refills their slots."""
    rates = {}
    for name in ("transformers", "vllm"):
        with open_engine(name, str(smollm2)) as engine:
            rates[name] = label(engine, questions, monkeypatch, limit=LONG)
    shown = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    print(
        f"\nrzero label, SmolLM2-135M on the CPU, at most {LONG} tokens an answer: tokens/s of "
        f"{shown}; vLLM over transformers {rates['vllm'] / rates['transformers']:.2f}",
        file=sys.stderr,
    )
