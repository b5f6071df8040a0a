"""The ancestry of files and checkpoints, traced from their records."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Rzero
from helpers.lineages import ANSWERS, RZERO, lineage, make_files, record, states, write_lines
from rzero_cli.data.ancestry import MOST_DEEP, nodes, trace
from rzero_cli.data.provenance import (
    write_checkpoint_meta,
    write_file_meta,
)


@pytest.fixture
def files(rzero: Rzero, tmp_path: Path) -> Path:
    return make_files(rzero, tmp_path)


@pytest.mark.parametrize("how", ["moved", "copied", "seen from elsewhere"])
def test_ancestry_of_a_moved_or_copied_run(
    files: Path, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    place = elsewhere / "other"
    if how == "moved":
        shutil.move(files / "run", place)
    elif how == "copied":
        shutil.copytree(files / "run", place)
    else:
        place = files / "run"
    tree = trace(str(place / "train.jsonl"))
    assert states(tree) == dict.fromkeys(
        ("train.jsonl", "labeled.jsonl", "answers.jsonl"), "unchanged"
    )
    assert {Path(node["path"]).parent for node in nodes(tree)} == {place}
    # One artefact moved alone: its parents stay behind, and a namesake next to it does not count.
    if how == "copied":
        for name in ("train.jsonl", "train.jsonl.meta.json"):
            shutil.copy(place / name, elsewhere / name)
        (elsewhere / "labeled.jsonl").write_text("{}\n")
        tree = trace(str(elsewhere / "train.jsonl"))
        assert tree["parents"][0]["path"] == str(files / "run" / "labeled.jsonl")
        assert tree["parents"][0]["state"] == "unchanged"


def test_parent_without_hash_is_hub_name_server_or_pipe(rzero: Rzero, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ANSWERS)
    piped = f"{' '.join(RZERO)} vote <(cat a.jsonl) -q -o piped.jsonl"
    subprocess.run(["bash", "-c", piped], cwd=tmp_path, check=True)
    (parent,) = trace(str(tmp_path / "piped.jsonl"))["parents"]
    assert (parent["state"], parent["path"][:8]) == ("pipe", "/dev/fd/")
    (tmp_path / "x.jsonl").write_text("{}\n")
    names = ["Qwen/Qwen3-4B-Base", "strong at http://127.0.0.1:8000/v1", "-"]
    write_file_meta(tmp_path / "x.jsonl", tmp_path / "x.jsonl", record(names))
    tree = trace(str(tmp_path / "x.jsonl"), verify=True)
    assert [node["path"] for node in tree["parents"]] == names
    assert [node["state"] for node in tree["parents"]] == ["hub name", "server", "pipe"]
    ended = lineage(tmp_path, "--verify", "x.jsonl")
    assert ended.status == 0
    assert ended.lines[2] == "├── strong at http://127.0.0.1:8000/v1  [server]"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Make a directory that looks like a checkpoint to the records."""

    def make(name: str, parents: list[Path], weights: str = "w") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_text(weights)
        (folder / "config.json").write_text("{}")
        write_checkpoint_meta(folder, record([str(p) for p in parents], str(folder)))
        return folder

    return make


def test_replaced_checkpoint_is_found_by_its_record(
    checkpoint: Callable[..., Path],
) -> None:
    base = checkpoint("base", [])
    child = checkpoint("child", [base])
    checkpoint("base", [], weights="of another seed")
    assert states(trace(str(child)))["base"] == "changed"
    # Only --verify notices a change of the weights alone.
    checkpoint("base", [])
    (base / "model.safetensors").write_text("edited")
    assert states(trace(str(child)))["base"] == "unchanged"
    hashed: list[str] = []
    found = states(trace(str(child), verify=True, notify=hashed.append))
    assert found == {"child": "unchanged", "base": "changed"}
    assert hashed == [f"hashing {child}", f"hashing {base}"]
    # A checkpoint without a record cannot be checked.
    (base / "rzero.json").unlink()
    assert states(trace(str(child)))["base"] == "unchecked"
    (base / "model.safetensors").write_text("w")
    assert states(trace(str(child), verify=True))["base"] == "unchanged"


def test_repeated_ancestor_is_expanded_and_hashed_once(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    base = checkpoint("base", [])
    solver = checkpoint("solver", [base], weights="1")
    questions = tmp_path / "q.jsonl"
    questions.write_text("{}\n")
    write_file_meta(questions, questions, record([str(solver)], str(questions)))
    later = checkpoint("later", [questions, solver], weights="2")
    lines = lineage(tmp_path, "later").lines
    # Models first, so that a run's Solvers are the spine of its tree.
    assert [re.split(r"(?<=\w)  ", line)[0] for line in lines] == [
        "later",
        "├── solver",
        "│   └── base",
        "└── q.jsonl",
        "    └── solver",
    ]
    assert [number for number, line in enumerate(lines) if line.endswith("[see above]")] == [4]
    hashed: list[str] = []
    trace(str(later), verify=True, notify=hashed.append)
    assert len(hashed) == len(set(hashed)) == 3


def test_ancestry_of_cycles_and_long_chains_ends(rzero: Rzero, files: Path) -> None:
    # A file that replaces its source is its own parent.
    assert rzero("filter", "run/labeled.jsonl", "-o", "run/kept.jsonl").status == 0
    for ending in ("", ".meta.json"):
        (files / f"run/kept.jsonl{ending}").replace(files / f"run/labeled.jsonl{ending}")
    tree = trace(str(files / "run" / "labeled.jsonl"))
    assert [node["above"] for node in nodes(tree)] == [False, True]
    a, b = files / "a.jsonl", files / "b.jsonl"
    for one, other in ((a, b), (b, a), (a, b)):
        one.write_text("{}\n")
        write_file_meta(one, one, record([str(other)], str(one)))
    assert [node["above"] for node in nodes(trace(str(a)))] == [False, False, True]
    for number in range(MOST_DEEP + 100):
        path = files / f"{number}.jsonl"
        path.write_text("{}\n")
        parents = [str(files / f"{number - 1}.jsonl")] if number else []
        write_file_meta(path, path, record(parents, str(path)))
    ended = lineage(files, str(path), "--json")
    assert ended.status == 0, ended.stderr
    found = list(nodes(json.loads(ended.stdout)))
    assert len(found) == MOST_DEEP + 1
    assert str(MOST_DEEP) in found[-1]["note"]
    assert lineage(files, str(path)).stdout.count("\n") == MOST_DEEP + 1
