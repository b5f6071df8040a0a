"""The lock on an output; `tests/faults` has processes that compete for one."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rzero_cli.data import locks
from rzero_cli.errors import DataError


def test_failed_output_leaves_no_lock_on_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lockf(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with pytest.raises(DataError), locks.held(tmp_path / "out"):
        raise DataError("bad line")
    assert not list(tmp_path.iterdir())


def test_signal_at_any_line_leaves_no_lock(tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end a command as exceptions, wherever it is."""

    def interrupted(at: int) -> bool:
        """Return whether the lock's code has an `at`-th line, at which SystemExit was raised."""
        passed = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal passed
            if frame.f_code.co_filename != locks.__file__:
                return None
            passed += event == "line"
            if event == "line" and passed == at:
                raise SystemExit(143)
            return trace

        sys.settrace(trace)
        try:
            with locks.held(tmp_path / "out"):
                pass
        except SystemExit:
            return True
        finally:
            sys.settrace(None)
        return False

    lines = 0
    while interrupted(lines + 1):
        lines += 1
        assert not list(tmp_path.iterdir()), lines
    assert lines > 15
