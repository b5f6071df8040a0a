"""`rzero lineage`: its tree, its JSON, --verify, hostile and broken records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Refused, Rzero
from helpers.lineages import RZERO, lineage, make_files, record, states
from rzero_cli.data.provenance import (
    content_hash,
)


@pytest.fixture
def files(rzero: Rzero, tmp_path: Path) -> Path:
    return make_files(rzero, tmp_path)


def test_lineage_follows_a_file_back_to_inputs_without_record(files: Path) -> None:
    ended = lineage(files, "run/train.jsonl")
    assert (ended.status, ended.stderr) == (0, "")
    top, middle, bottom = ended.lines
    hashes = {name: content_hash(files / "run" / f"{name}.jsonl") for name in ("train", "labeled")}
    assert top.startswith(f"run/train.jsonl  filter  {hashes['train'][:12]}  preset paper  20")
    assert middle.startswith(f"└── run/labeled.jsonl  vote  {hashes['labeled'][:12]}  ")
    assert bottom.startswith("    └── run/answers.jsonl  ")
    assert not bottom.endswith("]")
    verified = lineage(files, "--verify", "run/train.jsonl")
    assert (verified.status, verified.stdout, verified.stderr) == (0, ended.stdout, "")


def test_lineage_names_changed_and_missing_parents(files: Path) -> None:
    labeled = files / "run" / "labeled.jsonl"
    labeled.write_bytes(labeled.read_bytes() + b"\n")  # without updating its record
    (files / "run" / "answers.jsonl").unlink()
    ended = lineage(files, "run/train.jsonl")
    assert ended.status == 0
    assert [line.partition("  [")[2] for line in ended.lines] == ["", "changed since]", "missing]"]
    assert ended.stderr == "lineage: since it was made: 1 changed, 1 missing\n"
    assert lineage(files, "--quiet", "run/train.jsonl").stderr == ""
    verified = lineage(files, "--verify", "run/train.jsonl")
    assert (verified.status, verified.stdout) == (1, ended.stdout)
    expected = "rzero: run/train.jsonl: differs from its record: 1 changed, 1 missing\n"
    assert verified.stderr == expected
    # The artefact itself may also differ.
    ended = lineage(files, "run/labeled.jsonl")
    assert ended.lines[0].endswith("  [changed since]")


def test_lineage_json_is_one_object(files: Path) -> None:
    ended = lineage(files / "run", "train.jsonl", "--json")
    tree = json.loads(ended.stdout)
    assert ended.stdout.count("\n") == 1
    assert list(tree) == [
        *("path", "state", "sha256", "stage", "seed", "preset", "finished", "note", "above"),
        "parents",
    ]
    (labeled,) = tree["parents"]
    (answers,) = labeled["parents"]
    assert [node["path"] for node in (tree, labeled, answers)] == [
        str(files / "run" / f"{name}.jsonl") for name in ("train", "labeled", "answers")
    ]
    assert [node["stage"] for node in (tree, labeled, answers)] == ["filter", "vote", None]
    assert answers["sha256"] == content_hash(files / "run" / "answers.jsonl")
    assert set(states(tree).values()) == {"unchanged"}


def test_lineage_escapes_hostile_names(tmp_path: Path) -> None:
    names = ["\x1b[2Jq", "two\nlines", "nul\0", "x" * 5000, "\ud800", "\u202ertl", "../../../x"]
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n")
    told = record([]) | {"parents": [{"path": name, "sha256": "\x1b[31m0"} for name in names]}
    told["parents"] += [{"path": "/dev/zero", "sha256": "0"}]
    told |= {"stage": "\x1b[5m", "finished": "\r", "settings": {"seed": "\x07", "preset": [1]}}
    meta = tmp_path / "x.jsonl.meta.json"
    meta.write_text(json.dumps(told))
    ended = lineage(tmp_path, "x.jsonl")
    assert ended.status == 0, ended.stderr
    assert len(ended.lines) == 1 + len(names) + 1
    assert all(character.isprintable() for line in ended.lines for character in line)
    assert r"\x1b[2Jq" in ended.stdout
    assert ended.stdout.count("[missing]") == len(names) + 1
    parents = json.loads(lineage(tmp_path, "x.jsonl", "--json").stdout)["parents"]
    assert parents[0]["path"].endswith(names[0])


BROKEN = ["{", "[]", '{"stage": 1}', "[" * 100_000, '{"stage": "x", "parents": [{"path": 1}]}']


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_record_ends_lineage_or_one_branch(refused: Refused, files: Path, text: str) -> None:
    meta = files / "run" / "labeled.jsonl.meta.json"
    meta.write_text(text)
    assert "run/labeled.jsonl.meta.json: " in refused("lineage", "run/labeled.jsonl")
    ended = lineage(files, "run/train.jsonl")
    assert (ended.status, len(ended.lines)) == (0, 2)
    assert "labeled.jsonl.meta.json: " in ended.lines[1]
    ended = lineage(files, "run/train.jsonl", "--verify")
    assert (ended.status, ended.stderr.count("\n")) == (1, 1)


def test_lineage_refuses_files_without_record(refused: Refused, files: Path) -> None:
    (files / "plain.json").write_text('{"tasks": {}}')
    os.mkfifo(files / "fifo")
    for path, reason in {
        "nowhere": "no such file or directory",
        "fifo": "no such file or directory",
        "run": "run/rzero.json",
        "run/answers.jsonl": "run/answers.jsonl.meta.json",
        "plain.json": "plain.json.meta.json",
    }.items():
        said = refused("lineage", path)
        assert said.startswith(f"{path}: ")
        assert reason in said


def test_lineage_ends_quietly_when_its_reader_leaves(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n")
    many = [{"path": f"{'y' * 100}{number}", "sha256": "0"} for number in range(3000)]
    meta = tmp_path / "x.jsonl.meta.json"
    meta.write_text(json.dumps(record([]) | {"parents": many}))
    command = f"{' '.join(RZERO)} lineage -q x.jsonl | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("x.jsonl  vote  ")


def test_lineage_colours_only_on_terminals(files: Path) -> None:
    assert "\x1b" not in lineage(files, "run/train.jsonl").stdout
    assert "\x1b[1m" in lineage(files, "run/train.jsonl", FORCE_COLOR="1").stdout


def test_lineage_does_not_import_torch(files: Path) -> None:
    code = (
        "import sys; from rzero_cli.cli import run; "
        "assert run(['lineage', '--verify', 'run/train.jsonl']) == 0; "
        "assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=files, check=True, capture_output=True)
