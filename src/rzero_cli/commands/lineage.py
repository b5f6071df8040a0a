"""`rzero lineage`: the origin of an artefact (`data/ancestry.py`)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rzero_cli.data.ancestry import Node, nodes, trace
from rzero_cli.errors import RzeroError
from rzero_cli.fields import argument, option
from rzero_cli.options.command import Call, command
from rzero_cli.options.file_groups import Json, Quiet
from rzero_cli.system.stdout import protect_stdout
from rzero_cli.system.terminal import plain, printable

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Artefact:
    """The artefact to trace."""

    PANEL: ClassVar = None
    path: str = argument(
        "Checkpoint directory, JSONL file written with -o, or results of `rzero eval`.",
        metavar="PATH",
    )
    verify: bool = option(
        "Also hash checkpoint weights; exit status 1 if anything differs from its record.",
        default=False,
    )


@command("lineage", Quiet)
def lineage(call: Call, artefact: Artefact, form: Json) -> None:
    """Trace an artefact back to the base model and list what has changed since.

    Prints a tree: below each artefact its parents, with stage, hash, seed, preset and finishing
    time. Repeated artefacts are expanded once. Files are hashed and compared with their records;
    checkpoints only with --verify, otherwise their own records are trusted. The run's folder may
    have been moved or copied.

    [bold]Examples[/]

      rzero lineage runs/demo/iter-3/solver

      rzero lineage --verify runs/demo/iter-3/eval.json

      rzero lineage train.jsonl --json | jq .parents
    """
    tree = trace(artefact.path, verify=artefact.verify, notify=call.say)
    shown = json.dumps(tree) + "\n" if form.as_json else _as_text(tree)
    with protect_stdout() as stdout:
        stdout.write(shown.encode())
    found = Counter(node["state"] for node in nodes(tree))
    wrong = {state: found[state] for state in ("changed", "missing")}
    wrong["without a readable record"] = sum(bool(node["note"]) for node in nodes(tree))
    counts = [f"{count} {what}" for what, count in wrong.items() if count]
    if artefact.verify and counts:
        raise RzeroError(f"{artefact.path}: differs from its record: {', '.join(counts)}")
    if counts:
        call.say(f"since it was made: {', '.join(counts)}")


def _as_text(tree: Node) -> str:
    from rich.console import Console
    from rich.tree import Tree

    drawn = Tree(_line(tree))
    waiting = [(tree, drawn)]
    while waiting:
        node, branch = waiting.pop()
        waiting += [(parent, branch.add(_line(parent))) for parent in node["parents"]]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000  # one line per artefact, however deep
    with console.capture() as capture:
        console.print(drawn)
    lines = capture.get().replace("\N{NO-BREAK SPACE}", " ").splitlines()  # rich's indent
    return "\n".join(line.rstrip() for line in lines) + "\n"


_STATES = {"changed": "changed since", "unchecked": "not hashed; use --verify", "unchanged": ""}


def _line(node: Node) -> Text:
    name = node["path"].removeprefix(f"{Path.cwd()}/")
    line = plain(name, "bold" if node["stage"] else "")
    facts = [node["stage"], (node["sha256"] or "")[:12]]
    facts += [f"{key} {node[key]}" for key in ("seed", "preset") if node[key] is not None]
    if node["finished"]:
        facts.append(node["finished"][:16] + "Z")
    for fact in filter(None, facts):
        line.append(f"  {printable(fact)}", style="not bold")
    state = _STATES.get(node["state"], node["state"])
    wrong = node["state"] in ("changed", "missing")
    for remark in filter(None, (state, node["note"], "see above" if node["above"] else "")):
        line.append(f"  [{printable(remark)}]", style="bold red" if wrong else "not bold yellow")
    return line
