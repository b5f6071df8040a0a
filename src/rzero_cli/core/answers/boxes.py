"""The answer of a completion: its last box."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[-+]?\d[\d,./]*(?<![,./])|[A-Za-z](?![A-Za-z])")


def extract_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}`, or None if there is none.

    Braces nest, `\{` is not a brace, and `\boxed 5` boxes one number or letter. If the last box is
    cut off, there is no answer: what stood in an earlier box had been superseded. A blank box is
    no answer either. Of nested boxes the inner one counts. Time is linear in the text.
    """
    for box in reversed(list(_BOX.finditer(text))):
        if text.startswith("{", box.end()):
            return _braced(text, box.end())
        if bare := _BARE.match(text, box.end()):
            return bare.group()
    return None  # a `\boxed` in running prose holds nothing and was passed over


def _braced(text: str, start: int) -> str | None:
    depth = 0
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start + 1 : match.start()].strip() or None
    return None
