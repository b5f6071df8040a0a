"""`rzero label --dry-run`: the tokens of a labelling, and what a hosted model asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import typer

from rzero_cli.commands._run import print_json
from rzero_cli.errors import UsageError
from rzero_cli.method.prompts import Messages, plain_text, prompt_for

__all__ = ["parse_price", "print_estimate"]

# English text in the tokenizers of today's models; mathematics takes more.
_CHARACTERS_A_TOKEN = 4
# How long answers turn out is known afterwards only, so shares of the limit are shown.
_SHARES = {"at most": 1.0, "if half as long": 0.5, "if an eighth": 0.125}


def parse_price(text: str | None) -> tuple[float, float] | None:
    """What --price says: for a million tokens of prompts and of completions. Raises UsageError."""
    if text is None:
        return None
    try:
        prompt, completion = (float(part) for part in text.split("/"))
    except ValueError:
        raise UsageError(f"--price {text}: must be PROMPT/COMPLETION, such as 0.15/0.60") from None
    if not (0 <= prompt < 1e9 and 0 <= completion < 1e9):
        raise UsageError(f"--price {text}: must be two numbers, neither negative")
    return prompt, completion


def print_estimate(
    questions: Iterable[str],
    prompt: Messages,
    *,
    model: str | None,
    how: Mapping[str, Any],
    m: int,
    max_tokens: int,
    price: tuple[float, float] | None,
    as_json: bool,
) -> None:
    """Print, on standard output, what asking each question m times takes.

    Args:
        questions: read once; no model is asked.
        prompt: what a question is put into.
        model, how: the Solver; the tokenizer of one that is here counts exactly.
        m, max_tokens: answers a question that are drawn, and their greatest length.
        price: of a million tokens of prompts and of completions, in whatever currency.
        as_json: for machines.
    """
    exact = not how["endpoints"]
    count = _tokens_of(model or "", how["template_args"]) if exact else _about
    number = prompts = 0
    for number, question in enumerate(questions, 1):  # noqa: B007 - the number is reported
        prompts += count(prompt_for(prompt, question))
    rows = {f"answers, {name}": round(number * m * max_tokens * s) for name, s in _SHARES.items()}
    found: dict[str, Any] = {
        "questions": number,
        "answers": number * m,
        "prompt_tokens": prompts,
        "prompt_tokens_exact": exact,
        "completion_tokens": list(rows.values()),
    }
    if price:
        found["cost"] = [_cost(prompts, tokens, price) for tokens in rows.values()]
    if as_json:
        print_json(found)
        return
    typer.echo(f"{number:,} questions x {m} answers of at most {max_tokens:,} tokens")
    typer.echo(f"{'prompts, once each' if exact else 'prompts, about':<28}{prompts:>18,} tokens")
    for i, (name, tokens) in enumerate(rows.items()):
        cost = f"   {found['cost'][i]:>14,.2f} with the prompts" if price else ""
        typer.echo(f"{name:<28}{tokens:>18,} tokens{cost}")


def _cost(prompts: int, completions: int, price: tuple[float, float]) -> float:
    return round((prompts * price[0] + completions * price[1]) / 1e6, 4)


def _about(messages: Messages) -> int:
    return len(plain_text(messages)) // _CHARACTERS_A_TOKEN


def _tokens_of(model: str, template_args: Mapping[str, Any]) -> Callable[[Messages], int]:
    from rzero_cli.engines.chat import encode
    from rzero_cli.engines.transformers import load_tokenizer

    tokenize = partial(encode, load_tokenizer(model), template_args=template_args)
    return lambda messages: len(tokenize(messages))
