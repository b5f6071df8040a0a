"""`rzero init`: the package's own recipes, to recompose."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._run import say
from rzero_cli.data.whole_files import check_new, write_text

# What lies in the package -> what it is called in the user's folder.
FILES = {"loop.mk": "Makefile", "rzero.toml": "rzero.toml"} | {
    name: name for name in ("slurm/array.sbatch", "slurm/serve.sbatch", "slurm/train.sbatch")
}


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write the loop's Makefile and an rzero.toml into a folder, to run and to recompose.

    It is the Makefile that this package's own demo runs on. The scripts in slurm/ are for clusters.

    [bold]Examples[/]

      rzero init my-run && make -C my-run demo

      rzero init my-run && make -C my-run -n run MODEL=Qwen/Qwen3-4B-Base
    """
    (folder / "slurm").mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        check_new(folder / name, force=force)
    for source, name in FILES.items():
        text = files("rzero_cli.recipes").joinpath(source).read_text("utf-8")
        write_text(folder / name, text)
    say(f"init: wrote {', '.join(FILES.values())}; next: make -C {folder} help", quiet=quiet)
