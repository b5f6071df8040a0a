"""Lines that are not valid records, each with the expected reason."""

from __future__ import annotations

import json
from typing import Any

from rzero_cli.data.jsonl import BYTE_ORDER_MARK


def good_line(k: int, **more: Any) -> bytes:
    record = {"question": f"copy the number 0{k}", "answer": "1", "p_hat": 0.5}
    return json.dumps(record | {"answers": ["1", "2"], "reference": "1"} | more).encode()


REST = b'"question":"q","answer":"1","answers":["1"],"reference":"1","p_hat":0.5}'
BAD = {
    "no JSON": (b"nonsense", "not JSON"),
    "truncated": (good_line(0)[:-9], "not JSON"),
    "two on a line": (good_line(0) + good_line(1), "not JSON"),
    "not UTF-8": (b'{"a":"\xff",' + REST, "not UTF-8"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80",' + REST, "not UTF-8"),
    "UTF-16": (good_line(0).decode().encode("utf-16-le"), "not JSON"),
    "NUL bytes": (bytes(4096), "not JSON"),
    "NUL in a text": (b'{"a":"\0",' + REST, "not JSON"),
    "a mark inside": (b'{"a":1,' + BYTE_ORDER_MARK + REST, "not JSON"),
    "NaN": (b'{"a":NaN,' + REST, "NaN is not JSON"),
    "Infinity": (b'{"a":-Infinity,' + REST, "-Infinity is not JSON"),
    "out of range": (b'{"a":1e999,' + REST, "1e999 is out of range"),
    "nested": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"," + REST, "nested too deeply"),
    "a list": (b"[" + good_line(0) + b"]", "expected one JSON object per line"),
    "null": (b"null", "expected one JSON object per line"),
}
