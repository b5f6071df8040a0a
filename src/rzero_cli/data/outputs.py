"""Records and files out: each appears whole or not at all, and one process at a time makes it.

Records go to standard output, or to a journal beside the target (`FILE.part`) which becomes the
target when the stage has finished, and which `--resume` continues.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rzero_cli.data.jsonl import dumps, read_object
from rzero_cli.data.locks import check_free, held
from rzero_cli.errors import AlreadyDone, ClosedPipe, DataError, RzeroError, UsageError
from rzero_cli.system.terminal import json_on_terminal

__all__ = [
    "SETTINGS",
    "Output",
    "can_continue",
    "check_new",
    "check_new_directory",
    "check_new_file",
    "check_output",
    "check_part",
    "file_meta_path",
    "held_to_make",
    "named",
    "open_copy",
    "open_directory",
    "open_journal",
    "open_output",
    "part_of",
    "protect_stdout",
    "put_in_place",
    "write_json",
    "write_text",
]

# What a journal holds for an input that gives no record, so that its lines stay aligned with the
# inputs; removed when the file is finished. No record is written with this space.
_NO_RECORD = b'{"rzero_no_record": true}\n'

SETTINGS = ".settings.json"
"""In an unfinished directory: what it was begun with."""

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)

# Of the 255 bytes that file systems give a name, what ours add to it.
_LONGEST_NAME = 255 - len("..rejects.jsonl.part.lock")

AtEnd = Callable[[Path], None]
"""Called with the finished file before it takes its place: the record of its origin comes first,
so that no file is ever without."""


def _kept() -> str:
    return "; finished records are kept, --resume goes on"


def _nothing(finished: Path) -> None:
    pass


def _put_described(finished: Path, target: Path, at_end: AtEnd) -> None:
    """Describe a finished file and put it in its place; a Ctrl-C between the two leaves no record
    of what is not there."""
    new = not target.exists()
    try:
        at_end(finished)
        put_in_place(finished, target)
    except BaseException:
        if new and not target.exists():
            file_meta_path(target).unlink(missing_ok=True)
        raise


def file_meta_path(path: Path) -> Path:
    """Where the record of a JSONL file lies."""
    return path.with_name(path.name + ".meta.json")


def put_in_place(part: Path, target: Path) -> None:
    """Rename a finished file or directory over `target`, its content on the disk first.

    Otherwise a machine that loses its power could be left with the name and without what is in it.
    A directory that is in the way is moved aside before it is removed: nobody finds half of it.
    """
    directory = part.is_dir()
    for path in (part, *(part.iterdir() if directory else ())):
        _sync(path)
        if path != part and path.is_file():  # safetensors leaves weights to their owner alone
            path.chmod(part.stat().st_mode & 0o666)
    old = _old(target)
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


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # there are file systems that cannot, of directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def named(path: Path | str, hint: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Say where it was that nothing more could be written, and `hint` what to do."""
    try:
        yield
    except RzeroError:
        raise
    except Exception as error:
        if (reason := _unwritable(error)) is None:
            raise
        raise RzeroError(f"{path}: {reason}{hint()}") from error


def _unwritable(error: Exception) -> str | None:
    """Why nothing more can be written, if that is the error; as libraries in other languages say
    it, too: safetensors and tokenizers quote the system, torch does not."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in _UNWRITABLE else None
    said = str(error)
    if "PytorchStreamWriter failed" in said or "unexpected pos" in said:
        return "a file could not be written to its end (is the disk full?)"
    return next((why for why in map(os.strerror, _UNWRITABLE) if why in said), None)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with named(path):
            # JSON escapes of what UTF-8 has not, lone surrogates, which a file's name may bring.
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def open_directory(target: Path) -> Iterator[Path]:
    """An empty directory that becomes `target`, or replaces it, when the block ends well: for what
    is made anew rather than gone on with.

    Raises:
        UsageError: another process is at it.
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


class _StandardOutput(io.FileIO):
    """Says of its own errors whose they are: what else fails meanwhile has no part in them."""

    def write(self, data: Any) -> int:
        try:
            with named("standard output"):
                return super().write(data)
        except BrokenPipeError as error:
            raise ClosedPipe from error


class _OnTerminal(io.BufferedWriter):
    """Writes the same JSON without a character in it that a terminal obeys; given whole lines."""

    def write(self, data: Any) -> int:
        return super().write(json_on_terminal(bytes(data)))


