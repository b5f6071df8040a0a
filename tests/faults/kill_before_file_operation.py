"""Commands that are killed just before their Nth operation on the files of a folder.

Requests are lines of JSON: [N, folder, arguments of rzero]; the arguments `:checkpoint TARGET` do
what a training does with its directory. Each reply is [status, operations, stderr]. Python's audit
hook reports each open, rename and remove before it happens; N = 0 kills nothing.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir"}


def main() -> None:
    import rzero_cli.commands.filter
    import rzero_cli.commands.vote
    import rzero_cli.training.saving  # noqa: F401 - so that each fork need not

    for line in sys.stdin:
        wanted, folder, arguments = json.loads(line)
        with tempfile.TemporaryFile() as errors:
            counted = mmap.mmap(-1, 8)  # what a killed one has counted, too
            if (child := os.fork()) == 0:
                os.chdir(folder)
                os.dup2(errors.fileno(), 2)
                os._exit(_counting(counted, wanted, folder, arguments))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            errors.seek(0)
            answer = [status, int.from_bytes(counted[:8], "little"), errors.read().decode()]
        print(json.dumps(answer), flush=True)


def _counting(counted: mmap.mmap, wanted: int, folder: str, arguments: list[str]) -> int:
    from rzero_cli.cli import run

    place, count, us = str(Path(folder).absolute()), 0, os.getpid()

    def look(event: str, operands: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in _EVENTS or os.getpid() != us:
            return
        if isinstance(operands[0], int):  # a file descriptor
            return
        if not str(Path(os.fsdecode(operands[0])).absolute()).startswith(place):
            return
        count += 1
        counted[:8] = count.to_bytes(8, "little")
        if count == wanted:
            os.kill(us, signal.SIGKILL)

    sys.argv = ["rzero", *arguments]
    sys.addaudithook(look)
    try:
        return _checkpoint(arguments[1:]) if arguments[0] == ":checkpoint" else run(arguments)
    finally:
        sys.stderr.flush()


def _checkpoint(arguments: list[str]) -> int:
    """Do what a training does with its directory, without training."""
    from rzero_cli.data.whole_files import write_json, write_text
    from rzero_cli.errors import AlreadyDone
    from rzero_cli.training.saving import STATES, last_state, only_state, open_checkpoint

    target, resume, force = Path(arguments[0]), "--resume" in arguments, "--force" in arguments
    how: dict[str, Any] = {"settings": {"steps": 3}, "resume": resume, "force": force}
    try:
        with open_checkpoint(target, **how) as (part, finished):
            if finished:
                return 0
            last = last_state(part)
            done = int(last.name.split("-")[1]) if last else 0
            steps = part / "steps"
            kept = steps.read_text().split()[:done] if steps.is_file() else []
            write_text(steps, "".join(f"{step}\n" for step in kept))
            for step in range(done + 1, 4):
                with steps.open("a") as stream:
                    stream.write(f"{step}\n")
                state = part / STATES / f"checkpoint-{step}"
                state.mkdir(parents=True, exist_ok=True)
                (state / "model.safetensors").write_text(f"{step} " * 9)
                (state / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
                only_state(part)
            (part / "model.safetensors").write_text("3 " * 9)
            write_text(part / "config.json", "{}")
            write_json(part / "rzero.json", {"stage": "train-solver"})
    except AlreadyDone:
        return 0
    return 0


if __name__ == "__main__":
    main()
