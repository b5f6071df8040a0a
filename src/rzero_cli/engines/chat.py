"""How a conversation is put to a model that is loaded here, and where its answer ends.

A base model often never writes its end-of-text token: it goes on with the next turn of a
conversation that nobody asked for. So an answer also ends where the model's own chat template ends
a turn, and, for a model without a template, where it begins to write somebody else's line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rzero_cli.core.prompts import Messages, plain_text

__all__ = ["PLAIN_STOPS", "encode", "end_tokens", "render", "stop_strings"]

PLAIN_STOPS = ("\nuser:", "\nsystem:")
"""Where a model without a chat template has left its own turn (`core.prompts.plain_text`)."""

_PROBE = "rzero"


def render(tokenizer: Any, messages: Messages, template_args: Mapping[str, Any] = {}) -> str:
    """The text a model is given for a prompt, up to where it is to go on.

    Args:
        tokenizer: a Hugging Face tokenizer.
        messages: the prompt.
        template_args: passed to the chat template, such as `enable_thinking`; a model without a
            template has no use for them.
    """
    if not tokenizer.chat_template:
        return plain_text(messages)
    return str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **template_args
        )
    )


def encode(
    tokenizer: Any,
    messages: Messages,
    template_args: Mapping[str, Any] = {},
) -> list[int]:
    """The tokens a model is given for a prompt; arguments as for `render`."""
    # A chat template writes its own special tokens.
    special = not tokenizer.chat_template
    # JSON can hold lone surrogates, which no tokenizer takes.
    text = render(tokenizer, messages, template_args).encode("utf-8", "replace").decode()
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def end_tokens(tokenizer: Any, declared: int | list[int] | None) -> list[int]:
    """The tokens that end an answer, sorted.

    Args:
        tokenizer: its end-of-text token, and the special token that its chat template writes
            after an answer.
        declared: `eos_token_id` of the checkpoint's generation_config.json.
    """
    listed = declared if isinstance(declared, list) else [declared]
    ends = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    return sorted(ends | _turn_end(tokenizer))


def stop_strings(tokenizer: Any, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What ends an answer as text: what was asked for, and the guard of a model without a
    template."""
    return wanted if tokenizer.chat_template else (*wanted, *PLAIN_STOPS)


def _turn_end(tokenizer: Any) -> set[int]:
    """The special token after an answer in the model's own chat template; empty without one."""
    if not tokenizer.chat_template:
        return set()
    turns = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # a template is somebody's program: one that refuses this has no say
        return set()
    after = text.rpartition(_PROBE)[2]
    written = tokenizer(after, add_special_tokens=False)["input_ids"]
    known = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return known & set(written[:1])
