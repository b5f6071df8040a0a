"""Fuzz targets for records: parsing questions, ids, JSON lines written and read back."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from hypothesis import strategies as st

from rzero_cli.data.json_text import dumps, quick_parser
from rzero_cli.data.jsonl import parse_line
from rzero_cli.method.question import parse_question, question_id
from rzero_cli.system.terminal import json_on_terminal, printable

tagged = st.lists(
    st.text(max_size=20)
    | st.sampled_from(["<question>", "</question>", "<question", r"\boxed{", "}", "\n", "\ud800"])
).map("".join)
texts = st.text(st.characters(exclude_categories=[]), max_size=30)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
records = st.dictionaries(texts, values, max_size=5)


def questions(text: str) -> None:
    question, answer = parse_question(text)
    assert question is None or (question and question == question.strip() and question in text)
    assert question is not None or answer is None
    required, proposed = parse_question(text, require_boxed=True)
    assert (required is None) == (question is None or answer is None)
    assert required is None or (required, proposed) == (question, answer)
    assert re.fullmatch("[0-9a-f]{16}", question_id(text))


def round_trip(record: dict[str, Any]) -> None:
    line = dumps(record)
    assert b"\n" not in line
    assert json.loads(line) == record
    for strict in (False, True):
        parsed = parse_line("x", 1, line + b"\n", strict=strict)
        assert parsed is not None
        assert parsed.record == record
        assert list(parsed.record) == list(record)
        try:
            quick = quick_parser(strict=strict)(line)
        except (ValueError, RecursionError):
            continue
        assert quick == (record if strict else orjson.loads(line))


def shown(record: dict[str, Any]) -> None:
    line = json_on_terminal(dumps(record))
    assert json.loads(line) == record
    for text in (line.decode(), printable("".join(record))):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)


TARGETS = {
    "questions of completions": (tagged, questions),
    "records there and back": (records, round_trip),
    "records on a terminal": (records, shown),
}
