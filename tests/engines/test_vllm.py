"""The vLLM engine, with the real vLLM on the CPU.

Run with `make test-vllm`, in a separate environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from helpers.live_processes import children
from helpers.sampling_checks import assert_k_answers_are_k_samples
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import CHALLENGER, SOLVER, Messages, Prompt, prompt_for

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

WORDS = ["reverse the digits of", "copy the number", "turn around"]
PROMPTS = [prompt_for(SOLVER, f"{WORDS[k % 3]} {k}{'7' * (1 + k % 5)}") for k in range(21)]


def texts(results: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in completions] for completions in results]


@pytest.fixture(scope="module")
def engine(small_base: Path) -> Iterator[object]:
    before = children(os.getpid())
    with open_engine("vllm", str(small_base), batch_size=32) as engine:
        assert len(children(os.getpid())) > len(before)
        yield engine
    assert children(os.getpid()) == before


def test_every_prompt_gets_n_different_completions_in_order(engine) -> None:
    results = list(engine.generate(PROMPTS, Sampling(n=3, max_tokens=12, temperature=1.5)))
    assert [len(completions) for completions in results] == [3] * len(PROMPTS)
    distinct = [len(set(completions)) for completions in texts(results)]
    assert sum(distinct) > 2 * len(PROMPTS)
    again = list(engine.generate(PROMPTS, Sampling(n=3, max_tokens=12, temperature=1.5)))
    assert texts(again) != texts(results)


def test_vllm_lengths_and_truncation(engine) -> None:
    truncated = [c for (c,) in engine.generate(PROMPTS, Sampling(max_tokens=2))]
    assert all(c.truncated and c.tokens == 2 for c in truncated)
    whole = [c for (c,) in engine.generate(PROMPTS, Sampling(max_tokens=40))]
    assert not all(c.truncated for c in whole)
    assert all(c.tokens <= 40 for c in whole)


def test_top_k_of_1_is_greedy_and_greedy_is_sampled_once(engine) -> None:
    greedy = texts(list(engine.generate(PROMPTS, Sampling(n=2, temperature=0, max_tokens=8))))
    assert all(a == b for a, b in greedy)
    assert texts(list(engine.generate(PROMPTS, Sampling(n=2, top_k=1, max_tokens=8)))) == greedy


def test_stop_strings_end_a_completion_and_are_removed(engine) -> None:
    (plain,) = next(engine.generate(PROMPTS, Sampling(temperature=0, max_tokens=20)))
    middle = plain.text[2:4]
    stopping = Sampling(temperature=0, max_tokens=20, stop=(middle,))
    (stopped,) = next(engine.generate(PROMPTS, stopping))
    assert stopped.text == plain.text.split(middle)[0]
    assert not stopped.truncated


def test_done_prompts_are_skipped_and_lookahead_is_bounded(engine) -> None:
    greedy = Sampling(temperature=0, max_tokens=8)
    everything = list(engine.generate(PROMPTS, greedy))
    done = set(range(len(PROMPTS))) - {1, 15, 20}
    rest = dict(engine.complete(enumerate(PROMPTS), greedy, done=done))
    assert rest == {number: everything[number] for number in (1, 15, 20)}
    read = 0

    def endless() -> Iterator[Messages]:
        nonlocal read
        for read in count(1):
            yield PROMPTS[read % len(PROMPTS)]

    results = engine.generate(endless(), Sampling(n=4, max_tokens=4))
    for _ in range(40):
        next(results)
    assert 40 <= read <= 40 + 16 * 32 // 4 + 1
    results.close()


def test_batch_invariance_seeds_each_request_by_its_position(
    engine, small_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(n=3, max_tokens=12, seed=5)
    # vLLM's own mode needs a GPU. In float32 it would change only near-ties.
    monkeypatch.setattr(engine, "_invariant", True)
    everything = list(engine.generate(PROMPTS, sampling))
    assert len({c.text for completions in everything for c in completions}) > len(PROMPTS)
    rest = dict(engine.complete(enumerate(PROMPTS), sampling, done=range(7)))
    assert rest == {number: everything[number] for number in range(7, len(PROMPTS))}
    assert list(engine.generate(PROMPTS, replace(sampling, seed=6))) != everything
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    with pytest.raises(UsageError, match="VLLM_BATCH_INVARIANT: vLLM supports it on GPUs only"):
        open_engine("vllm", str(small_base))


def test_any_text_and_too_long_prompts_get_answers(engine) -> None:
    questions = ["", "\ud800", "\x00", "é漢", "<pad><eos>", "7" * 100_000]
    prompts = [prompt_for(SOLVER, question) for question in questions]
    results = list(engine.generate(prompts, Sampling(n=2, max_tokens=4)))
    assert [len(completions) for completions in results] == [2] * len(questions)
    assert results[-1] == [Completion("", 0, truncated=True)] * 2


def same_up_to_a_near_tie(
    model: Path,
    prompts: list[Prompt],
    limit: int,
    gap: float,
    opened: Any = None,
    stop: tuple[str, ...] = (),
) -> float:
    """Compare both engines' greedy completions and return the fraction that is equal.

    Where they diverge, the two tokens must have been almost equally likely.
    """
    import torch

    greedy = Sampling(temperature=0, max_tokens=limit, stop=stop)
    with nullcontext(opened) if opened else open_engine("vllm", str(model)) as engine:
        theirs = list(engine.generate(prompts, greedy))
    equal = 0
    with open_engine("transformers", str(model)) as engine:
        ours = list(engine.generate(prompts, greedy))
        tokenizer, network = engine.tokenizer, engine.model
        for prompt, (a,), (b,) in zip(prompts, theirs, ours, strict=True):
            if a.text == b.text:
                assert (a.tokens, a.truncated) == (b.tokens, b.truncated)
                equal += 1
                continue
            pair = [tokenizer(t.text, add_special_tokens=False)["input_ids"] for t in (a, b)]
            at = next(
                (i for i, (x, y) in enumerate(zip(*pair, strict=False)) if x != y),
                min(map(len, pair)),
            )
            seen = torch.tensor([engine._encode(prompt, greedy) + pair[0][:at]])
            with torch.no_grad():
                logits = network(seen).logits[0, -1]
            best = logits.topk(2).values
            assert best[0] - best[1] < gap, (a.text, b.text)
    return equal / len(prompts)


def test_greedy_equals_transformers_on_the_tiny_base(engine, small_base: Path) -> None:
    assert same_up_to_a_near_tie(small_base, PROMPTS, limit=16, gap=1e-3, opened=engine) > 0.9


def test_greedy_equals_transformers_on_a_real_llm(smollm2: Path) -> None:
    questions = ["What is 3 + 4?", "Name France's capital.", "Count from one to five.", "Hello!"]
    questions += [f"What is {n} plus {n + 5}?" for n in range(4)]
    prompts = [prompt_for(SOLVER, question) for question in questions]
    assert same_up_to_a_near_tie(smollm2, prompts, limit=24, gap=1e-2) >= 0.75


def test_raw_completions_equal_transformers(engine, small_base: Path) -> None:
    raw = [f"{WORDS[k % 3]} {k}{'7' * (1 + k % 5)}" for k in range(9)]
    raw += ["7", "<bos>7", "4071 " * 20, "9" * 300]  # the last two are longer than the context
    both: list[Prompt] = [*raw, *PROMPTS[:4]]
    assert same_up_to_a_near_tie(small_base, both, limit=16, gap=1e-3, opened=engine) > 0.9
    completions = engine.generate(raw, Sampling(temperature=0, max_tokens=16))
    assert len({completion.text for (completion,) in completions}) > 6
    with pytest.raises(RzeroError, match="leave no room for a prompt in the model's context of 64"):
        next(engine.generate(["7"], Sampling(max_tokens=64)))


def test_raw_completions_equal_transformers_on_a_real_llm(smollm2: Path) -> None:
    shots = "".join(f"Question: What is {n} + {n}?\nAnswer: {2 * n}\n\n" for n in (2, 5, 3))
    raw: list[Prompt] = [f"{shots}Question: What is {n} + 4?\nAnswer:" for n in range(4)]
    raw += ["The capital of France is", "def add(a, b):\n"]
    stop = ("Question:", "\n\n", "<|im_end|>")
    assert same_up_to_a_near_tie(smollm2, raw, limit=16, gap=1e-2, stop=stop) >= 0.75


def test_vllm_k_answers_are_k_samples(engine, small_base: Path) -> None:
    assert_k_answers_are_k_samples(engine, small_base)


def test_qwen3_equals_transformers_and_stays_equal_after_sleep(
    toy_qwen3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler sleeps on a CPU as on a GPU; only the memory stays."""
    from vllm.v1.engine.async_llm import AsyncLLM

    generate = AsyncLLM.generate

    async def watched(*arguments: Any, **more: Any) -> AsyncIterator[Any]:
        async for output in generate(*arguments, **more):
            cached.append(output.num_cached_tokens)
            yield output

    monkeypatch.setattr(AsyncLLM, "generate", watched)
    greedy = Sampling(temperature=0, max_tokens=8)
    cached: list[int] = []

    def answer(engine: Any) -> list[list[str]]:
        return texts(list(engine.generate(["407" * 60], greedy)))

    with open_engine("vllm", str(toy_qwen3), batch_size=4) as engine:

        def is_asleep() -> bool:
            return bool(engine._loop.run(engine._engine.is_sleeping()))

        assert same_up_to_a_near_tie(toy_qwen3, PROMPTS[:6], limit=8, gap=1e-2, opened=engine) > 0.5
        cached.clear()
        expected = answer(engine)
        assert answer(engine) == expected
        assert cached == [0, 128]  # a block
        engine._sleeps = True  # vLLM itself refuses enable_sleep_mode on a CPU
        engine._sleep()
        assert is_asleep()
        assert [answer(engine), answer(engine)] == [expected, expected]
        assert cached[2:] == [0, 0]  # sleep drops the KV cache, so it forgets the prefixes
        unfinished = engine.complete(enumerate(PROMPTS), Sampling(n=2, max_tokens=200))
        next(unfinished)
        assert not is_asleep()
        unfinished.close()
        assert is_asleep()
        assert engine._engine.output_processor.get_num_unfinished_requests() == 0
        assert answer(engine) == expected
        assert is_asleep()


