"""Generate the pages, and the tables in pages, that come from the code.

    python -m docs.generate        or: make docs

`commands.md` is generated whole from the commands; in other pages, the lines between
`<!-- generated: NAME -->` and `<!-- end -->`. `tests/repository/test_docs.py` fails when one is
out of date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from docs import costs
from rzero_cli.cli import COMMANDS, build
from rzero_cli.engines.shapes import model_of, published
from rzero_cli.options import presets as settings
from rzero_cli.training.memory import GIB
from rzero_cli.world import questions

DOCS = Path(__file__).parent

HEAD = """\
# Commands

Look up every command and option here, or with `rzero COMMAND --help`, which has the same text.
`make docs` generates this page. Defaults are those of the preset `paper`;
[paper.md](paper.md#hyperparameters) lists those of `official` and `tiny`,
[scale.md](scale.md#models) the presets for the paper's models.

```sh
rzero vote --help
```

## What all commands have in common

- **Values.** An option that you leave out takes its value from the environment, then from
  `rzero.toml` in the working directory (or `--config FILE`), then from the preset: see
  [architecture.md](architecture.md#options).
- **MODEL** is a checkpoint directory or a hub name `ORG/NAME`. A name that exists as a path is
  never looked up on a hub.
- **Input** is JSONL: the given files in order, or standard input (also `-`).
  [records.md](records.md) lists the keys.
- **Output** on stdout is only records; messages and progress bars go to stderr. `-o FILE` and
  `-o DIR` appear when they are complete. An existing output is replaced only with `--force`.
- **`--resume`** continues an interrupted run; it requires `-o`. With `--force` it replaces a
  finished output, and continues an interrupted replacement. `eval --tasks` starts over.
- **Exit status**: 0 success, 1 failure, 2 wrong usage or bad data, 130 Ctrl-C, 143 SIGTERM. One
  line on stderr reports the error; `--debug`, before the command, shows the traceback instead.
"""


def pages() -> dict[Path, str]:
    """Return every generated page and its up-to-date text."""
    app: Any = typer.main.get_command(build())
    made = {DOCS / "commands.md": commands_page(app)}
    blocks: dict[str, tuple[str, Callable[[], str]]] = {
        "presets": ("paper.md", lambda: preset_table(app)),
        "world": ("world.md", world_table),
        "models": ("scale.md", models_table),
        "layouts": ("scale.md", lambda: rows_below(*costs.layouts())),
        "iterations": ("scale.md", lambda: rows_below(*costs.iterations())),
        "stages": ("scale.md", lambda: rows_below(*costs.parts())),
        "published": ("scale.md", lambda: rows_below(*costs.published_figures())),
        "million": ("scale.md", lambda: rows_below(*costs.million())),
    }
    for name, (page, block) in blocks.items():
        path = DOCS / page
        made[path] = fill(made.get(path) or path.read_text("utf-8"), name, block())
    return made


def fill(text: str, name: str, block: str) -> str:
    """Return the text of a page with its block `name` replaced."""
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    filled, count = pattern.subn(lambda found: f"{found[1]}{block}{found[2]}", text)
    assert count == 1, f"{count} blocks called {name}"
    return filled


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a table in Markdown."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rows_below(head: Iterable[str], *rows: Iterable[str]) -> str:
    """Format a table in Markdown whose first row is its head."""
    return table(head, rows)


# ---------------------------------------------------------------- commands.md


def commands_page(app: Any) -> str:
    """Return usage, description and options of every command, in the order of `rzero --help`."""
    index = table(
        ("", "Command", "What it does"),
        ((c.panel, f"[`{c.name}`](#rzero-{c.name})", c.summary) for c in COMMANDS),
    )
    return "\n".join([HEAD, index, *(_command(c.name, app.commands[c.name]) for c in COMMANDS)])


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-")]
    usage = " ".join(["rzero", name, "[OPTIONS]", *map(_argument, arguments)])
    parts = [f"## rzero {name}\n", f"```\n{usage}\n```\n", _description(command.help)]
    rows = [(f"`{p.metavar}`", "", "", _escape(p.help)) for p in arguments]
    rows += [(_flags(p), _default(p), _variable(p), _escape(p.help) + _range(p)) for p in options]
    return "\n".join([*parts, table(("Option", "Default", "Environment", ""), rows)])


def _argument(argument: Any) -> str:
    shown = argument.metavar if argument.required else f"[{argument.metavar}]"
    return shown + ("..." if argument.nargs == -1 else "")


def _description(help: str) -> str:
    """Return a command's docstring as Markdown, its examples in one block."""
    text, _, examples = help.partition("[bold]Examples[/]")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    block = "```sh\n" + "".join(f"{line}\n" for line in lines) + "```\n"
    return f"{_escape(text.strip())}\n\n{block}"


def _flags(option: Any) -> str:
    kind = option.type.name.split()[0]  # of "integer", "int range", ...
    value = (option.metavar or "").replace("|", r"\|")  # a bare | would end the cell
    value = value or {"int": "INT", "integer": "INT", "float": "FLOAT"}.get(kind, "TEXT")
    flags = ", ".join(sorted(option.opts, key=len))
    return f"`{flags}`" if option.is_flag else f"`{flags} {value}`"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):  # the preset's
        return f"`{option.show_default}`"
    return "" if option.is_flag or option.default is None else f"`{option.default}`"


def _variable(option: Any) -> str:
    return f"`{option.envvar}`" if option.envvar else ""


def _range(option: Any) -> str:
    bounds = (getattr(option.type, side, None) for side in ("min", "max"))
    low, high = (None if bound is None else f"{bound:g}" for bound in bounds)
    if low and high:
        return f" ({low} to {high})"
    return f" (at least {low})" if low else ""


def _escape(text: str) -> str:
    """Keep `|` from ending a cell and `<question>` from being HTML."""
    pieces = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(p if p.startswith("`") else p.replace("<", "&lt;") for p in pieces)


# ---------------------------------------------------------------- tables in other pages


def preset_table(app: Any) -> str:
    """Return every option that a general preset sets; commands with the same values share a row."""
    presets = [name for name in settings.preset_names() if not _model(name)]
    keys = dict.fromkeys(
        key for name in COMMANDS for preset in presets for key in costs.values(name.name, preset)
    )
    rows = []
    for key in keys:
        having = [c.name for c in COMMANDS if key in _names(app.commands[c.name])]
        shared: dict[tuple[str, ...], list[str]] = {}
        for command in having:
            values = [costs.values(command, preset).get(key) for preset in presets]
            first, *others = ["off" if v is None else f"{v}" for v in values]
            cells = (first, *("" if v == first else v for v in others))
            shared.setdefault(cells, []).append(command)
        rows += [(f"`{key}`", ", ".join(names), *cells) for cells, names in shared.items()]
    return table(("Option", "Commands", *(f"`{preset}`" for preset in presets)), rows)


def _model(preset: str) -> str | None:
    """Return the model that a preset is for, or None if it is general."""
    return settings.layers(preset)[-1].get("model")


def models_table() -> str:
    """Return the presets for one model: its size, and the other values they set."""
    rows = []
    for preset in filter(_model, settings.preset_names()):
        own = settings.layers(preset)[-1]
        shape = published()[own["model"]]
        model = model_of(shape)
        every = {k: v for k, v in own.items() if not isinstance(v, dict) and v != own["model"]}
        sets = [f"`{k} = {v}`" for k, v in every.items()]
        for command, values in own.items():
            if isinstance(values, dict):
                sets += [f"`{k} = {v}` in {command}" for k, v in values.items()]
        rows.append(
            (
                f"`{preset}`",
                f"`{own['model']}`",
                f"{shape['model_type']}, {model.layers} x {model.hidden}",
                f"{model.parameters / 1e9:.2f} billion",
                f"{2 * model.parameters / GIB:.1f} GiB",
                f"{model.kv_bytes / 1024:.0f} KiB",
                ", ".join(sets),
            )
        )
    head = (
        "Preset",
        "Model",
        "Layers x hidden",
        "Parameters",
        "16-bit weights",
        "KV per token",
        "Sets",
    )
    return table(head, rows)


def _names(command: Any) -> set[str]:
    return {str(param.name) for param in command.params}


def world_table() -> str:
    """Return the constants of the miniature that its page explains."""
    percent = "{:.1%}".format
    right, rival = questions.RIGHT, questions.RIVAL
    kinds = ", ".join(f"{name} {percent(value)}" for name, value in right.items())
    return table(
        ("In `world/questions.py`", "Value", "Meaning"),
        [
            ("`PROCEDURES`", ", ".join(questions.PROCEDURES), "what is done to the digits"),
            ("`PHRASINGS`", str(len(questions.PHRASINGS)), "the phrasings, each for one procedure"),
            ("`LEVELS`", ", ".join(map(str, questions.LEVELS)), "digits of the number"),
            ("`N_MASTERED`", str(questions.N_MASTERED), "phrasings the base answers well"),
            ("`RIGHT`", kinds, "how often a 4-digit question gets the right procedure"),
            (
                "`RIVAL`",
                f"hard {percent(rival['hard'])}",
                "how often it gets one fixed wrong wording",
            ),
            ("`PER_DIGIT`", percent(questions.PER_DIGIT), "loss for each further digit"),
            (
                "`ASKED_UNMASTERED`",
                percent(questions.ASKED_UNMASTERED),
                "how often the base Challenger generates any other phrasing",
            ),
            ("`MALFORMED`", percent(questions.MALFORMED), "its texts without a question"),
            ("`heldout_rows`", str(len(questions.heldout_rows(0))), "held-out questions"),
        ],
    )


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
