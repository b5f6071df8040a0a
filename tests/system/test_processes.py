"""What a process is told about its garbage while it imports."""

from __future__ import annotations

import gc

import pytest

from rzero_cli.system.processes import importing


def test_the_garbage_collector_rests_while_something_is_imported_and_no_longer() -> None:
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        with importing():
            pass
        assert not gc.isenabled()  # the outer one goes on
        raise ImportError
    assert gc.isenabled()