def test_evaluation_samples_k_different_answers(engine, small_base: Path) -> None:
    from rzero_cli import evaluate_data
    from rzero_cli.answers.equivalence import Equivalence
    from rzero_cli.data.jsonl import read_lines

    with Equivalence() as equivalence:
        result = evaluate_data(
            engine,
            read_lines([str(small_base / "heldout.jsonl")], limit=20),
            k=4,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_tokens=24,
            seed=0,
            equivalence=equivalence,
        )
    samples = result["samples"]
    assert len(samples) == 20
    assert any(len(set(sample["answers"])) > 1 for sample in samples)
    assert 0 < result["mean_at_k"]["score"] < 1


def test_vllm_start_errors_are_one_line(small_base: Path, tmp_path: Path) -> None:
    before = children(os.getpid())
    with pytest.raises(UsageError, match="no such engine argument; did you mean max_model_len"):
        open_engine("vllm", str(small_base), arguments={"max_modle_len": 5})
    with pytest.raises(RzeroError, match=r"vLLM cannot start with .*max_model_len") as error:
        open_engine("vllm", str(small_base), arguments={"max_model_len": 10_000_000})
    assert "\n" not in str(error.value)
    assert children(os.getpid()) == before


def test_adapter_is_applied(small_base: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from rzero_cli.engines.transformers import load_model, load_tokenizer

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(load_model(str(small_base)), config)
    adapted.peft_config["default"].base_model_name_or_path = str(small_base)
    adapter = tmp_path / "adapter"
    adapted.save_pretrained(adapter)
    load_tokenizer(str(small_base)).save_pretrained(adapter)
    greedy = Sampling(temperature=0, max_tokens=6)
    with open_engine("transformers", str(adapter)) as engine:
        expected = texts(list(engine.generate(PROMPTS[:8], greedy)))
    with open_engine("transformers", str(small_base)) as engine:
        assert texts(list(engine.generate(PROMPTS[:8], greedy))) != expected
    with open_engine("vllm", str(adapter), batch_size=16) as engine:
        found = texts(list(engine.generate(PROMPTS[:8], greedy)))
    assert sum(a == b for a, b in zip(found, expected, strict=True)) >= 6


def test_data_parallel_copies_share_the_work(small_base: Path) -> None:
    before = len(children(os.getpid()))
    one_prompt = [prompt_for(CHALLENGER)] * 32
    with open_engine("vllm", str(small_base), arguments={"data_parallel_size": 2}) as engine:
        assert len(children(os.getpid())) >= before + 4  # an engine and a worker each
        sampled = texts(list(engine.generate(one_prompt, Sampling(n=2, max_tokens=16))))
        results = list(engine.generate(PROMPTS, Sampling(n=2, max_tokens=12)))
        greedy = Sampling(temperature=0, max_tokens=6)
        both = texts(list(engine.generate(PROMPTS * 2, greedy)))
    # Each copy has its own seed. With vLLM's common one, most pairs would be equal.
    assert sum(first == second for first, second in sampled) < 8
    assert [len(completions) for completions in results] == [2] * len(PROMPTS)
    assert both[: len(PROMPTS)] == both[len(PROMPTS) :]
