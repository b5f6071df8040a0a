"""Bash scripts that run `rzero` with this interpreter."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from conftest import Ended


def shell(folder: Path, script: str, **environment: str) -> Ended:
    """Run a bash script in which `rzero` uses this interpreter."""
    preamble = f'rzero() {{ {shlex.quote(sys.executable)} -m rzero_cli "$@"; }}\n'
    ended = subprocess.run(
        ["bash", "-c", preamble + script],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
