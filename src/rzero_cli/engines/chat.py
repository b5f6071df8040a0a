"""How a prompt is put to a model that is loaded here, and where its answer ends.

A base model often never writes its end-of-text token: it goes on with the next turn of a
conversation that nobody asked for. So an answer also ends where the model's own chat template ends
a turn, and, for a model without a template, where it begins to write somebody else's line.

A raw prompt is a text that the model is given as it is. It gets no more than lm-eval's `HFLM` gives
it: the same tokens, the same cut on the left, the same ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rzero_cli.errors import RzeroError
from rzero_cli.method.prompts import Prompt, plain_text

PLAIN_STOPS = ("\nuser:", "\nsystem:")
"""Where a model without a chat template has left its own turn (`method.prompts.plain_text`)."""

CUT = "a raw prompt that is too long for the model's context is cut on the left, as by lm-eval"
"""What a person is told of that."""

_PROBE = "rzero"


def render(tokenizer: Any, prompt: Prompt, template_args: Mapping[str, Any] = {}) -> str:
    """The text a model is given for a prompt, up to where it is to go on.

    Args:
        tokenizer: a Hugging Face tokenizer.
        prompt: a conversation, or a text, which stays as it is.
        template_args: passed to the chat template, such as `enable_thinking`; a model without a
            template has no use for them.

    Raises:
        RzeroError: the template refuses the conversation.
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
    except Exception as error:  # a template is somebody's program
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RzeroError(f"the model's chat template fails: {reason}") from error


def encode(
    tokenizer: Any,
    prompt: Prompt,
    template_args: Mapping[str, Any] = {},
) -> list[int]:
    """The tokens a model is given for a prompt; arguments as for `render`.

    The tokenizer adds its special tokens to a raw prompt, unless that begins with one itself.
    """
    # JSON can hold lone surrogates, which no tokenizer takes.
    text = render(tokenizer, prompt, template_args).encode("utf-8", "replace").decode()
    if isinstance(prompt, str):
        special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
    else:  # a chat template writes its own
        special = not tokenizer.chat_template
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def room_for_prompt(context: int, max_tokens: int) -> int:
    """How many tokens of a raw prompt the model is given, the last ones.

    Args:
        context: tokens of prompt and answer together that the model can take.
        max_tokens: of the answer.

    Raises:
        RzeroError: none.
    """
    if max_tokens >= context:
        raise RzeroError(
            f"answers of {max_tokens:,} tokens leave no room for a prompt in the model's context "
            f"of {context:,} tokens"
        )
    return context - max_tokens


def end_tokens(
    tokenizer: Any,
    declared: int | list[int] | None,
    wanted: Sequence[str] = (),
    *,
    raw: bool = False,
) -> list[int]:
    """The tokens that end an answer, sorted.

    Args:
        tokenizer: its end-of-text token, and the special token that its chat template writes
            after an answer.
        declared: `eos_token_id` of the checkpoint's generation_config.json.
        wanted: stop strings. One that is a special token, such as `<|im_end|>`, is an end token,
            since it is not to be seen in the text.
        raw: of an answer to a raw prompt, which no chat template has a part in.
    """
    listed = declared if isinstance(declared, list) else [declared]
    ends = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    added = tokenizer.added_tokens_decoder.items()
    ends |= {number for number, token in added if token.special and token.content in wanted}
    return sorted(ends if raw else ends | _turn_end(tokenizer))


def stop_strings(tokenizer: Any, wanted: tuple[str, ...], *, raw: bool = False) -> tuple[str, ...]:
    """What ends an answer as text: what was asked for, and the guard of a model without a
    template, unless the prompt is `raw`."""
    return wanted if raw or tokenizer.chat_template else (*wanted, *PLAIN_STOPS)


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
