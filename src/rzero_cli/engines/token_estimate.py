"""How many tokens a labelling takes, before any model is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from rzero_cli.method.prompts import Messages, plain_text, prompt_for

# English text in the tokenizers of today's models; mathematics takes more.
_CHARACTERS_A_TOKEN = 4
SHARES = {"at most": 1.0, "if half as long": 0.5, "if an eighth": 0.125}
"""How long answers turn out is known afterwards only, so fractions of the limit are shown."""


def estimate_tokens(
    questions: Iterable[str],
    prompt: Messages,
    *,
    model: str | None,
    template_args: Mapping[str, Any],
    m: int,
    max_tokens: int,
) -> dict[str, Any]:
    """Return the tokens that it takes to answer each question m times.

    Args:
        questions: read once.
        prompt: what a question is put into.
        model: its tokenizer counts exactly; None for a served one, of which an estimate is made.
        template_args: for the model's chat template.
        m, max_tokens: answers a question, and their greatest length.
    """
    count = _about if model is None else _tokens_of(model, template_args)
    number = prompts = 0
    for number, question in enumerate(questions, 1):  # noqa: B007 - the number is reported
        prompts += count(prompt_for(prompt, question))
    return {
        "questions": number,
        "answers": number * m,
        "prompt_tokens": prompts,
        "prompt_tokens_exact": model is not None,
        "completion_tokens": [round(number * m * max_tokens * s) for s in SHARES.values()],
    }


def _about(messages: Messages) -> int:
    return len(plain_text(messages)) // _CHARACTERS_A_TOKEN


def _tokens_of(model: str, template_args: Mapping[str, Any]) -> Callable[[Messages], int]:
    from rzero_cli.engines.chat import encode
    from rzero_cli.engines.transformers import load_tokenizer

    tokenize = partial(encode, load_tokenizer(model), template_args=template_args)
    return lambda messages: len(tokenize(messages))
