"""Token estimates for `rzero label --dry-run`, without running a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rzero_cli.engines.chat import encode
from rzero_cli.method.prompts import Messages, plain_text, prompt_for

# For English text in current models' tokenizers; mathematics takes more tokens.
_CHARACTERS_A_TOKEN = 4
SHARES = {"at most": 1.0, "if half as long": 0.5, "if an eighth": 0.125}
"""Fractions of the token limit to show, since the answers' lengths are unknown beforehand."""


def estimate_tokens(
    questions: Iterable[str],
    prompt: Messages,
    *,
    model: str | None,
    template_args: Mapping[str, Any],
    m: int,
    max_tokens: int,
) -> dict[str, Any]:
    """Return the token counts for answering each question m times.

    Args:
        questions: read once.
        prompt: the Solver's prompt.
        model: a model whose tokenizer counts prompts exactly; None estimates from characters.
        template_args: arguments of the model's chat template.
        m: answers per question.
        max_tokens: token limit of an answer.

    Returns:
        `questions`, `answers`, `prompt_tokens` and whether they are exact (`prompt_tokens_exact`),
        and `completion_tokens`, a count for each of `SHARES`.

    Raises:
        RzeroError: the tokenizer cannot be loaded.
    """
    tokenizer = None
    if model is not None:
        from rzero_cli.engines.transformers import load_tokenizer

        tokenizer = load_tokenizer(model)
    number = prompts = 0
    for number, question in enumerate(questions, 1):  # noqa: B007 - the number is reported
        messages = prompt_for(prompt, question)
        if tokenizer is None:
            prompts += len(plain_text(messages)) // _CHARACTERS_A_TOKEN
        else:
            prompts += len(encode(tokenizer, messages, template_args))
    return {
        "questions": number,
        "answers": number * m,
        "prompt_tokens": prompts,
        "prompt_tokens_exact": model is not None,
        "completion_tokens": [round(number * m * max_tokens * s) for s in SHARES.values()],
    }
