"""`rzero` in which accelerate shards over CPU processes; run with `accelerate launch`.

accelerate shards on accelerators only. Nothing in its FSDP2 needs one, so the processes are
presented to it as such; they still communicate with gloo. With `--keep N FOLDER` before rzero's
arguments, FOLDER becomes a copy of the unfinished directory as it was after N updates.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

_start = PartialState.__init__


def _as_accelerators(self: PartialState, *arguments: Any, **options: Any) -> None:
    _start(self, *arguments, **options)
    if self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_XPU


PartialState.__init__ = _as_accelerators


def keep(update: int, folder: Path) -> None:
    """Copy the unfinished directory after an update."""
    from rzero_cli.training.update_log import UpdateLog

    save = UpdateLog.on_save

    def on_save(self: UpdateLog, args: Any, state: Any, control: Any, **rest: Any) -> None:
        save(self, args, state, control, **rest)
        if state.is_world_process_zero and state.global_step == update:
            shutil.copytree(self._path.parent, folder)

    UpdateLog.on_save = on_save  # type: ignore[method-assign]


if __name__ == "__main__":
    from rzero_cli.cli import main

    if sys.argv[1] == "--keep":
        _, update, folder = (sys.argv.pop(1) for _ in range(3))
        keep(int(update), Path(folder))
    main()