@contextmanager
def protect_stdout() -> Iterator[IO[bytes]]:
    """Take standard output for records alone; gives the stream to write them to.

    Whatever else is printed on file descriptor 1 from now on, by a library or by a child process,
    goes to standard error instead.

    Writing to it raises ClosedPipe where whoever read our output has left.

    Raises:
        UsageError: there is no standard output.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed: give -o FILE, or open it")
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    kind = _OnTerminal if os.isatty(private) else io.BufferedWriter
    stream = kind(_StandardOutput(private, "wb"))
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(RzeroError):  # what could not be written has been said
            stream.close()


def _nothing_on_stdout() -> None:
    """Send what libraries print on standard output from now on to standard error: the records go
    to a file, and whoever reads our pipe should not take notices for records."""
    with suppress(OSError):  # one of the two may be closed
        os.dup2(2, 1)


class Output:
    """Where a stage writes its records, one `write` for each of its inputs, in their order."""

    def __init__(
        self, stream: IO[bytes], *, done: int = 0, journal: bool = False, ahead: Path | None = None
    ) -> None:
        self.done = done
        """How many inputs a continued journal already answers; skip these."""
        self.ahead = ahead
        """A file for what is finished before its turn; goes when the journal goes."""
        self.tokens: int | None = None
        """How many were generated by this process, for the file's record."""
        import jsonlines

        self._stream = stream
        self._writer = jsonlines.Writer(stream, dumps=dumps)
        self._journal = journal

    @property
    def on_terminal(self) -> bool:
        """Whether a person sees each record as it comes."""
        return self._stream.isatty()

    def write(self, record: dict[str, Any] | None) -> None:
        """Write the record of the next input; None where that input gives no record."""
        if record is not None:
            self._writer.write(record)
        elif self._journal:
            self._stream.write(_NO_RECORD)
        self._stream.flush()


@contextmanager
def open_output(
    path: str | None,
    *,
    settings: dict[str, Any],
    force: bool = False,
    resume: bool = False,
    at_end: AtEnd = _nothing,
) -> Iterator[Output]:
    """Open `path` for records, or standard output where it is None or "-".

    A file is written as a journal, `FILE.part`, and put in place when the block ends well.

    Args:
        settings, force, resume: as for `open_journal`.
        at_end: for a file, called before it appears.

    Raises:
        UsageError: as `open_journal`; or `resume` without a file.
        AlreadyDone: as `open_journal`.
    """
    if path is None or path == "-":
        if resume:
            raise UsageError("--resume needs -o FILE: standard output cannot be continued")
        with protect_stdout() as stream:
            yield Output(stream)
        return
    target = Path(path)
    with open_journal(target, settings=settings, force=force, resume=resume) as (output, part):
        _nothing_on_stdout()
        yield output
        clean = target.with_name(target.name + ".part.clean")
        try:
            with named(clean, _kept), part.open("rb") as journal, clean.open("wb") as stream:
                stream.writelines(raw for raw in journal if raw != _NO_RECORD)
            _put_described(clean, target, at_end)
        finally:
            clean.unlink(missing_ok=True)


@contextmanager
def open_journal(
    target: Path, *, settings: dict[str, Any], force: bool, resume: bool
) -> Iterator[tuple[Output, Path]]:
    """Open the journal of `target`, `TARGET.part`; removed when the block, which makes the target
    from it, ends well. If it does not, the journal stays, for `resume`.

    Args:
        settings: what the result depends on: a journal made with others is not continued.

    Raises:
        UsageError: the target exists (without `force`), its folder does not, or a journal is
            there that `resume` was not given for or that other settings made.
        AlreadyDone: with `resume`, when the target is complete.
    """
    part, made_with = part_of(target), _settings_of(target)
    with held_to_make(target, force=force, resume=resume):
        check_new_file(target, force=force)
        done = 0
        if can_continue(target, made_with, settings, force=force, resume=resume):
            done = _count_lines(part)
        else:
            # In this order: no journal is ever there without the settings that it was begun with.
            _remove(target)
            write_json(made_with, settings)
            part.touch()
        try:
            with named(part, _kept), part.open("ab") as stream:
                yield Output(stream, done=done, journal=True, ahead=_ahead_of(target)), part
        except BaseException:
            if part.exists() and not part.stat().st_size and not _ahead_of(target).exists():
                # nothing to go on from
                _remove(target)
            raise
        _remove(target)


