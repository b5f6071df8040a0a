"""Imports of commands and modules: nothing heavy before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from helpers.json_lines import jsonl
from helpers.labeled_questions import LABELED
from rzero_cli import cli


def test_votes_import_without_heavy_packages() -> None:
    code = (
        "import sys, rzero_cli.method.votes; "
        "print({'torch', 'sympy', 'math_verify', 'numpy', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


NAMES = [command.name for command in cli.COMMANDS]
HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "trl",
    "datasets",
    "accelerate",
    "peft",
    "lm_eval",
    "matplotlib",
)


def test_commands_without_a_model_import_nothing_heavy(tmp_path: Path) -> None:
    # Options are also checked before anything heavy is loaded.
    (tmp_path / "labeled.jsonl").write_text(LABELED)
    graded = jsonl({"answer": "1/2", "reference": "0.5"}, {"answer": "x", "reference": "1"})
    (tmp_path / "graded.jsonl").write_text(graded)
    (tmp_path / "empty.jsonl").write_text("")
    runs = [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in NAMES),
        ["filter", "labeled.jsonl", "-o", "1"],
        ["score", "labeled.jsonl", "-o", "2"],
        ["grade", "graded.jsonl", "-o", "3"],
        ["oracle", "labeled.jsonl", "--world", "-o", "7"],
        ["stats", "7", "--against", "labeled.jsonl"],
        ["label", "labeled.jsonl", "--solver", "nowhere"],
        ["sample", "--challenger", "nowhere"],
        ["challenge", "--challenger", "nowhere", "--solver", "nowhere", "-o", "4"],
        ["train-solver", "labeled.jsonl", "--solver", "nowhere", "-o", "5"],
        ["eval", "--model", "nowhere", "-o", "6"],
        ["preflight", "--challenger", "nowhere", "--solver", "nowhere"],
    ]
    code = (
        "import json, sys\nfrom rzero_cli.cli import run\n"
        "statuses = [run(arguments) for arguments in json.loads(sys.argv[1])]\n"
        "print(json.dumps([statuses, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    statuses, modules = json.loads(ended.stderr.splitlines()[-1])
    assert statuses == [0] * (7 + len(NAMES)) + [2] * 6, ended.stderr
    assert not set(modules) & set(HEAVY)


def test_commands_import_without_reading_a_file() -> None:
    """The presets that `--help` shows are read only when the command is built."""
    code = """
import sys
from pathlib import Path
import rzero_cli
own, read = str(Path(rzero_cli.__file__).parent), []
def look(event, details):
    if event == "open" and str(details[0]).startswith(own): read.append(str(details[0]))
sys.addaudithook(look)
from importlib import import_module
from rzero_cli.cli import COMMANDS, build
for command in COMMANDS:
    import_module(f"rzero_cli.commands.{command.name.replace('-', '_')}")
print([path for path in read if not path.endswith((".py", ".pyc"))])
build("filter")
print([path for path in read if not path.endswith((".py", ".pyc"))])
"""
    ended = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True)
    before, after = ended.stdout.splitlines()
    assert before == "[]", ended.stderr
    assert "presets.toml" in after


def test_data_and_method_import_without_numpy() -> None:
    code = (
        "import sys\n"
        "from rzero_cli.data import jsonl, records\n"
        "from rzero_cli.method import filtering, plan, prompts, question, votes\n"
        "print(len(set(sys.modules) & {'numpy', 'scipy', 'sacrebleu', 'sympy', 'torch'}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == "0\n"


def test_generating_imports_nothing_of_training(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "q.jsonl").write_text(jsonl({"question": "copy 12", "reference": "12"}))
    few = ["--preset", "tiny", "--max-tokens", "4"]
    runs = [
        ["sample", "--challenger", tiny_model, "-n", "2", *few, "-o", "1"],
        ["label", "q.jsonl", "--solver", tiny_model, "--m", "2", *few, "-o", "2"],
        ["score", "q.jsonl", "--solver", tiny_model, "--m", "2", *few, "-o", "3"],
        ["eval", "--model", tiny_model, "--data", "q.jsonl", "--k", "2", *few, "-o", "4"],
        ["oracle", "q.jsonl", "--world", "-o", "5"],
    ]
    code = (
        "import json, sys\nfrom rzero_cli.cli import run\n"
        "statuses = [run(arguments) for arguments in json.loads(sys.argv[1])]\n"
        "print(json.dumps([statuses, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs, default=str)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    statuses, modules = json.loads(ended.stderr.splitlines()[-1])
    assert statuses == [0] * len(runs), ended.stderr
    assert {"torch", "transformers.generation"} <= set(modules)
    # transformers' models import accelerate if it is installed.
    training = {"trl", "datasets", "peft", "transformers.trainer", "lm_eval", "sklearn", "scipy"}
    assert not training & set(modules)
