"""The transformers engine on real, tiny models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rzero_cli.engines import Completion, Sampling, derived_seed, open_engine
from rzero_cli.engines.asking import sample_questions
from rzero_cli.engines.chat import render
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.method.prompts import SOLVER, Messages, prompt_for

torch = pytest.importorskip("torch")

from rzero_cli.engines.transformers import BATCHES_PER_WINDOW, TransformersEngine  # noqa: E402

pytestmark = pytest.mark.slow

# Of different lengths, so that batches are padded and not in the order of the prompts.
PROMPTS = [
    prompt_for(SOLVER, f"{words} {'7' * (1 + k % 5)}{k}")
    for k, words in enumerate(["reverse the digits of", "copy the number", "turn around"] * 7)
]
SAMPLING = Sampling(n=3, max_tokens=12, seed=5)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[TransformersEngine]:
    with TransformersEngine(str(tiny_model), batch_size=8) as engine:
        yield engine


def texts(results: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in completions] for completions in results]


@pytest.fixture(scope="module")
def sampled(engine: TransformersEngine) -> list[list[Completion]]:
    return list(engine.generate(PROMPTS, SAMPLING))


def test_every_prompt_gets_n_completions(sampled: list[list[Completion]]) -> None:
    assert [len(completions) for completions in sampled] == [3] * len(PROMPTS)
    assert len({text for completions in texts(sampled) for text in completions}) > len(PROMPTS)


def test_completions_depend_only_on_the_seed(
    engine: TransformersEngine, sampled: list[list[Completion]]
) -> None:
    assert list(engine.generate(PROMPTS, SAMPLING)) == sampled
    other = list(engine.generate(PROMPTS, Sampling(n=3, max_tokens=12, seed=6)))
    assert sum(a == b for a, b in zip(other, sampled, strict=True)) < len(PROMPTS) / 2


def test_remaining_completions_equal_the_uninterrupted_run(
    engine: TransformersEngine, sampled: list[list[Completion]]
) -> None:
    everything, window = range(len(PROMPTS)), BATCHES_PER_WINDOW * 8 // 3
    rng = Random(0)
    cases = [set(rng.sample(everything, count)) for count in (0, 1, 4, 10, 16, 20, 21)]
    for done in (*cases, set(range(window)), set(range(window + 1)), set(range(99))):
        results = dict(engine.complete(enumerate(PROMPTS), SAMPLING, done=done))
        assert results == {number: sampled[number] for number in everything if number not in done}
    assert list(engine.generate([], SAMPLING)) == []


def test_completed_batches_are_not_sampled_again(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    sample = engine._sample

    def counted(prompts: Any, *rest: Any) -> Any:
        sizes.append(len(prompts))
        return sample(prompts, *rest)

    monkeypatch.setattr(engine, "_sample", counted)
    prompts = list(enumerate(PROMPTS[:8]))  # two prompts with 4 completions each fill a batch
    sampling = Sampling(n=4, max_tokens=2)
    in_order = [number for number, _ in engine.complete(prompts, sampling)]
    assert sizes == [8] * 4
    sizes.clear()
    (last, _), (before, _) = engine.complete(prompts, sampling, done=in_order[:6])
    assert {last, before} == set(in_order[6:])
    assert sizes == [8]


def test_error_of_the_source_is_raised_after_earlier_results(
    engine: TransformersEngine,
) -> None:
    def prompts() -> Iterator[Messages]:
        yield from PROMPTS[:3]
        raise ValueError("bad input")

    seen = []
    with pytest.raises(ValueError, match="bad input"):
        for completions in engine.generate(prompts(), SAMPLING):
            seen.append(completions)
    assert [len(completions) for completions in seen] == [3, 3, 3]


def test_first_prompts_do_not_depend_on_later_windows(
    engine: TransformersEngine, sampled: list[list[Completion]]
) -> None:
    window = BATCHES_PER_WINDOW * 8 // 3
    assert list(engine.generate(PROMPTS[:window], SAMPLING)) == sampled[:window]


def test_greedy_is_the_argmax_for_any_batch_size(
    tiny_model: Path, engine: TransformersEngine
) -> None:
    greedy = Sampling(temperature=0, max_tokens=8)
    batched = list(engine.generate(PROMPTS, greedy))
    with TransformersEngine(str(tiny_model), batch_size=1) as alone:
        assert list(alone.generate(PROMPTS, greedy)) == batched
    for messages, (completion,) in zip(PROMPTS, batched, strict=True):
        text = render(engine.tokenizer, messages)
        ids = engine.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        length = ids.shape[1]
        with torch.no_grad():
            for _ in range(completion.tokens):
                best = engine.model(ids).logits[0, -1].argmax()
                ids = torch.cat([ids, best.view(1, 1)], dim=1)
        tokens = ids[0, length:].tolist()
        assert engine.tokenizer.decode(tokens, skip_special_tokens=True) == completion.text
        assert (tokens[-1] != engine.tokenizer.eos_token_id) == completion.truncated
        assert engine.tokenizer.eos_token_id not in tokens[:-1]


def test_sampling_keeps_the_callers_random_state(engine: TransformersEngine) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    list(engine.generate(PROMPTS[:2], SAMPLING))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_top_k_of_1_and_tiny_top_p_are_greedy(engine: TransformersEngine) -> None:
    greedy = texts(list(engine.generate(PROMPTS, Sampling(temperature=0, max_tokens=8))))
    for sampling in (Sampling(top_k=1, max_tokens=8), Sampling(top_p=1e-6, max_tokens=8)):
        assert texts(list(engine.generate(PROMPTS, sampling))) == greedy


def test_generation_config_of_a_checkpoint_does_not_change_sampling(
    tiny_model: Path, tmp_path: Path, sampled: list[list[Completion]]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    path = folder / "generation_config.json"
    defaults = {
        "repetition_penalty": 5.0,
        "top_k": 1,
        "top_p": 0.1,
        "temperature": 0.01,
        "do_sample": False,
        "max_new_tokens": 1,
        "no_repeat_ngram_size": 1,
        "num_beams": 3,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | defaults))
    with TransformersEngine(str(folder), batch_size=8) as engine:
        assert list(engine.generate(PROMPTS, SAMPLING)) == sampled


def test_every_eos_token_of_a_checkpoint_ends_a_completion(
    tiny_model: Path, tmp_path: Path, sampled: list[list[Completion]]
) -> None:
    folder = tmp_path / "two_ends"
    shutil.copytree(tiny_model, folder)
    with TransformersEngine(str(tiny_model)) as engine:
        tokenizer = engine.tokenizer
        (first,) = next(engine.generate(PROMPTS, Sampling(temperature=0, max_tokens=8)))
    ids = tokenizer(first.text, add_special_tokens=False)["input_ids"]
    end = ids[2]
    path = folder / "generation_config.json"
    ends = {"eos_token_id": [tokenizer.eos_token_id, end]}
    path.write_text(json.dumps(json.loads(path.read_text()) | ends))
    with TransformersEngine(str(folder)) as engine:
        (cut,) = next(engine.generate(PROMPTS, Sampling(temperature=0, max_tokens=8)))
    assert cut.tokens == ids.index(end) + 1
    assert not cut.truncated
    assert first.text.startswith(cut.text)
    assert first.text != cut.text


def test_truncated_completion_is_marked(sampled: list[list[Completion]]) -> None:
    completions = [completion for group in sampled for completion in group]
    assert all(1 <= completion.tokens <= 12 for completion in completions)
    assert all(completion.tokens == 12 for completion in completions if completion.truncated)
    assert {completion.truncated for completion in completions} == {True, False}


def test_max_tokens_limits_completions(engine: TransformersEngine) -> None:
    for limit in (1, 5):
        results = list(engine.generate(PROMPTS, Sampling(max_tokens=limit)))
        assert max(c.tokens for (c,) in results) == limit


def test_endless_prompts_are_read_one_window_ahead(engine: TransformersEngine) -> None:
    read = 0

    def prompts() -> Iterator[Messages]:
        nonlocal read
        for read in count(1):
            yield PROMPTS[read % len(PROMPTS)]

    window = BATCHES_PER_WINDOW * 8 // 3
    results = engine.generate(prompts(), SAMPLING)
    for number in range(1, 2 * window + 2):
        next(results)
        assert number <= read <= number + window
    results.close()  # type: ignore[attr-defined]


def test_more_completions_per_prompt_than_the_batch_size(engine: TransformersEngine) -> None:
    sampling = Sampling(n=40, max_tokens=4)
    results = list(engine.generate(PROMPTS[:2], sampling))
    assert [len(completions) for completions in results] == [40, 40]
    assert dict(engine.complete(enumerate(PROMPTS[:2]), sampling, done=[0])) == {1: results[1]}


def test_model_without_chat_template_gets_plain_text(plain_model: Path) -> None:
    with TransformersEngine(str(plain_model), batch_size=8) as engine:
        text = render(engine.tokenizer, PROMPTS[0])
        assert text.startswith("system: Reason step by step")
        assert text.endswith("\nuser: reverse the digits of 70\nassistant:")
        results = list(engine.generate(PROMPTS, SAMPLING))
        assert [len(completions) for completions in results] == [3] * len(PROMPTS)


def test_any_text_can_be_a_question(engine: TransformersEngine) -> None:
    for question in ("", "\ud800", "\x00", "é漢", "<pad><eos>"):
        (completions,) = engine.generate([prompt_for(SOLVER, question)], Sampling(max_tokens=2))
        assert len(completions) == 1


def test_sampled_questions_and_malformed_completions(small_base: Path) -> None:
    sampling = Sampling(temperature=1.5, max_tokens=16, seed=3)
    with open_engine("auto", str(small_base), batch_size=8) as engine:
        everything = list(sample_questions(engine, 50, sampling, keep_malformed=True))
        plain = [one.record for one in sample_questions(engine, 50, sampling)]
        boxed = [one.record for one in sample_questions(engine, 50, sampling, require_boxed=True)]
    records = [one.record for one in everything]
    assert all(one.completion.tokens for one in everything)
    questions = [row if row and row["question"] else None for row in records]
    assert len(records) == 50
    assert None in questions
    assert len({row["question"] for row in questions if row}) > 3
    assert plain == questions
    assert boxed == [row if row and row["proposed_answer"] else None for row in questions]


def test_engine_errors_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--engine x: unknown; known: auto, transformers, vllm"):
        open_engine("x", str(tiny_model))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "config.json").write_text("{}")
    with pytest.raises(RzeroError, match=r"cannot load .*broken: ") as error:
        open_engine("transformers", str(broken))
    assert "\n" not in str(error.value)


def test_derived_seeds_are_distinct_and_portable() -> None:
    # the first 8 bytes of sha256("(0, 1)"), halved
    assert derived_seed(0, 1) == 5973285143095172824
    seeds = {derived_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_options_of_other_engines_are_ignored(tiny_model: Path) -> None:
    arguments = {"dtype": "bfloat16", "max_model_len": 5}
    with open_engine("auto", str(tiny_model), arguments=arguments) as engine:
        assert engine.model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    for dtype in ("float99", "int3"):
        with pytest.raises(UsageError, match=f"--dtype {dtype}: unknown"):
            open_engine("transformers", str(tiny_model), arguments={"dtype": dtype})
    with pytest.raises(UsageError, match="--engine openai needs --endpoint URL"):
        open_engine("openai", "m")
    with pytest.raises(UsageError, match="--engine transformers needs a model"):
        open_engine("transformers", None)
