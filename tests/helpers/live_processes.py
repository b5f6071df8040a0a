"""The living descendants of a process."""

from __future__ import annotations

import psutil


def children(of: int) -> list[int]:
    """Return all living descendants of a process."""
    try:
        found = psutil.Process(of).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in found if _lives(child)]


def _lives(process: psutil.Process) -> bool:
    """Return whether a process still runs; Python's resource tracker does not count, as it lives
    as long as the process that needed it."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def alive(pids: list[int]) -> list[int]:
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
