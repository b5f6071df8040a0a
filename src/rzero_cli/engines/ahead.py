"""Completions that are there before the records that are made of them, kept beside a journal.

A journal has one line for each input, in order. Behind a long answer the others wait for their
turn, and a batch of questions that is rewarded together waits for its last answer: what is finished
by then would be lost at an interruption.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path

from rzero_cli.engines import Completion
from rzero_cli.method.prompts import Prompt

__all__ = ["Ahead"]


class Ahead:
    """Completions by number and prompt, in a file that a continued run goes on with.

    Each is written at once, as a line; a torn last line is left out. Nobody depends on it: where it
    cannot be written, nothing is kept.

    Args:
        path: the file, whose owner removes it; None keeps nothing.
        start: inputs before this one have their records.
    """

    def __init__(self, path: Path | None, start: int = 0) -> None:
        self._path = path
        self._first = 0
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str], list[Completion]] = {}
        if path is not None and path.is_file():
            lines = path.read_bytes().split(b"\n")[:-1]
            # No line of ours is wrong, but after a loss of power.
            with suppress(ValueError, TypeError):
                for number, key, completions in map(json.loads, lines):
                    if number >= start:
                        self._kept[number, key] = [Completion(*values) for values in completions]
            kept = [_line(*place, values) for place, values in self._kept.items()]
            with suppress(OSError):
                new = path.with_name(f".{path.name}")
                new.write_bytes(b"".join(kept))
                new.replace(path)

    def after(self, first: int) -> Ahead:
        """The same for inputs that are counted from number `first` on."""
        view = copy(self)
        view._first = self._first + first
        return view

    def take(self, number: int, prompt: Prompt) -> list[Completion] | None:
        """The completions of an input, where an earlier run has left them for the same prompt."""
        if not self._kept:
            return None
        return self._kept.pop((self._first + number, _key(prompt)), None)

    def keep(self, number: int, prompt: Prompt, completions: Sequence[Completion]) -> None:
        """Have them for a later run, should this one be interrupted. From any thread."""
        if self._path is None:
            return
        line = _line(self._first + number, _key(prompt), completions)
        with self._lock, suppress(OSError), self._path.open("ab") as stream:
            stream.write(line)


def _key(prompt: Prompt) -> str:
    """Tells a prompt from another one in its place: what comes from a pipe may have changed."""
    return hashlib.sha256(json.dumps(prompt).encode()).hexdigest()[:16]


def _line(number: int, key: str, completions: Sequence[Completion]) -> bytes:
    values = [(c.text, c.tokens, c.truncated) for c in completions]
    return json.dumps([number, key, values]).encode() + b"\n"
