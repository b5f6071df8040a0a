"""Raw prompts are completed as by lm-eval's `HFLM`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from helpers.sampling_checks import assert_k_answers_are_k_samples
from rzero_cli.engines import Completion, Sampling, chat
from rzero_cli.errors import RzeroError
from rzero_cli.method.prompts import SOLVER, Prompt, prompt_for

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from rzero_cli.engines.transformers import TransformersEngine

pytestmark = pytest.mark.slow

SHOTS = "".join(f"Question: What is {n} + {n}?\nAnswer: {2 * n}\n\n" for n in (2, 5, 3))
FEW_SHOT = [f"{SHOTS}Question: What is {n} + 4?\nAnswer:" for n in range(3)]
OTHERS = ["The capital of France is", "def add(a, b):\n", "1, 2, 3, 4,"]
# In the miniature's vocabulary; one prompt below starts with the BOS token.
TINY = [f"{words} {n}" for n in range(6) for words in ("copy the number", "turn around", "7")]


def by_lm_eval(model: Path, prompts: list[str], until: Iterable[str], limit: int) -> list[str]:
    """Return the completions of `HFLM`, one prompt at a time.

    In a batch, it would continue a finished row until all others have finished.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=1)
    settings = {"until": list(until), "max_gen_toks": limit, "do_sample": False}
    return list(
        theirs.generate_until(
            [Instance("generate_until", {}, (p, dict(settings)), 0) for p in prompts],
            disable_tqdm=True,
        )
    )


def greedy(
    model: Path, prompts: Iterable[Prompt], until: Iterable[str], limit: int, **options: Any
) -> list[Completion]:
    sampling = Sampling(temperature=0, max_tokens=limit, stop=tuple(until))
    with TransformersEngine(str(model), **options) as engine:
        return [completion for (completion,) in engine.generate(prompts, sampling)]


@pytest.mark.parametrize("until", [(), ("3", "re")])
def test_raw_completions_of_the_tiny_model_equal_lm_evals(tiny_model: Path, until) -> None:
    prompts = [*TINY, "<bos>7", "7" * 400, " ".join(map(str, range(300)))]
    expected = by_lm_eval(tiny_model, prompts, until, 12)
    notices: list[str] = []
    found = greedy(tiny_model, prompts, until, 12, batch_size=4, notify=notices.append)
    assert [completion.text for completion in found] == expected
    assert len(set(expected)) > 10
    assert notices == [chat.CUT]  # the last two are longer than 256 tokens


@pytest.mark.parametrize("until", [("\n\n", "Question:"), ("<|im_end|>", "</s>", "\n")])
def test_raw_completions_of_a_real_llm_equal_lm_evals(smollm2: Path, until) -> None:
    prompts = FEW_SHOT + OTHERS
    expected = by_lm_eval(smollm2, prompts, until, 12)
    found = greedy(smollm2, prompts, until, 12, batch_size=4)
    assert [completion.text for completion in found] == expected
    assert len(set(expected)) > 3
    assert any(not completion.truncated for completion in found)


def test_chat_stop_strings_do_not_end_raw_completions(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = greedy(plain_model, TINY, (), 12)
    longest = max((completion.text for completion in before), key=len)
    monkeypatch.setattr(chat, "PLAIN_STOPS", (longest[2:4],))
    assert greedy(plain_model, TINY, (), 12) == before
    (ended,) = greedy(plain_model, [prompt_for(SOLVER, "7")], (longest[0],), 12)
    assert longest[2:4] not in ended.text


def test_chats_and_raw_prompts_can_be_mixed_in_a_batch(tiny_model: Path) -> None:
    chats = [prompt_for(SOLVER, text) for text in TINY]
    both: list[Prompt] = [prompt for pair in zip(chats, TINY, strict=True) for prompt in pair]
    apart = [greedy(tiny_model, part, (), 12, batch_size=4) for part in (chats, TINY)]
    mixed = greedy(tiny_model, both, (), 12, batch_size=4)
    assert [mixed[0::2], mixed[1::2]] == apart
    assert apart[0] != apart[1]


def test_max_tokens_of_the_whole_context_is_an_error(tiny_model: Path) -> None:
    message = (
        "answers of 256 tokens leave no room for a prompt in the model's context of 256 tokens"
    )
    with pytest.raises(RzeroError, match=message):
        greedy(tiny_model, ["7"], (), 256)


def test_k_answers_are_k_samples(small_base: Path) -> None:
    # The 8 answers to a prompt are one batch.
    with TransformersEngine(str(small_base), batch_size=8) as engine:
        assert_k_answers_are_k_samples(engine, small_base)
