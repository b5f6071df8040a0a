"""Prompt rendering and stopping rules for a model that is loaded locally.

A base model often never writes its end-of-text token and continues with the next turn of the
conversation. So an answer also ends where the model's chat template ends a turn or, without a
template, where the model starts another speaker's line.

A raw prompt is a text that the model gets unchanged. It is treated as lm-eval's `HFLM` treats one:
the same tokens, the same truncation on the left, the same ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rzero_cli.errors import RzeroError
from rzero_cli.method.prompts import Prompt, plain_text

PLAIN_STOPS = ("\nuser:", "\nsystem:")
"""Ends of an answer without a chat template: the next speaker (`method.prompts.plain_text`)."""

CUT = "raw prompts that exceed the model's context are truncated on the left, as by lm-eval"
"""Notice for the user."""

_PROBE = "rzero"


def render(tokenizer: Any, prompt: Prompt, template_args: Mapping[str, Any] = {}) -> str:
    """Return the text that the model continues.

    Args:
        tokenizer: a Hugging Face tokenizer.
        prompt: a conversation, or a text, which is returned unchanged.
        template_args: arguments of the chat template, such as `enable_thinking`; ignored if the
            model has no template.

    Raises:
        RzeroError: the template rejects the conversation.
    """
    if isinstance(prompt, str):
        return prompt
    if not tokenizer.chat_template:
        return plain_text(prompt)
    try:
        return str(
            tokenizer.apply_chat_template(
                prompt, tokenize=False, add_generation_prompt=True, **template_args
            )
        )
    except Exception as error:  # a template is a program and can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RzeroError(f"the model's chat template fails: {reason}") from error


def encode(
    tokenizer: Any,
    prompt: Prompt,
    template_args: Mapping[str, Any] = {},
) -> list[int]:
    """Return the token ids of a prompt; arguments and errors as for `render`.

    The tokenizer adds its special tokens to a raw prompt that does not start with the BOS token.
    """
    # JSON can contain lone surrogates, which tokenizers reject.
    text = render(tokenizer, prompt, template_args).encode("utf-8", "replace").decode()
    if isinstance(prompt, str):
        special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
    else:  # a chat template writes the special tokens itself
        special = not tokenizer.chat_template
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def room_for_prompt(context: int, max_tokens: int) -> int:
    """Return how many tokens of a raw prompt fit; the last ones are used.

    Args:
        context: the model's context length: tokens of prompt and answer together.
        max_tokens: token limit of the answer.

    Raises:
        RzeroError: no token fits.
    """
    if max_tokens >= context:
        raise RzeroError(
            f"answers of {max_tokens:,} tokens leave no room for a prompt in the model's context "
            f"of {context:,} tokens; lower --max-tokens"
        )
    return context - max_tokens


def end_tokens(
    tokenizer: Any,
    declared: int | list[int] | None,
    wanted: Sequence[str] = (),
    *,
    raw: bool = False,
) -> list[int]:
    """Return the ids of the tokens that end an answer, sorted.

    Args:
        tokenizer: supplies its end-of-text token and the special token that its chat template
            writes after an answer.
        declared: `eos_token_id` of the checkpoint's generation_config.json.
        wanted: stop strings. One that is a special token, such as `<|im_end|>`, becomes an end
            token, since decoded text does not show it.
        raw: the prompt is raw, so the chat template does not apply.
    """
    listed = declared if isinstance(declared, list) else [declared]
    ends = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    added = tokenizer.added_tokens_decoder.items()
    ends |= {number for number, token in added if token.special and token.content in wanted}
    return sorted(ends if raw else ends | _turn_end(tokenizer))


def stop_strings(tokenizer: Any, wanted: tuple[str, ...], *, raw: bool = False) -> tuple[str, ...]:
    """Return the strings that end an answer: `wanted`, and `PLAIN_STOPS` if the model has no chat
    template and the prompt is not `raw`."""
    return wanted if raw or tokenizer.chat_template else (*wanted, *PLAIN_STOPS)


def _turn_end(tokenizer: Any) -> set[int]:
    """Return the id of the special token after an answer in the chat template; empty if none."""
    if not tokenizer.chat_template:
        return set()
    turns = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # a template may reject this conversation
        return set()
    after = text.rpartition(_PROBE)[2]
    written = tokenizer(after, add_special_tokens=False)["input_ids"]
    known = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return known & set(written[:1])
