"""A separate file for bad lines: `--on-error skip`.

Each of its lines is {"source", "line", "error", "raw"}, so `jq -r .raw` recovers the bad lines, to
be fixed and fed in again. A line that is not UTF-8 has "raw_base64" instead of "raw"; a line that
is too long has neither.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from rzero_cli.data.json_text import dumps
from rzero_cli.data.whole_files import check_new_file, open_copy


class Rejects:
    """A `jsonl.Reject` that counts bad lines and writes them to a file."""

    def __init__(self, path: Path | None, opened: ExitStack) -> None:
        self.count = 0
        self._path, self._opened = path, opened
        self._stream: IO[bytes] | None = None

    def __call__(self, source: str, number: int, raw: bytes | None, reason: str) -> None:
        self.count += 1
        if self._path is None:
            return
        if self._stream is None:  # without bad lines there is no file
            self._stream = self._opened.enter_context(open_copy(str(self._path), force=True))
        entry = {"source": source, "line": number, "error": reason} | _raw(raw)
        self._stream.write(dumps(entry) + b"\n")


def _raw(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        return {}
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": b64encode(raw).decode()}


@contextmanager
def open_rejects(path: Path | None, *, force: bool) -> Iterator[Rejects]:
    """Open a file for bad lines; it appears when the block succeeds, if there were any.

    Args:
        path: the file; None only counts the lines.
        force: replace or remove a file from an earlier run.

    Raises:
        UsageError: the file exists without `force`, or cannot be created.
    """
    if path is not None:
        check_new_file(path, force=force)
    with ExitStack() as opened:
        rejects = Rejects(path, opened)
        yield rejects
    if path is not None and not rejects.count:
        path.unlink(missing_ok=True)
