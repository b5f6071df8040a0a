"""Garbage collection during imports."""

from __future__ import annotations

import gc

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
