"""Chat templates, end tokens and stop strings, on real tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rzero_cli.engines import Sampling
from rzero_cli.method.prompts import SOLVER, prompt_for

pytest.importorskip("transformers")

from rzero_cli.engines.chat import PLAIN_STOPS, encode, end_tokens, render, stop_strings

# The relevant parts of Qwen3's and Llama 3's templates.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
LLAMA = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    "<|eot_id|>{% endfor %}"
)


@pytest.fixture
def tokenizer(tiny_model: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize(("template", "end"), [(CHATML, "<|im_end|>"), (LLAMA, "<|eot_id|>")])
def test_end_tokens_include_the_templates_end_of_turn(tokenizer, template: str, end: str) -> None:
    """A base model's end-of-text token differs from the token after an answer in its template."""
    tokenizer.add_special_tokens({"extra_special_tokens": [end]})
    tokenizer.chat_template = template
    turn_end, own = tokenizer.convert_tokens_to_ids(end), tokenizer.eos_token_id
    assert turn_end != own
    assert end_tokens(tokenizer, None) == sorted([own, turn_end])
    assert end_tokens(tokenizer, 3) == sorted({3, own, turn_end})
    assert end_tokens(tokenizer, [3, 4]) == sorted({3, 4, own, turn_end})


def test_raw_prompt_has_no_template_and_no_chat_stops(tokenizer) -> None:
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_end|>", "<|other|>"]})
    tokenizer.add_tokens(["plainly"])
    turn_end, other = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|other|>"])
    tokenizer.chat_template = CHATML
    own = tokenizer.eos_token_id
    assert end_tokens(tokenizer, 3, raw=True) == sorted({3, own})
    # Decoded text does not show special tokens, so such a stop string becomes an end token.
    stops = ("<|other|>", "plainly", "x")
    assert end_tokens(tokenizer, None, stops, raw=True) == sorted({own, other})
    assert end_tokens(tokenizer, None, stops) == sorted({own, turn_end, other})
    assert render(tokenizer, "as it is\n", {"enable_thinking": False}) == "as it is\n"
    tokenizer.chat_template = None
    assert stop_strings(tokenizer, ("x",), raw=True) == ("x",)


def test_raw_prompt_gets_one_bos_token(smollm2: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    start = tokenizer.bos_token
    plain = tokenizer("1 + 1 =")["input_ids"]
    assert encode(tokenizer, "1 + 1 =") == plain
    # As Llama's tokenizer does.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.bos_token_id)]
    )
    assert encode(tokenizer, "1 + 1 =") == [tokenizer.bos_token_id, *plain]
    assert encode(tokenizer, start + "1 + 1 =") == [tokenizer.bos_token_id, *plain]


def test_template_without_special_token_adds_no_end_token(tokenizer) -> None:
    own = [tokenizer.eos_token_id]
    for template in (
        "{% for m in messages %}{{ m.content }} {% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ messages[0].missing.attribute }}",
    ):
        tokenizer.chat_template = template
        assert end_tokens(tokenizer, None) == own


def test_without_template_another_speakers_line_is_a_stop_string(tokenizer) -> None:
    assert stop_strings(tokenizer, ("x",)) == ("x",)
    tokenizer.chat_template = None
    assert stop_strings(tokenizer, ("x",)) == ("x", *PLAIN_STOPS)
    assert end_tokens(tokenizer, None) == [tokenizer.eos_token_id]
    text = render(tokenizer, prompt_for(SOLVER, "1 + 1"))
    assert all(stop in "\n" + text for stop in PLAIN_STOPS)


def test_chat_template_gets_its_arguments(tokenizer) -> None:
    tokenizer.chat_template = CHATML
    messages = prompt_for(SOLVER, "1 + 1")
    assert "<think>" not in render(tokenizer, messages)
    off = render(tokenizer, messages, {"enable_thinking": False})
    assert off.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


@pytest.mark.slow
def test_transformers_engine_ends_at_stop_strings_and_other_speakers(
    tiny_model: Path, plain_model: Path
) -> None:
    from rzero_cli.engines.transformers import TransformersEngine

    prompts = [prompt_for(SOLVER, f"copy the number {n}") for n in range(12)]
    greedy = Sampling(temperature=0, max_tokens=12)
    with TransformersEngine(str(tiny_model), batch_size=8) as engine:
        plain = [c for (c,) in engine.generate(prompts, greedy)]
        middle = max((c.text for c in plain), key=len)[1:3]
        assert len(middle) == 2
        stopping = Sampling(temperature=0, max_tokens=12, stop=(middle, "never written"))
        stopped = [c for (c,) in engine.generate(prompts, stopping)]
        tokenizer = engine.tokenizer
    for before, after in zip(plain, stopped, strict=True):
        assert after.text == before.text.split(middle)[0]
        if middle in before.text:
            assert not after.truncated
            ids = tokenizer(before.text, add_special_tokens=False)["input_ids"]
            needed = next(k for k in range(len(ids)) if middle in tokenizer.decode(ids[: k + 1]))
            assert after.tokens == needed + 1
        else:
            assert after == before
    assert sum(middle in c.text for c in plain) > 0
    assert any(middle not in c.text for c in plain)
    with TransformersEngine(str(plain_model), batch_size=8) as engine:
        sampled = [c for (c,) in engine.generate(prompts, greedy)]
        number, free = max(enumerate(sampled), key=lambda pair: len(pair[1].text))
        assert len(free.text) > 4
        # Replace the stop string by text that this model does write.
        from rzero_cli.engines import chat

        original, chat.PLAIN_STOPS = chat.PLAIN_STOPS, (free.text[2:4],)
        try:
            ended = [c for (c,) in engine.generate(prompts, greedy)][number]
        finally:
            chat.PLAIN_STOPS = original
    assert ended.text == free.text.split(free.text[2:4])[0]
    assert not ended.truncated
