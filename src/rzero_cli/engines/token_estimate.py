"""How many tokens a labelling takes, before any model is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rzero_cli.engines.chat import encode
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
    tokenizer = None
    if model is not None:
        from rzero_cli.engines.transformers import load_tokenizer

        tokenizer = load_tokenizer(model)
    number = prompts = 0
    for number, question in enumerate(questions, 1):  # noqa: B007 - the number is reported
        asked = prompt_for(prompt, question)
        if tokenizer is None:
            prompts += len(plain_text(asked)) // _CHARACTERS_A_TOKEN
        else:
            prompts += len(encode(tokenizer, asked, template_args))
    return {
        "questions": number,
        "answers": number * m,
        "prompt_tokens": prompts,
        "prompt_tokens_exact": model is not None,
        "completion_tokens": [round(number * m * max_tokens * s) for s in SHARES.values()],
    }
