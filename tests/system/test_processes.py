"""Garbage collection during imports, and functions called in a fork."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from rzero_cli.system.processes import importing


def test_garbage_collector_is_off_only_during_imports() -> None:
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        with importing():
            pass
        assert not gc.isenabled()  # the outer block continues
        raise ImportError
    assert gc.isenabled()


def test_child_process_returns_a_result_an_error_or_its_death() -> None:
    code = """
import os
from rzero_cli.errors import RzeroError, UsageError
from rzero_cli.system.processes import in_child

def refuse():
    raise UsageError("no such thing")

print(in_child(lambda: os.getppid()) == os.getpid())
for work in (refuse, lambda: os._exit(3)):
    try:
        in_child(work)
    except RzeroError as error:
        print(type(error).__name__, error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.splitlines() == [
        "True",
        "UsageError no such thing",
        "RzeroError a child process died",
    ], ended.stderr
