"""`rzero init`: copies of the package's recipes, to edit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rzero_cli.data.whole_files import check_new, write_text
from rzero_cli.errors import UsageError
from rzero_cli.fields import argument
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Quiet, Replacing

# Name in the package -> name in the user's folder.
FILES = {"loop.mk": "Makefile", "rzero.toml": "rzero.toml"} | {
    name: name for name in ("slurm/run.sbatch", "slurm/array.sbatch")
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Folder(Replacing):
    """The folder for the recipes."""

    folder: Path = argument("Folder to write into; created if missing.", metavar="DIR")


@command("init", Quiet)
def init(call: Call, made: Folder) -> None:
    """Write the loop's Makefile and an rzero.toml into a folder, to run and adapt.

    rzero's own demo runs the same Makefile. The scripts in slurm/ are for clusters.

    [bold]Examples[/]

      rzero init my-run && make -C my-run demo

      rzero init my-run && make -C my-run -n run MODEL=Qwen/Qwen3-4B-Base
    """
    folder = made.folder
    if (found := next((p for p in (folder, *folder.parents) if p.exists()), None)) and (
        not found.is_dir()
    ):
        raise UsageError(f"{found} is not a directory")
    (folder / "slurm").mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        check_new(folder / name, force=made.force)
    for source, name in FILES.items():
        text = files("rzero_cli.recipes").joinpath(source).read_text("utf-8")
        write_text(folder / name, text)
    call.say(f"wrote {', '.join(FILES.values())}; next: make -C {folder} help")
