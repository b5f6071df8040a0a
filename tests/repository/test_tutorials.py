"""The tutorials: every command is run, in order, and the outputs shown are compared."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.pages import FENCE, TUTORIALS, examples, name_of, readers_environment


def _words(output: str) -> list[list[str]]:
    """The words of each line, without numbers and quoted values, which differ between machines."""
    plain = re.sub(r'"[^"\n]*"(?!:)|\b(null|true|false)\b', "", output)
    return [re.findall(r"[^\W\d]{2,}", line) for line in plain.splitlines()]


def _is_slow(page: Path) -> bool:
    return bool(examples(page, "runnable slow"))


@pytest.mark.skipif(shutil.which("jq") is None, reason="the tutorials read records with jq")
@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.slow if _is_slow(p) else ()) for p in TUTORIALS],
    ids=name_of,
)
def test_tutorial_runs_in_one_shell(
    page: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A `text` block holds the exact output of the block above it; of any other the words agree."""
    blocks = list(FENCE.finditer(page.read_text("utf-8")))
    steps = [number for number, block in enumerate(blocks) if block[1]]
    script = "printf '\\0'; printf '\\0' >&2\n".join(blocks[number][3] for number in steps)
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        # One cache, so that the base model is made once.
        env=readers_environment(tmp_path_factory.getbasetemp() / "cache"),
        capture_output=True,
        text=True,
    )
    outputs, errors = result.stdout.split("\0"), result.stderr.split("\0")
    assert result.returncode == 0, f"{blocks[steps[len(errors) - 1]][3]}\n{errors[-1]}"
    for number, output, error in zip(steps, outputs, errors, strict=True):
        code, written = blocks[number][3], _words(output + error)
        for shown in blocks[number + 1 : number + 2]:
            if shown[2] == "text":
                assert output == shown[3], code
            elif shown[2] != "sh":
                assert [words for words in _words(shown[3]) if words not in written] == [], code


@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_only_a_server_keeps_a_tutorials_commands_from_being_run(page: Path) -> None:
    for block in FENCE.finditer(page.read_text("utf-8")):
        assert block[2] != "sh" or block[1] or "--endpoint" in block[3], block[3]
