"""Parse Markdown tables for the tests."""

from __future__ import annotations

__all__ = ["rows", "rows_by_name"]


def rows(block: str) -> list[list[str]]:
    """Return the cells of each row of a block's first table, without its head."""
    lines = block.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def rows_by_name(block: str) -> dict[str, list[str]]:
    """Return the same rows by their first cell."""
    return {first: rest for first, *rest in rows(block)}
