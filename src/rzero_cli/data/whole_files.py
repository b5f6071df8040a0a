"""Write files and directories that appear complete or not at all.

Text, JSON, copied lines and directories are written under a temporary name and renamed when they
are complete. Output that an interrupted stage can continue uses a journal (`journal.py`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rzero_cli.data.locks import held
from rzero_cli.errors import UsageError
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.system.write_errors import named

# File systems allow 255 bytes, of which our temporary names use some.
_LONGEST_NAME = 255 - len("..rejects.jsonl.part.lock")

AtEnd = Callable[[Path], None]
"""Called with the finished file before it is put in place, to write its record first: a file is
never without one."""


def put_described(finished: Path, target: Path, at_end: AtEnd | None) -> None:
    """Write the record of a finished file, then put the file in place.

    If interrupted in between, the new record is removed.
    """
    new = not target.exists()
    try:
        if at_end is not None:
            at_end(finished)
        put_in_place(finished, target)
    except BaseException:
        if new and not target.exists():
            file_meta_path(target).unlink(missing_ok=True)
        raise


def file_meta_path(path: Path) -> Path:
    """Return the path of the record of a JSONL file."""
    return path.with_name(path.name + ".meta.json")


def put_in_place(part: Path, target: Path) -> None:
    """Rename a finished file or directory to `target`, after its content is on the disk.

    Without that, a power failure could leave the name without the content. An existing directory is
    moved aside before it is removed, so that no half-removed one is ever visible.
    """
    directory = part.is_dir()
    for path in (part, *(part.iterdir() if directory else ())):
        _sync(path)
        if (
            path != part and path.is_file()
        ):  # safetensors makes weights readable by their owner only
            path.chmod(part.stat().st_mode & 0o666)
    old = old_of(target)
    if directory and target.exists():
        shutil.rmtree(old, ignore_errors=True)
        try:
            target.replace(old)
            part.replace(target)
        except BaseException:  # such as a Ctrl-C between the two
            if not target.exists():
                old.replace(target)
            raise
    else:
        part.replace(target)
    if directory:
        shutil.rmtree(old, ignore_errors=True)
    _sync(target.absolute().parent)


def old_of(target: Path) -> Path:
    """Return where a directory is moved while another replaces it."""
    return target.with_name(f".{target.name}.old")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot sync directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with named(path):
            # File names may contain lone surrogates, which UTF-8 cannot encode.
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, completely or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def open_directory(target: Path) -> Iterator[Path]:
    """Open an empty directory that becomes or replaces `target` when the block succeeds.

    It cannot be resumed.

    Raises:
        UsageError: another process is making it.
    """
    part = part_of(target)
    with held(target), named(part):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            put_in_place(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


@contextmanager
def open_copy(
    path: str | None, *, force: bool = False, at_end: AtEnd | None = None
) -> Iterator[IO[bytes]]:
    """Open `path`, or standard output, for lines that are copied unchanged (`filter`).

    Raises:
        UsageError: as `check_new_file`; or another process is making the file.
    """
    if not path or path == "-":
        with protect_stdout() as stream:
            yield stream
        return
    target = Path(path)
    check_new_file(target, force=force)
    part = target.with_name(f".{target.name}.part")
    with held(target):
        check_new_file(target, force=force)  # another process may have made it in the meantime
        try:
            with named(target), part.open("wb") as stream:
                yield stream
            put_described(part, target, at_end)
        finally:
            part.unlink(missing_ok=True)


def part_of(target: Path) -> Path:
    """Return the path of the unfinished `target`. Raises UsageError if the name is unusable."""
    _check_name(target)
    return target.with_name(target.name + ".part")


def _check_name(target: Path) -> None:
    if not target.name:
        raise UsageError(f"-o {target}: not the name of a file")
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise UsageError(f"-o {target.name[:20]}...: the name is too long for a file")


def check_new(target: Path, *, force: bool) -> None:
    """Refuse a target that exists, or whose folder does not. Raises UsageError."""
    _check_name(target)
    if target.is_symlink():
        raise UsageError(f"{target} is a symbolic link: give the path that it points to")
    if target.exists() and not force:
        raise UsageError(f"{target} exists: choose another name, or replace it with --force")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target.absolute().parent}: no such folder for {target.name}")


def check_new_file(target: Path, *, force: bool) -> None:
    """Apply `check_new` and refuse a folder even with `force`. Raises UsageError."""
    check_new(target, force=force)
    if target.is_dir():
        raise UsageError(f"{target} is a directory: give -o a file in it")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is not a regular file: use -o - for standard output")


def check_new_directory(target: Path, *, force: bool) -> None:
    """Apply `check_new` and refuse a file even with `force`. Raises UsageError."""
    check_new(target, force=force)
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file: a checkpoint is a directory")
