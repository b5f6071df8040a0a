"""`rzero lineage` on a run of real commands, and the records that they write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import _run
from helpers.forkserver import ForkServer
from helpers.lineages import lineage, states
from rzero_cli.data.ancestry import nodes, trace
from rzero_cli.data.provenance import (
    content_hash,
    write_checkpoint_meta,
)


@pytest.fixture(scope="module")
def run(small_base: Path, forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One iteration run by the commands, with an adapter as the Solver, and its evaluation."""
    root = tmp_path_factory.mktemp("root")
    base = root / "run" / "base"
    shutil.copytree(small_base, base)
    made = json.loads((base / "rzero.json").read_text())
    write_checkpoint_meta(base, made)  # a cached base may have an older record with fewer keys
    training = "--steps 1 --prompts 4 --batch 4 --group 4 --per-device 16 --lora-r 4 --lora-alpha 8"
    for command in (
        "sample --challenger run/base -n 12 --seed 7 -o run/q.jsonl",
        "label run/q.jsonl --solver run/base --m 4 -o run/l.jsonl",
        "filter run/l.jsonl --delta 0.5 -o run/t.jsonl",
        f"train-solver run/t.jsonl --solver run/base {training} -o run/solver",
        "eval --model run/solver --data run/base/heldout.jsonl --limit 4 --k 0 -o run/eval.json",
    ):
        done = _run(root, [*command.split(), "--preset", "tiny"], forks=forks)
        assert done.status == 0, done.stderr
    return root


@pytest.mark.slow
def test_lineage_follows_a_run_back_to_its_base(run: Path) -> None:
    ended = lineage(run, "run/eval.json", "--verify")
    assert ended.status == 0, ended.stderr
    shown = [line.partition("  20")[0].split("run/") for line in ended.lines]
    parts = [(len(indent) // 4, *rest.split("  ")) for indent, rest in shown]
    assert (
        [(depth, name, *facts[:1]) for depth, name, *facts in parts]
        == [
            (0, "eval.json", "eval"),
            (1, "solver", "train-solver"),
            (2, "base", "tiny-base"),
            (2, "t.jsonl", "filter"),
            (3, "l.jsonl", "label"),
            (4, "base", "tiny-base"),
            (4, "q.jsonl", "sample"),
            (5, "base", "tiny-base"),
            (1, "base", "tiny-base"),  # an adapter is followed by its base
            (1, "base/heldout.jsonl", content_hash(run / "run" / "base" / "heldout.jsonl")[:12]),
        ]
    )
    assert parts[6][4:6] == ("seed 7", "preset tiny")
    assert ended.stderr.count("hashing") == 2


@pytest.mark.slow
def test_lineage_of_a_moved_run_is_complete(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "run", tmp_path / "moved")
    hidden = run.rename(run.with_name("gone"))
    try:
        ended = lineage(tmp_path, "moved/eval.json", "--verify", "--json")
    finally:
        hidden.rename(run)
    assert ended.status == 0, ended.stderr
    found = list(nodes(json.loads(ended.stdout)))
    assert {node["state"] for node in found} == {None, "unchanged"}
    assert all(node["path"].startswith(f"{tmp_path}/moved/") for node in found)


@pytest.mark.slow
def test_lineage_verify_finds_changed_weights(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(run / "run", place)
    weights = place / "solver" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    hidden = run.rename(run.with_name("gone"))
    try:
        assert states(trace(str(place / "eval.json")))["solver"] == "unchanged"
        ended = lineage(tmp_path, "run/eval.json", "--verify", "-q")
    finally:
        hidden.rename(run)
    assert (ended.status, "1 changed" in ended.stderr) == (1, True)


@pytest.mark.slow
def test_records_hold_directory_tokens_host_and_versions(run: Path) -> None:
    place = run / "run"
    for name, has_tokens in {"q": True, "l": True, "t": False}.items():
        told = json.loads((place / f"{name}.jsonl.meta.json").read_text())
        assert (told["directory"], told["output"]) == (str(run), f"run/{name}.jsonl")
        assert ("tokens" in told) is has_tokens
        assert told["host"]["cores"] >= 1
        assert told["host"]["memory_gib"] > 0
        assert told["host"]["name"]
        assert told["host"]["gpus"] == []
    assert 12 <= json.loads((place / "q.jsonl.meta.json").read_text())["tokens"] <= 12 * 24
    solver = json.loads((place / "solver" / "rzero.json").read_text())
    assert solver["sha256"] == content_hash(place / "solver")
    assert solver["output"] == "run/solver"
