"""JSON lines: written from records, read from a command's output or from a log of metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import Ended


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def records(ended: Ended) -> list[dict[str, Any]]:
    """The records that a successful command wrote to standard output."""
    assert ended.status == 0, ended.stderr
    return [json.loads(line) for line in ended.lines]


def journaled(part: Path) -> dict[int, Any]:
    """What a journal has of each input, by its number; a last line that is not whole is left out.
    No input has two records."""
    lines = [json.loads(line) for line in part.read_bytes().split(b"\n")[:-1]]
    records = [number for number, value in lines if not isinstance(value, list)]
    assert len({*records}) == len(records)
    return dict(lines)


def recorded(part: Path) -> dict[int, Any]:
    """The records of a journal, by the numbers of their inputs, without what is only kept."""
    return {n: value for n, value in journaled(part).items() if not isinstance(value, list)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log: whole lines, of JSON alone."""
    text = path.read_text()
    assert text.endswith("\n")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
