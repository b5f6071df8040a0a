"""`rzero merge`: merge a LoRA adapter into its base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rzero_cli.data.journal import check_part
from rzero_cli.data.provenance import adapter_base, write_checkpoint_meta
from rzero_cli.data.whole_files import check_new_directory, open_directory, part_of
from rzero_cli.engines.models import check_model, require
from rzero_cli.errors import UsageError
from rzero_cli.fields import argument
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import NewCheckpoint, Quiet
from rzero_cli.options.target import hashed, origin_of
from rzero_cli.system.stdout import protect_stdout


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Adapter:
    """The adapter to merge."""

    adapter: str = argument("Adapter directory written by a LoRA training.", metavar="ADAPTER")


@command("merge", Quiet)
def merge(call: Call, merged: Adapter, target: NewCheckpoint) -> None:
    """Merge a LoRA adapter into its base model, for tools that cannot load adapters.

    The checkpoint is in float32: bfloat16 would round away the adapter's small updates.

    [bold]Examples[/]

      rzero merge iter-1/solver -o iter-1/solver-merged

      rzero merge s1 -o s1-merged && vllm serve ./s1-merged
    """
    adapter, output = merged.adapter, Path(target.output)
    model = check_model("ADAPTER", adapter)
    if (base := adapter_base(model)) is None:
        raise UsageError(f"{adapter}: not an adapter: no adapter_config.json")
    require("train", "torch", "transformers", "peft")
    check_new_directory(output, force=target.force)
    check_part(part_of(output), force=target.force, resume=False)
    call.say(f"merging {adapter} into {base}")
    from rzero_cli.training.saving import save_as_it_is

    with protect_stdout(), open_directory(output) as part:
        parents = hashed(model)
        save_as_it_is(model, part)
        write_checkpoint_meta(part, origin_of(call, target.output, parents, {}))
