"""The diffs of docs/architecture.md work when applied to a copy of the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def apply(diff: str, folder: Path) -> None:
    """Apply a diff whose hunks have no line numbers: each old block occurs once in its file."""
    for part in re.split(r"(?m)^--- ", diff)[1:]:
        header, *hunks = re.split(r"(?m)^@@\n", part)
        target = folder / re.findall(r"^\+\+\+ b/(.+)$", header, flags=re.M)[0]
        text = target.read_text("utf-8") if target.exists() else ""
        for hunk in hunks:
            lines = hunk.splitlines()
            before = [line[1:] for line in lines if line[:1] in ("", " ", "-")]
            after = [line[1:] for line in lines if line[:1] in ("", " ", "+")]
            old, new = ("".join(f"{line}\n" for line in block) for block in (before, after))
            assert not old or text.count(old) == 1, f"{target}: {old}"
            text = text.replace(old, new) if old else text + new
        target.write_text(text, encoding="utf-8")


def changed(name: str, folder: Path) -> dict[str, str]:
    """Copy the code, apply the diff called `name`; return the environment that runs the copy."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    found = re.findall(
        rf"<!-- added: {name} -->\n```diff\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S
    )
    assert len(found) == 1
    apply(found[0], folder)
    return os.environ | {"PYTHONPATH": str(folder / "src")}


def rzero(environment: dict[str, str], *words: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rzero_cli", *words],
        input=given,
        capture_output=True,
        text=True,
        env=environment | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_an_option_is_a_field_and_its_use(tmp_path: Path) -> None:
    environment = changed("option", tmp_path)
    for command in ("challenge", "train-solver"):
        assert "--scale-rewards" in rzero(environment, command, "--help")


@pytest.mark.slow
def test_an_added_option_reaches_trl(tmp_path: Path) -> None:
    environment = changed("option", tmp_path)
    code = """
from dataclasses import fields
from pathlib import Path
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import make_plan
from rzero_cli.options.presets import preset_value
from rzero_cli.training.config import trl_config
from rzero_cli.training.settings import Grpo, Hardware
def group(kind, **given):
    values = {f.name: preset_value("train-solver", f.name) for f in fields(kind)}
    return kind(**(values | given))
plan = make_plan(steps=1, prompts=2, batch=2, group=2, max_tokens=4)
grpo = group(Grpo, scale_rewards="batch")
how = {"seed": 0, "states": Path("states")}
config = trl_config(plan, grpo, group(Hardware), group(SamplingOptions), **how)
print(config.scale_rewards)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout == "batch\n", done.stderr


def test_a_command_is_a_file_and_a_line(tmp_path: Path) -> None:
    environment = changed("command", tmp_path)
    assert "head" in rzero(environment, "--help")
    rows = [{"question": "a"}, {"question": "b"}, {"question": "a", "n": 2}]
    done = rzero(environment, "head", given=records(*rows))
    assert [json.loads(line) for line in done.splitlines()] == rows[:2]


@pytest.mark.slow
def test_an_engine_is_a_module_and_its_name(tmp_path: Path, tiny_model: Path) -> None:
    environment = changed("engine", tmp_path)
    words = ("label", "--solver", str(tiny_model), "--engine", "echo", "--m", "3")
    done = json.loads(rzero(environment, *words, given=records({"question": "7"})))
    assert (done["answer"], done["p_hat"], done["votes"]) == ("7", 1.0, {"7": 3})


def test_a_preset_is_a_table(tmp_path: Path) -> None:
    environment = changed("preset", tmp_path)
    rows = [{"question": "q", "answer": "1", "p_hat": p} for p in (0.29, 0.3, 0.7, 0.71)]
    done = rzero(environment, "filter", "--preset", "careful", given=records(*rows))
    assert [json.loads(line)["p_hat"] for line in done.splitlines()] == [0.3, 0.7]
