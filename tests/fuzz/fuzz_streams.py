"""Fuzz targets for streams: any bytes in any pieces, quick and exact reading, torn journals."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from fuzz_records import records
from hypothesis import strategies as st

from rzero_cli.cli import run
from rzero_cli.data.journal import open_output
from rzero_cli.data.json_text import dumps
from rzero_cli.data.jsonl import read_batches, read_lines
from rzero_cli.data.records import p_hat_of
from rzero_cli.data.whole_files import part_of
from rzero_cli.errors import DataError
from rzero_cli.method.filtering import band, keep

p_hats = st.one_of(
    st.sampled_from(["0.25", "0.75", "0.250", "2.5e-1", "0.25000000000000001", "75e-2", "0", "1"]),
    st.sampled_from(["0.749999999999999999999", "1.0000000000000000001", "-0.0", "1e-400", "null"]),
    st.floats(0, 1).map(repr),
    st.integers(-1, 2).map(str),
)
labelled = st.builds(
    lambda p_hat, answer, more, spaces: (
        f'{{"answer":{spaces}{answer}, "p_hat"{spaces}:{spaces}{p_hat}{more}}}'.encode()
    ),
    p_hats,
    st.sampled_from(['"1"', "null", '""', "3", '"\\ud800"', '"é"']),
    st.sampled_from(
        ["", ', "x": {"p_hat": 0.5}', ', "p\\u005fhat": 0.5', ', "p_hat": 0.9', ",", "}"]
    ),
    st.sampled_from(["", " ", "\t", "\r"]),
)
junk = st.binary(max_size=12) | st.sampled_from(
    [
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b"[1]",
        b"null",
        b'{"a": NaN}',
        b"\x00",
        b"[" * 300,
        b'{"a": 1e999}',
    ]
)
ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b""])
contents = st.lists(st.tuples(records.map(dumps) | labelled | junk, ends), max_size=6).map(
    lambda lines: b"".join(part for line in lines for part in line)
)
cuts = st.lists(st.integers(0, 400), max_size=6)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rzero-fuzz-")  # goes when the process ends


def _folder() -> Path:
    return Path(_temporary().name)


def _read(name: str, **how: Any) -> list[Any]:
    found: list[Any] = []
    try:
        for line in read_lines([name], **how):
            found.append((line.number, line.raw, line.record))
    except DataError as error:
        found.append(str(error).removeprefix(name))
    return found


def _through_pipe(content: bytes, places: Sequence[int], read: Callable[[str], Any]) -> Any:
    """Return what `read` gives for a pipe that receives the content in pieces."""
    ours, theirs = os.pipe()
    bounds = [0, *sorted(min(place, len(content)) for place in places), len(content)]

    def feed() -> None:
        with suppress(BrokenPipeError):
            for start, end in pairwise(bounds):
                os.write(theirs, content[start:end])
        os.close(theirs)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        return read(f"/dev/fd/{ours}")
    finally:
        os.close(ours)
        feeder.join()


def pieces(case: tuple[bytes, list[int]]) -> None:
    content, places = case
    path = _folder() / "in"
    path.write_bytes(content)
    for strict in (False, True):
        whole = _read(str(path), strict=strict)
        assert _through_pipe(content, places, lambda name: _read(name, strict=strict)) == whole  # noqa: B023
    lines = _through_pipe(
        content, places, lambda name: [(number, lines) for _, number, lines in read_batches([name])]
    )
    together = b"".join(line for _, some in lines for line in some)
    assert together == content + b"\n" * (not content.endswith(b"\n") and bool(content))
    assert [number for number, _ in lines] == [
        1 + sum(len(some) for _, some in lines[:i]) for i in range(len(lines))
    ]


def quick_and_exact(content: bytes) -> None:
    """`filter` decides most lines without exact parsing and keeps the same ones."""
    path, out = _folder() / "labeled", _folder() / "kept"
    path.write_bytes(content)
    out.unlink(missing_ok=True)
    expected, failed = b"", False
    try:
        for line in read_lines([str(path)], exact=True):
            if keep(line.text_or_none("answer"), p_hat_of(line), band(Decimal("0.25"))):
                expected += line.raw if line.raw.endswith(b"\n") else line.raw + b"\n"
    except DataError:
        failed = True
    with redirect_stderr(io.StringIO()) as stderr:
        status = run(["filter", str(path), "-o", str(out), "--force", "--quiet"])
    assert status == (2 if failed else 0), stderr.getvalue()
    assert failed or out.read_bytes() == expected


def torn(case: tuple[list[dict[str, Any] | None], list[int], int, int]) -> None:
    """A journal truncated by a crash at any byte gives, after a resume, the same output."""
    rows, order, stopped, kept_bytes = case
    order = [number for number in order if number < len(rows)]
    target = _folder() / "out"
    target.unlink(missing_ok=True)

    def write(last: int | None, **how: Any) -> None:
        with open_output(str(target), settings={"a": 1}, **how) as out:
            for number in order[:last]:
                if number not in out.done:
                    out.write(number, rows[number])
            if last is not None:
                raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        write(stopped, force=True)
    part = part_of(target)
    if part.exists():
        os.truncate(part, min(kept_bytes, part.stat().st_size))
    write(None, resume=True)
    assert target.read_bytes() == b"".join(dumps(row) + b"\n" for row in rows if row is not None)
    assert not part.exists()


TARGETS = {
    "bytes in pieces": (st.tuples(contents, cuts), pieces),
    "filter, quick and exact": (
        st.lists(st.tuples(labelled, ends), max_size=5).map(
            lambda lines: b"".join(part for line in lines for part in line)
        ),
        quick_and_exact,
    ),
    "a torn journal, resumed": (
        st.tuples(
            st.lists(records | st.none(), max_size=6),
            st.permutations(range(6)),
            st.integers(0, 6),
            st.integers(0, 400),
        ),
        torn,
    ),
}
