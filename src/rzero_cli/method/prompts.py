"""The prompts of the two roles; `--prompt-file` replaces them.

A prompt is a list of chat messages, rendered with the tokenizer's chat template, or as plain
`role: text` lines if it has none. Engines also take a raw prompt, a text passed to the model
unchanged, as lm-eval's tasks use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rzero_cli.errors import UsageError

Messages = list[dict[str, str]]
Prompt = Messages | str

CHALLENGER: Messages = [
    {
        "role": "system",
        "content": (
            "You set problems for mathematics competitions. Think privately first: pick any field "
            "of mathematics and work out a problem of your own that is not in the textbooks, that "
            "has one answer which can be checked, and that fewer than 30 % of strong high-school "
            "students would solve. Then write exactly two things and nothing else: the problem, "
            "complete in itself, as\n<question>\n...\n</question>\nand its final answer as "
            "\\boxed{...}."
        ),
    },
    {"role": "user", "content": "Set one new, hard problem in the format described."},
]

SOLVER: Messages = [
    {
        "role": "system",
        "content": "Reason step by step, and put your final answer in \\boxed{}.",
    },
    {"role": "user", "content": "{question}"},
]


def prompt_for(template: Messages, question: str = "") -> Messages:
    """Return `template` with every `{question}` replaced by the question."""
    return [m | {"content": m["content"].replace("{question}", question)} for m in template]


def plain_text(messages: Messages) -> str:
    """Render messages for a model without a chat template."""
    return "\n".join(f"{m['role']}: {m['content']}" for m in messages) + "\nassistant:"


def load_prompt(path: str | None, default: Messages) -> Messages:
    """Read a prompt: JSON messages, or plain text that becomes one user message.

    Raises:
        UsageError: the file is missing or neither of the two, or a Solver's prompt lacks
            `{question}`.
    """
    if path is None:
        return default
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--prompt-file {path}: {reason}") from error
    messages = _messages(path, text)
    if default is SOLVER and not any("{question}" in m["content"] for m in messages):
        raise UsageError(f"--prompt-file {path}: a Solver's prompt must contain {{question}}")
    return messages


def _messages(path: str, text: str) -> Messages:
    if not text.lstrip().startswith("["):
        return [{"role": "user", "content": text.strip()}]
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--prompt-file {path}: not JSON: {error}") from error
    good = bool(value) and all(
        isinstance(m, dict)
        and set(m) == {"role", "content"}
        and all(isinstance(part, str) for part in m.values())
        for m in value
    )
    if not good:
        raise UsageError(
            f'--prompt-file {path}: expected [{{"role": "...", "content": "..."}}, ...]'
        )
    return list(value)
