"""Records with parents, and `rzero lineage` run on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import Ended, Rzero
from rzero_cli.data.ancestry import nodes
from rzero_cli.data.provenance import (
    describe,
    hashed_parents,
)

RZERO = [sys.executable, "-m", "rzero_cli"]
ANSWERS = [{"question": f"What is {n} + 1?", "answers": [str(n + 1)] * 2 + ["0"]} for n in range(3)]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lineage(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run `rzero lineage` in `folder`."""
    ended = subprocess.run(
        [*RZERO, "lineage", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=60,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def states(tree: dict[str, Any]) -> dict[str, str]:
    return {Path(node["path"]).name: node["state"] for node in nodes(tree)}


def record(parents: list[str], output: str = "out.jsonl") -> dict[str, Any]:
    return describe(
        "vote",
        output=output,
        settings={},
        parents=hashed_parents(parents),
        seconds=0.0,
        metrics={},
    )


def make_files(rzero: Rzero, tmp_path: Path) -> Path:
    """Make answers.jsonl, labeled.jsonl and train.jsonl in `run/`, each from the one before.

    The commands run in the folder above.
    """
    (tmp_path / "run").mkdir()
    write_lines(tmp_path / "run" / "answers.jsonl", ANSWERS)
    for command in (
        ["vote", "run/answers.jsonl", "-o", "run/labeled.jsonl"],
        ["filter", "run/labeled.jsonl", "-o", "run/train.jsonl"],
    ):
        assert rzero(*command).status == 0
    return tmp_path
