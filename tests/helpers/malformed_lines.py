"""Lines that are no record, each with the reason that is given."""

from __future__ import annotations

import json
from typing import Any

from rzero_cli.data.jsonl import BYTE_ORDER_MARK


def _good(k: int, **more: Any) -> bytes:
    record = {"question": f"copy the number 0{k}", "answer": "1", "p_hat": 0.5}
    return json.dumps(record | {"answers": ["1", "2"], "reference": "1"} | more).encode()


_REST = b'"question":"q","answer":"1","answers":["1"],"reference":"1","p_hat":0.5}'
BAD = {
    "no JSON": (b"nonsense", "not JSON"),
    "cut off": (_good(0)[:-9], "not JSON"),
    "two on a line": (_good(0) + _good(1), "not JSON"),
    "not UTF-8": (b'{"a":"\xff",' + _REST, "not UTF-8"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80",' + _REST, "not UTF-8"),
    "UTF-16": (_good(0).decode().encode("utf-16-le"), "not JSON"),
    "NUL bytes": (bytes(4096), "not JSON"),
    "NUL in a text": (b'{"a":"\0",' + _REST, "not JSON"),
    "a mark inside": (b'{"a":1,' + BYTE_ORDER_MARK + _REST, "not JSON"),
    "NaN": (b'{"a":NaN,' + _REST, "NaN is not JSON"),
    "Infinity": (b'{"a":-Infinity,' + _REST, "-Infinity is not JSON"),
    "out of range": (b'{"a":1e999,' + _REST, "1e999 is out of range"),
    "nested": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"," + _REST, "nested too deeply"),
    "a list": (b"[" + _good(0) + b"]", "expected one JSON object a line"),
    "null": (b"null", "expected one JSON object a line"),
}
