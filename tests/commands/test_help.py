"""`--help` and `--version`: every command, documented with examples."""

from __future__ import annotations

import re

import pytest
import typer.main

import rzero_cli
from conftest import Rzero
from rzero_cli import cli

NAMES = [command.name for command in cli.COMMANDS]


def test_help_lists_every_command_in_its_group(rzero: Rzero) -> None:
    ended = rzero("--help")
    assert ended.status == 0
    assert ended.stderr == ""
    for text in (*NAMES, *{command.panel for command in cli.COMMANDS}):
        assert text in ended.stdout


@pytest.mark.parametrize("command", cli.COMMANDS, ids=NAMES)
def test_help_of_each_command_has_examples_with_real_options(command: cli.Command) -> None:
    app = cli.build(command.name)
    parsed = typer.main.get_command(app).commands[command.name]  # type: ignore[attr-defined]
    summary, *paragraphs = parsed.help.split("\n\n")
    assert summary == command.summary
    at = next(i for i, text in enumerate(paragraphs) if text.startswith("[bold]Examples"))
    examples = paragraphs[at + 1 :]
    assert len(examples) >= 2
    flags = {flag for option in parsed.params for flag in option.opts} | {"--help"}
    for example in examples:
        ours = re.sub(r"\$\([^)]*\)", "FILES", example)  # not the options of another command
        used = re.search(rf"rzero {command.name}\b[^|&>]*", ours)
        assert used, example
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", used.group())) <= flags
    for option in parsed.params:
        assert option.help or option.name == "help", option.name


def test_version_is_printed(rzero: Rzero) -> None:
    version = rzero("--version").stdout
    assert re.fullmatch(r"rzero \d+\.\d+\.\d+\n", version)
    assert rzero("-V").stdout == version == f"rzero {rzero_cli.__version__}\n"


def test_help_is_a_command_too(rzero: Rzero) -> None:
    for words in ((), ("vote",)):
        asked, flagged = rzero("help", *words), rzero(*words, "--help")
        assert (asked.status, asked.stderr) == (0, "")
        assert asked.stdout == flagged.stdout
    assert "No such command 'x'" in rzero("help", "x").stderr
