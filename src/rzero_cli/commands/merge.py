"""`rzero merge`: an adapter and its base become an ordinary checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rzero_cli.commands import _options as opt
from rzero_cli.commands._output import hashed
from rzero_cli.commands._run import Clock, say, settings_of
from rzero_cli.data.journal import check_part
from rzero_cli.data.provenance import describe, write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, open_directory, part_of
from rzero_cli.engines.models import adapter_base, check_model, require
from rzero_cli.errors import UsageError
from rzero_cli.system.stdout import protect_stdout


def merge(
    ctx: typer.Context,
    output: opt.OutDir,
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="Directory that a training with LoRA left.")
    ],
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write an adapter into its base: an ordinary checkpoint, for what takes no adapters.

    In float32: bfloat16 would round away what an adapter has learned in small steps.

    [bold]Examples[/]

      rzero merge iter-1/solver -o iter-1/solver-merged

      rzero merge s1 -o s1-merged && vllm serve ./s1-merged
    """
    clock = Clock()
    model = check_model("ADAPTER", adapter)
    if (base := adapter_base(model)) is None:
        raise UsageError(f"{adapter}: no adapter there (no adapter_config.json)")
    require("train", "torch", "transformers", "peft")
    target = Path(output)
    check_new_directory(target, force=force)
    check_part(part_of(target), force=force, resume=False)
    say(f"merge: {adapter} into {base}", quiet=quiet)
    from rzero_cli.training.saving import save_as_it_is

    settings = settings_of(ctx)
    with (
        protect_stdout(),
        open_directory(target) as part,
    ):
        parents = hashed(model)
        save_as_it_is(model, part)
        record = describe(
            "merge",
            output=output,
            settings=settings,
            parents=parents,
            seconds=clock.seconds,
            metrics={},
        )
        write_checkpoint_meta(part, record)
