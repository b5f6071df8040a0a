"""Secrets, which come from the environment and must not appear anywhere else.

A key on the command line would be visible in `ps`, and one in an option would be in every record.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_VARIABLE = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD)$")
_SHORTEST = 8  # `none` and `EMPTY`, used for servers without keys, also occur in messages
_FIELD = re.compile(
    r"(api|access|private|secret|account|ssh)[-_ ]?key|authoriz|header|secret|bearer"
    r"|passw|passphrase|^pwd$|credential|cookie"
    r"|(^|[-_])(hf|hub|auth|access|api|secret|refresh)[-_]?token$|^(token|key)$",
    re.IGNORECASE,
)


def _keys() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if value and _VARIABLE.search(name)}


def redact(text: str) -> str:
    """Return `text` with each key of the environment replaced by its variable's name.

    Servers echo keys: "Incorrect API key provided: sk-...".
    """
    # The longest first, since one key may start with another.
    for name, value in sorted(_keys().items(), key=lambda key: -len(key[1])):
        if len(value) >= _SHORTEST and value in text:
            text = text.replace(value, f"<{name}>")
    return text


def without_keys() -> dict[str, str]:
    """Return the environment without keys, for a process that does not need them."""
    keys = _keys()
    return {name: value for name, value in os.environ.items() if name not in keys}


def key_named_in(values: Mapping[str, Any]) -> str | None:
    """Return the first field, at any depth, whose name looks like a key, or None."""
    for name, value in values.items():
        if _FIELD.search(name):
            return name
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping) and (found := key_named_in(inner)):
                return found
    return None


def without_userinfo(text: str) -> str:
    """Return `text`, a sequence of URLs, without user info, queries and fragments."""
    return " ".join(_bare(word) if "://" in word else word for word in text.split())


def _bare(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<not a URL>"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
