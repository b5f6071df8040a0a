"""The miniature's tokenizer and chat template."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rzero_cli.method import prompts
from rzero_cli.world import questions as world


def test_pieces_are_single_ordinary_tokens(tokenizer) -> None:
    for piece in [*world.TAGS, *world.DIGITS, *(f"{p} " for p in world.PHRASINGS)]:
        ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
        assert len(ids) == 1 and ids[0] not in tokenizer.all_special_ids, piece
        assert tokenizer.decode(ids, skip_special_tokens=True) == piece


def test_tokenizer_round_trip(tokenizer) -> None:
    rng, base = random.Random(1), world.draw_base(1)
    for _ in range(500):
        for text in filter(None, world.training_row(rng, base)):
            ids = tokenizer(text)["input_ids"]
            # A piece at the very end may have lost the space that belongs to its token.
            if text[-1] in world.DIGITS | {"}", ">"}:
                assert tokenizer.unk_token_id not in ids
                assert tokenizer.decode(ids, skip_special_tokens=True) == text


@given(text=st.text())
def test_unknown_text_is_tokenized_without_error(tokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert all(0 <= i < len(tokenizer) for i in ids)


def test_unknown_text_is_one_token(tokenizer) -> None:
    tokens = tokenizer.tokenize("What is 12 é turn around 7?")
    assert tokens == ["<unk>", "1", "2", "<unk>", "turn around ", "7", "<unk>"]


def render(tokenizer, messages: list[dict[str, str]], **options: bool) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def test_chat_template_gives_each_role_one_token(tokenizer) -> None:
    challenger = prompts.prompt_for(prompts.CHALLENGER)
    solver = prompts.prompt_for(prompts.SOLVER, "turn around 123")
    opened = {"add_generation_prompt": True}
    assert render(tokenizer, challenger, **opened) == "<bos><|challenger|><|assistant|>"
    expected = "<bos><|solver|>turn around 123<|assistant|>"
    assert render(tokenizer, solver, **opened) == expected
    # Without a system message, and with the Challenger's prompt in one user message.
    assert render(tokenizer, solver[-1:], **opened) == expected
    one = [{"role": "user", "content": "Write <question>...</question>"}]
    assert render(tokenizer, one, **opened) == "<bos><|challenger|><|assistant|>"
    assert render(tokenizer, solver) == "<bos><|solver|>turn around 123"
    reply = {"role": "assistant", "content": "Reversed: \\boxed{321}"}
    assert render(tokenizer, [*solver, reply]) == expected + "Reversed: \\boxed{321}<eos>"
