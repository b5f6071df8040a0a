"""The structure of the package: imports between folders, file sizes, folder docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "rzero_cli"

# Folder or root module -> the folders it may import; those above import those below.
_FILES = {"answers", "data", "system"}
ARROWS: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {"commands", "system"},
    "commands": {
        *("options", "training", "evaluation", "report", "analysis", "world", "engines", "method"),
        *("recipes", *_FILES),
    },
    "__init__": {"training", "evaluation", "analysis", "engines", "method", "answers", "data"},
    "options": {"engines", "method", *_FILES},
    "report": {"analysis", "method", *_FILES},
    "evaluation": {"analysis", "engines", "method", *_FILES},
    "training": {"engines", "method", *_FILES},
    "analysis": {"method", "answers", "data"},
    "world": set(),
    "engines": {"method", *_FILES},
    "method": {"answers"},
    "data": {"system"},
    "answers": {"system"},
    "system": set(),
    "recipes": set(),
    "errors": set(),
    "fields": set(),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> Iterator[str]:
    """Yield every rzero module that a file names: in imports at any depth, and in strings for
    importlib and `python -m`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module == "rzero_cli":
                yield from (alias.name for alias in node.names)
            yield from re.findall(r"^rzero_cli\.(\w+)", module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from re.findall(r"^rzero_cli\.(\w+)", alias.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\brzero_cli\.(\w+)", node.value)


def test_every_folder_and_root_module_has_its_arrows() -> None:
    assert {_room(path) for path in MODULES} == set(ARROWS)


def test_arrows_have_no_cycle() -> None:
    above: set[str] = set()
    left = dict(ARROWS)
    while left:
        free = {room for room, below in left.items() if not below & left.keys()}
        assert free, f"a cycle among {sorted(left)}"
        left = {room: below for room, below in left.items() if room not in free}
        above |= free


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_folder_may(path: Path) -> None:
    room = _room(path)
    found = set(_imported(path)) - {room, "errors", "fields"}
    assert found <= ARROWS[room], f"{room} must not import {sorted(found - ARROWS[room])}"


def test_every_folder_docstring_states_its_contents() -> None:
    for folder in {path.parent for path in MODULES} - {PACKAGE}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
        assert text and len(text.splitlines()) >= 3, f"{folder}/__init__.py: no docstring"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400
