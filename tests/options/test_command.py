"""Option groups: their typer options, and their part in records and --resume."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer

from rzero_cli.errors import UsageError
from rzero_cli.fields import argument, option
from rzero_cli.options.command import Call, command
from rzero_cli.options.general import General
from rzero_cli.options.method_groups import Keep
from rzero_cli.training.settings import Hardware


@dataclass(frozen=True, kw_only=True)
class Things:
    PANEL: ClassVar = "Things"
    files: list[str] | None = argument("Files.", metavar="FILE", default=None)
    m: int = option("Answers.", min=1)
    sure: bool = option("Be sure.", default=False)
    stop: list[str] | None = option("Ends.", default=None)
    prompt: str | None = option("Prompt.", default=None, is_file=True)
    memory: int = option("Memory.", default=1, compared=False)
    where: str = option("Where.", default="here", recorded=False)
    strict: bool = option("Strict.", default=False, recorded=lambda things: things.sure)


Run = Callable[..., tuple[Call, Things]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a command `label` with these words and return the arguments it received."""
    monkeypatch.chdir(tmp_path)
    got: list[tuple[Call, Things]] = []

    @command("label", General)
    def label(call: Call, things: Things) -> None:
        """Do nothing."""
        got.append((call, things))

    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("label")(label())
    app.command("filter")(lambda: None)  # so that rzero.toml may set it

    def called(*words: str) -> tuple[Call, Things]:
        app(["label", *words], standalone_mode=False)
        return got[-1]

    return called


def test_group_has_typed_values_by_precedence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run()[1].m == 10
    (tmp_path / "rzero.toml").write_text("[label]\nm = 7\nstop = ['a']\n")
    call, things = run()
    assert (things.m, things.stop, call.typed, call.chosen) == (7, ["a"], set(), {"m", "stop"})
    call, things = run("x.jsonl", "--m", "3", "--sure")
    assert (things.files, things.m, things.sure) == (["x.jsonl"], 3, True)
    assert {"m", "sure"} <= call.typed <= call.chosen


@pytest.mark.parametrize("value", ["2.5", "true", '"x"', "[1]", "0"])
def test_wrong_type_in_rzero_toml_is_refused(run: Run, tmp_path: Path, value: str) -> None:
    (tmp_path / "rzero.toml").write_text(f"[label]\nm = {value}\n")
    with pytest.raises(UsageError) as refused:
        run()
    assert str(refused.value).startswith("rzero.toml: [label] m: Invalid value for '--m': ")


def test_marks_decide_what_is_recorded_and_compared(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("think")
    call, _ = run("--prompt", "p.txt", "--memory", "2", "--where", "there")
    settings: dict[str, Any] = {
        "files": [],  # as for all repeatable options
        "m": 10,
        "sure": False,
        "stop": [],
        "prompt": "p.txt",
        "memory": 2,
        "preset": "paper",
        "prompt_sha256": sha256(b"think").hexdigest(),
    }
    assert call.settings == settings
    assert call.compared == {name: settings[name] for name in settings if name != "memory"}
    assert run("--sure")[0].settings["strict"] is False


def test_another_commands_group_has_its_values(run: Run, tmp_path: Path) -> None:
    assert str(run()[0].group(Keep, "filter").interval()[0]) == "0.25"
    (tmp_path / "rzero.toml").write_text("[filter]\ndelta = 0.1\n")
    assert run()[0].group(Keep, "filter").delta == "0.1"
    assert run("--preset", "official")[0].group(Keep, "filter").high is None
    (tmp_path / "rzero.toml").unlink()
    assert run("--preset", "official")[0].group(Keep, "filter").high == "0.8"


def test_configuration_may_be_a_pipe(run: Run) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"[label]\nm = 4\n")
    os.close(writing)
    call, things = run("--config", f"/dev/fd/{reading}")
    os.close(reading)
    assert (things.m, call.chosen >= {"m"}) == (4, True)


def test_typed_options_become_words_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rzero.toml").write_text("[label]\nm = 7\n")
    call, _ = run("--sure", "--stop", "a b", "--stop", "c", "-q")
    assert call.words(Things) == ["--sure", "--stop", "a b", "--stop", "c"]
    assert call.words(Keep) == []
    assert call.words(General) == ["-q"]
    call, _ = run("--preset", "official", "--m", "3")
    assert call.words(Things) == ["--m", "3"]
    assert call.words(General) == ["--preset", "official"]
    (tmp_path / "rzero.toml").unlink()
    off = ["--no-gradient-checkpointing", "--lora-r", "0"]

    @command("label", General)
    def label(call: Call, hardware: Hardware) -> None:
        """Do nothing."""
        assert call.words(Hardware) == ["--lora-r", "0", "--no-gradient-checkpointing"]

    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("label")(label())
    app(["label", *off], standalone_mode=False)
