"""Bad lines, set aside in a file of their own: `--on-error skip`.

A line of it is {"source", "line", "error", "raw"}, so that `jq -r .raw` gives the lines as they
were, to mend and to feed again. Of what is not UTF-8 there is "raw_base64" in place of "raw", and
of a line that is too long to be kept neither.
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
    """Takes bad lines, as `jsonl.Reject`, and counts them."""

    def __init__(self, path: Path | None, opened: ExitStack) -> None:
        self.count = 0
        self._path, self._opened = path, opened
        self._stream: IO[bytes] | None = None

    def __call__(self, source: str, number: int, raw: bytes | None, reason: str) -> None:
        self.count += 1
        if self._path is None:
            return
        if self._stream is None:  # a file with nothing in it would be looked at in vain
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
    """A file for bad lines that appears whole when the block ends well, and only if there are any;
    with `force`, one that an earlier run has left goes in any case.

    Args:
        path: None counts them only.

    Raises:
        UsageError: the file exists, without `force`, or cannot be.
    """
    if path is not None:
        check_new_file(path, force=force)
    with ExitStack() as opened:
        rejects = Rejects(path, opened)
        yield rejects
    if path is not None and not rejects.count:
        path.unlink(missing_ok=True)
