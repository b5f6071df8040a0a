"""JSON lines, written from records or read from a command's output or a log of metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import Ended


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def records(ended: Ended) -> list[dict[str, Any]]:
    """Return the records that a successful command wrote to standard output."""
    assert ended.status == 0, ended.stderr
    return [json.loads(line) for line in ended.lines]


def journaled(part: Path) -> dict[int, Any]:
    """Return number of an input -> its last value in a journal, ignoring an incomplete last line.

    Also check that no input has two records.
    """
    lines = [json.loads(line) for line in part.read_bytes().split(b"\n")[:-1]]
    records = [number for number, value in lines if not isinstance(value, list)]
    assert len({*records}) == len(records)
    return dict(lines)


def recorded(part: Path) -> dict[int, Any]:
    """Return number of an input -> its record in a journal, without partial results."""
    return {n: value for n, value in journaled(part).items() if not isinstance(value, list)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, which must be complete lines of JSON."""
    text = path.read_text()
    assert text.endswith("\n")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