def _settings_of(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _ahead_of(target: Path) -> Path:
    return target.with_name(target.name + ".part.ahead")


def _remove(target: Path) -> None:
    for path in (part_of(target), _ahead_of(target), _settings_of(target)):
        path.unlink(missing_ok=True)


def check_output(target: Path, *, force: bool, resume: bool) -> None:
    """Raise what `open_journal` would, but for other settings, before anything is opened."""
    check_new_file(target, force=force or resume)
    check_done(target, force=force, resume=resume)
    check_free(target)  # first: what is unfinished of another process is not ours to go on with
    check_part(part_of(target), force=force, resume=resume)


@contextmanager
def held_to_make(target: Path, *, force: bool, resume: bool) -> Iterator[None]:
    """Be the only process that makes `target`, which is not there to be replaced unasked.

    Raises:
        UsageError: as `locks.held`; the target is there.
        AlreadyDone: with `resume`, when the target is complete.
    """
    check_done(target, force=force, resume=resume)
    check_new(target, force=force)
    with held(target):
        # Another process may have finished it meanwhile.
        _raise_if_done(target, force=force, resume=resume)
        check_new(target, force=force)
        yield


def check_done(target: Path, *, force: bool, resume: bool) -> None:
    """Raise AlreadyDone where `resume` finds nothing left to do.

    What a process has left that was ended just after its last rename goes.
    """
    try:
        _raise_if_done(target, force=force, resume=resume)
    except AlreadyDone:
        with suppress(OSError, RzeroError), held(target):
            _remove(target)
            (target / SETTINGS).unlink(missing_ok=True)
            shutil.rmtree(_old(target), ignore_errors=True)
        raise


def _raise_if_done(target: Path, *, force: bool, resume: bool) -> None:
    if not resume or force or not target.exists():
        return
    part = part_of(target)
    if part.exists() and part.stat().st_mtime_ns > target.stat().st_mtime_ns:
        raise UsageError(f"{part} was begun to replace {target}: go on with --force --resume")
    raise AlreadyDone(f"{target} is complete already")


def can_continue(
    target: Path, made_with: Path, settings: dict[str, Any], *, force: bool, resume: bool
) -> bool:
    """Whether what is unfinished of `target` is to be continued, or begun anew.

    `force` with `resume` replaces the target and continues what was begun for that.

    Args:
        made_with: the file that holds the settings it was begun with.

    Raises:
        UsageError: it is there and `resume` was not given, or was given with other settings.
    """
    part = part_of(target)
    check_part(part, force=force, resume=resume)
    if not part.exists() or not resume:
        return False
    try:
        before = read_object(made_with)
    except DataError as error:
        if force:
            return False
        raise UsageError(f"{error}: start over with --force") from error
    now = json.loads(json.dumps(settings))
    if before != now and force:
        return False
    if before != now:
        names = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        raise UsageError(
            f"{part} was made with other settings ({', '.join(names)}): give the same, or start "
            "over with --force"
        )
    return True


def part_of(target: Path) -> Path:
    """Where the unfinished `target` lies. Raises UsageError where it has no name."""
    _check_name(target)
    return target.with_name(target.name + ".part")


def _check_name(target: Path) -> None:
    if not target.name:
        raise UsageError(f"-o {target}: is no name for what is written")
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise UsageError(f"-o {target.name[:20]}...: the name is too long for a file")


def check_part(part: Path, *, force: bool, resume: bool) -> None:
    """Refuse to overwrite what an interrupted run has left. Raises UsageError."""
    if part.exists() and not (force or resume):
        raise UsageError(
            f"{part} is there from an interrupted run: go on with --resume, or start over with "
            "--force"
        )


def check_new(target: Path, *, force: bool) -> None:
    """Refuse a target that exists or has no folder to be in. Raises UsageError."""
    _check_name(target)
    if target.is_symlink():
        raise UsageError(f"{target} is a symbolic link: give the path that it leads to")
    if target.exists() and not force:
        raise UsageError(f"{target} exists: choose another name, or replace it with --force")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target.absolute().parent}: no such folder for {target.name}")


def check_new_file(target: Path, *, force: bool) -> None:
    """`check_new`, and refuse a folder even with `force`. Raises UsageError."""
    check_new(target, force=force)
    if target.is_dir():
        raise UsageError(f"{target} is a directory: give -o a file in it")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is not a file: give none, or -o -, for standard output")


def check_new_directory(target: Path, *, force: bool) -> None:
    """`check_new`, and refuse a file even with `force`. Raises UsageError."""
    check_new(target, force=force)
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file: a checkpoint is a directory")


def _count_lines(part: Path) -> int:
    """Number of whole lines; a torn last line, left by a crash, is cut off."""
    done = end = 0
    with part.open("rb+") as stream:
        for raw in stream:
            if not raw.endswith(b"\n"):
                break
            done, end = done + 1, end + len(raw)
        stream.truncate(end)
    return done


def open_copy(
    path: str | None, *, force: bool = False, at_end: AtEnd = _nothing
) -> AbstractContextManager[IO[bytes]]:
    """Open `path` for lines copied as they are (`filter`), or standard output.

    Raises:
        UsageError: as `open_output`.
    """
    return _copy_file(Path(path), force, at_end) if path and path != "-" else protect_stdout()


@contextmanager
def _copy_file(target: Path, force: bool, at_end: AtEnd) -> Iterator[IO[bytes]]:
    check_new_file(target, force=force)
    part = target.with_name(f".{target.name}.part")
    with held(target):
        check_new_file(target, force=force)  # another process may have made it meanwhile
        try:
            with named(target), part.open("wb") as stream:
                yield stream
            _put_described(part, target, at_end)
        finally:
            part.unlink(missing_ok=True)
