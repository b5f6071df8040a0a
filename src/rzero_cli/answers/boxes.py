"""The boxed answer of a completion."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BLANK = re.compile(r"\{\s*\}")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[-+]?\d[\d,./]*(?<![,./])|[A-Za-z](?![A-Za-z])")


def extract_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}`, or None if there is none.

    Braces nest, `\{` is not a brace, and `\boxed 5` boxes one number or letter. If the last box is
    truncated or blank, there is no answer, since it superseded the earlier boxes. Nor is there one
    if the completion ends inside `<think>`. Of nested boxes the inner one counts. Time is linear in
    the text.
    """
    return None if ends_in_thought(text) else last_box(text) or None


def ends_in_thought(text: str) -> bool:
    """Return True if a completion was truncated inside `<think>`, so that nothing is an answer."""
    return text.rfind("<think>") > text.rfind("</think>")


def last_box(text: str) -> str | None:
    """Do as `extract_boxed`, but return "" if the last box is blank or truncated."""
    return next((content for _, content in boxes(text)), None)


def boxes(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield place and content of each box, the last first; "" if it is blank or truncated.

    A `\boxed` in running prose has no content and is skipped.
    """
    for box in reversed(list(_BOX.finditer(text))):
        if text.startswith("{", box.end()):
            yield box.start(), _braced(text, box.end())
        elif bare := _BARE.match(text, box.end()):
            yield box.start(), bare.group()


def is_blank_box(text: str) -> bool:
    r"""Return True if a completion's last box exists and is blank: `\boxed{ }`."""
    boxes = [] if ends_in_thought(text) else list(_BOX.finditer(text))
    return bool(boxes) and _BLANK.match(text, boxes[-1].end()) is not None


def _braced(text: str, start: int) -> str:
    depth = 0
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start + 1 : match.start()].strip()
    return ""
