"""The pages agree with the code: generated parts, links, examples, records, answers."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import rzero_cli
from helpers.pages import (
    DOCS,
    FENCE,
    PAGES,
    ROOT,
    TUTORIALS,
    examples,
    name_of,
    readers_environment,
)
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.cli import COMMANDS, build
from rzero_cli.method.filtering import band, keep
from rzero_cli.method.plan import make_plan
from rzero_cli.method.question import question_id
from rzero_cli.method.rewards import challenger_rewards
from rzero_cli.method.votes import vote, vote_keys
from rzero_cli.options.presets import preset_value
from rzero_cli.world import questions


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- what is made from the code


def test_generated_pages_are_up_to_date(generate: ModuleType) -> None:
    stale = [name_of(path) for path, text in generate.pages().items() if path.read_text() != text]
    assert stale == [], "run: make docs"


def test_every_command_is_documented_with_an_example() -> None:
    sections = (DOCS / "commands.md").read_text("utf-8").split("\n## rzero ")[1:]
    named = {section.splitlines()[0]: section for section in sections}
    assert list(named) == [command.name for command in COMMANDS]
    for name, section in named.items():
        assert f"```sh\nrzero {name}" in section or f" rzero {name} " in section, name
        assert "[bold]" not in section and "[/]" not in section, name


def test_command_list_agrees_with_the_help_texts() -> None:
    commands: Any = typer.main.get_command(build())
    for command in COMMANDS:
        assert commands.commands[command.name].help.split("\n\n")[0] == command.summary


# ---------------------------------------------------------------- links


def test_every_page_is_linked_from_an_index() -> None:
    indexes = (DOCS / "README.md").read_text("utf-8")
    linked = {target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", indexes)}
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert pages - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_are_alive(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in _anchors(path), f"{name_of(page)}: {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_on_pages_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"`((?:src|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{name_of(page)}: {name}"
    package = ROOT / "src" / "rzero_cli"
    folders = "|".join(path.name for path in package.iterdir() if path.is_dir())
    for name in re.findall(rf"`((?:{folders})/[\w./]+)`", text):
        assert (package / name).exists(), f"{name_of(page)}: {name}"


# ---------------------------------------------------------------- examples that are run


def _run_examples(page: Path, mark: str, folder: Path) -> None:
    environment = readers_environment(folder / "cache")
    for language, code, expected in examples(page, mark):
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
        result = subprocess.run(
            [*command[language], code], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{code}\n{result.stderr}"
        if expected is not None:
            assert result.stdout == expected, code


def _with(mark: str) -> list[Path]:
    return [page for page in PAGES if page not in TUTORIALS and examples(page, mark)]


@pytest.mark.parametrize("page", _with("runnable"), ids=name_of)
def test_runnable_examples_run(page: Path, tmp_path: Path) -> None:
    _run_examples(page, "runnable", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", _with("runnable slow"), ids=name_of)
def test_runnable_examples_with_a_model_run(page: Path, tmp_path: Path) -> None:
    _run_examples(page, "runnable slow", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shell_examples_parse_and_use_existing_options(page: Path) -> None:
    commands: Any = typer.main.get_command(build())
    for block in FENCE.finditer(page.read_text("utf-8")):
        if block[2] != "sh":
            continue
        subprocess.run(["bash", "-n"], input=block[3], text=True, check=True)
        lines = re.sub(r"\s#.*", "", block[3]).replace("\\\n", " ")
        for call in re.split(r"[|;&\n]+", lines):
            words = [word.strip("'\"") for word in call.split()]
            names = [word for word in words if word in commands.commands]
            if not ("rzero" in words or ".sbatch" in call) or not names:
                continue
            known = {flag for p in commands.commands[names[0]].params for flag in p.opts}
            known |= {flag for p in commands.commands[names[0]].params for flag in p.secondary_opts}
            given = {word for word in words[words.index(names[0]) :] if word.startswith("--")}
            assert given <= known | {"--help"}, f"{name_of(page)}: {call.strip()}"


# ---------------------------------------------------------------- records.md


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    """The example record, or the keys added to it, under each heading of records.md."""
    sections = (DOCS / "records.md").read_text("utf-8").split("\n## ")[1:]
    found = {}
    for section in sections:
        if block := re.search(r"^```json\n(.*?)^```$", section, re.M | re.S):
            found[section.splitlines()[0]] = json.loads(block[1])
    return found


def test_example_records_match_the_code(
    records: dict[str, dict[str, Any]], equivalence: Equivalence
) -> None:
    sampled, labelled = records["sample"], records["label"]
    assert list(sampled) == ["id", "question", "proposed_answer"]
    assert sampled["id"] == question_id(sampled["question"])
    outcome = vote(labelled["answers"], equivalence)
    assert json.dumps(sampled | vote_keys(outcome, labelled["answers"])) == json.dumps(labelled)
    assert keep(labelled["answer"], Decimal(str(labelled["p_hat"])), band(Decimal("0.25")))
    (reward,) = challenger_rewards([labelled["question"]], [labelled["p_hat"]])
    assert json.dumps(records["score"]) == json.dumps(reward.as_keys())
    reference = questions.truth(labelled["question"])
    verdict = {"reference": reference, "extracted": labelled["answer"], "correct": False}
    assert json.dumps(records["grade"]) == json.dumps(verdict)
    assert equivalence.equal(labelled["answer"], reference) is verdict["correct"]


# ---------------------------------------------------------------- answers.md


def _rows(section: str) -> list[list[str]]:
    """The code in the first two columns of the table below a heading of answers.md."""
    text = (DOCS / "answers.md").read_text("utf-8")
    table = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    columns = [re.split(r"(?<!\\)\|", line)[1:3] for line in lines]
    return [re.findall(r"`([^`]+)`", " ".join(pair)) for pair in columns]


def test_answer_tables_match_the_code(equivalence: Equivalence) -> None:
    for section, equal in (("Equal", True), ("Different", False)):
        rows = _rows(section)
        assert len(rows) > 10
        for one, *others in rows:
            for other in others:
                assert equivalence.equal(one, other) is equal, (one, other)


def test_reading_table_matches_the_code() -> None:
    rows = _rows("Reading")
    assert len(rows) > 5
    for completion, *answer in rows:
        assert rzero_cli.extract_boxed(completion) == (answer[0] if answer else None), completion


# ---------------------------------------------------------------- paper.md


def test_plan_table_matches_the_papers_plan() -> None:
    text = (DOCS / "paper.md").read_text("utf-8")
    plans = []
    for command in ("challenge", "train-solver"):
        names = ("steps", "prompts", "batch", "group", "max_tokens")
        plans.append(make_plan(**{name: preset_value(command, name) for name in names}))
    for name in ("updates", "rollouts_per_step", "gradient_accumulation"):
        challenger, solver = (getattr(plan, name) for plan in plans)
        assert re.search(rf"^\|.*\| {challenger} \| {solver} \|$", text, re.M), name


# ---------------------------------------------------------------- api.md


def test_every_api_name_is_documented_and_importable() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    for name in rzero_cli.__all__:
        assert re.search(rf"`{name}\b", text), name
        assert getattr(rzero_cli, name) is not None
