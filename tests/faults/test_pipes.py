"""Pipes whose reader has left, full devices and closed streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from faults.conftest import FULL, Tries
from helpers.scripted_server import ScriptedServer, completion

RZERO = f"{sys.executable} -m rzero_cli"


def shell(folder: Path, command: str) -> tuple[int, str, str]:
    """Return the status of the first command of a pipe, the pipe's output and standard error."""
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "100"},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path, labels: Path) -> Path:
    (tmp_path / "many").write_text(labels.read_text() * 200)
    status, _, errors = shell(tmp_path, f"{RZERO} filter labels -o out")
    assert status == 0, errors
    return tmp_path


RECORDS = ["filter -q many", "score -q --batch 96 many", "vote -q --workers 1 many"]
RECORDS += ["grade -q --workers 1 many", "label -q --m 1 labels --endpoint URL"]
RECORDS += ["sample -q -n 40 --challenger m --endpoint URL"]
OTHERS = ["stats many", "stats --json many", "env", "env --json", "lineage out"]
OTHERS += ["--help", "label --help", "label --dry-run labels --endpoint URL --json", "--version"]


def of(command: str, server: ScriptedServer) -> str:
    return f"{RZERO} {command.replace('URL', server.url)}"


def chosen(moments: Random) -> list[str]:
    return RECORDS + OTHERS if FULL else moments.sample(RECORDS, 2) + moments.sample(OTHERS, 2)


def kind_of(command: str) -> str:
    return "records" if command in RECORDS else "what is shown"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    text = r"<question>copy 12</question> \boxed{12}"
    with ScriptedServer(lambda body: (200, completion(text))) as started:
        yield started


def test_closed_reader_is_not_an_error(
    folder: Path, server: ScriptedServer, tries: Callable[[str], Tries], moments: Random
) -> None:
    for command in chosen(moments):
        for reader in ["head -1", "true"] if command in RECORDS and FULL else ["true"]:
            status, _, errors = shell(folder, f"{of(command, server)} | {reader}")
            assert (status, errors) == (0, ""), (command, reader)
            tries(f"closed pipe: {kind_of(command)}").tries += 1


def test_full_output_device_is_one_line(
    folder: Path, server: ScriptedServer, tries: Callable[[str], Tries], moments: Random
) -> None:
    for command in chosen(moments):
        status, _, errors = shell(folder, f"{of(command, server)} > /dev/full")
        assert status == 1, (command, errors)
        assert errors == "rzero: standard output: No space left on device\n", command
        tries(f"/dev/full: {kind_of(command)}").tries += 1


def test_unwritable_stderr_does_not_stop_a_command(
    folder: Path, server: ScriptedServer, tries: Callable[[str], Tries], moments: Random
) -> None:
    for command in RECORDS if FULL else moments.sample(RECORDS, 1):
        spoken = of(command.replace(" -q", ""), server)
        status, out, _ = shell(folder, f"{spoken} 2> /dev/full")
        assert status == 0, command
        assert out == shell(folder, of(command, server))[1]
        tries("stderr at /dev/full").tries += 1
        status, closed, _ = shell(folder, f"{spoken} 2>&-")
        assert (status, closed) == (0, out), command
        tries("stderr closed").tries += 1


def test_closed_standard_streams_are_not_reused_for_files(
    folder: Path, server: ScriptedServer, tries: Callable[[str], Tries], moments: Random
) -> None:
    for command in RECORDS if FULL else moments.sample(RECORDS, 1):
        status, whole, _ = shell(folder, of(command, server))
        assert status == 0
        ended = shell(folder, f"{of(command.replace(' -q', ''), server)} -o new >&- 2>&- <&-")
        assert ended == (0, "", ""), command
        assert (folder / "new").read_text() == whole
        assert {path.name for path in folder.glob("*new*")} == {"new", "new.meta.json"}
        (folder / "new").unlink()
        tries("all streams closed").tries += 1
