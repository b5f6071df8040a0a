"""`rzero` in which only rank 1 fails; run by `training/test_ranks.py` with torchrun."""

from __future__ import annotations

import os
import sys
from typing import Any

from rzero_cli import cli
from rzero_cli.errors import RzeroError


def refuse(*arguments: Any, **options: Any) -> Any:
    raise RzeroError("no answer from this one")


if __name__ == "__main__":
    where = sys.argv.pop(1)
    cli._OTHERS_END = 3.0
    if os.environ["RANK"] == "1" and where == "early":
        sys.argv[sys.argv.index("--solver") + 1] = "missing"
    elif os.environ["RANK"] == "1":
        import rzero_cli.training.solver as training

        training.solver_reward = refuse
    cli.main()
