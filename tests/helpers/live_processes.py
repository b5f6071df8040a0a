"""The living descendants of a process."""

from __future__ import annotations

import psutil


def children(of: int) -> list[int]:
    """Return all living descendants of a process."""
    try:
        found = psutil.Process(of).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    # Python's resource tracker lives as long as the process that needed it.
    return [
        child.pid
        for child in found
        if child.status() != psutil.STATUS_ZOMBIE
        and "resource_tracker" not in " ".join(child.cmdline())
    ]


def alive(pids: list[int]) -> list[int]:
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
