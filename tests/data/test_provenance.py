"""Content hashes of checkpoints, and checkpoints that were changed after writing."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import Refused
from helpers.empty_checkpoints import empty_checkpoint, write_safetensors
from rzero_cli.data.provenance import (
    content_hash,
    describe,
    hashed_parents,
    write_checkpoint_meta,
)


def with_record(folder: Path) -> Path:
    made = describe("x", output=str(folder), settings={}, parents=[], seconds=0.0, metrics={})
    write_checkpoint_meta(folder, made)
    return folder


def test_content_hash_ignores_files_next_to_a_checkpoint(tmp_path: Path) -> None:
    folder = with_record(empty_checkpoint(tmp_path / "model"))
    before = content_hash(folder)
    for name in ("eval.json", "eval.json.part.json", "heldout.jsonl", "log.jsonl", "README.md"):
        (folder / name).write_text("{}")
    assert content_hash(folder) == before
    for name in (
        *("config.json", "generation_config.json", "adapter_config.json", "tokenizer_config.json"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"),
        *("adapter_model.safetensors", "chat_template.jinja", "chat_template.json", "merges.txt"),
        *("vocab.json", "vocab.txt", "tokenizer.model", "special_tokens_map.json"),
    ):
        (folder / name).write_text("another")
        assert content_hash(folder) != before, name
        before = content_hash(folder)


def test_changed_checkpoint_is_refused_before_any_work(refused: Refused, tmp_path: Path) -> None:
    rotten, whole = (with_record(empty_checkpoint(tmp_path / name)) for name in ("rot", "whole"))
    # One bit, which the header does not show; nothing here could be loaded either.
    write_safetensors(rotten / "model.safetensors", {"__metadata__": {"a": "b"}})
    (tmp_path / "q.jsonl").write_text('{"question": "1 + 1", "answer": "2", "reference": "2"}\n')
    (tmp_path / "adapter").mkdir()
    write_safetensors(tmp_path / "adapter" / "adapter_model.safetensors", {})
    declared = {"base_model_name_or_path": str(rotten)}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(declared))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name, *command in (
        ("rot", "label", "q.jsonl", "--solver", "rot", "-o", "out"),
        ("rot", "sample", "--challenger", "rot", "-n", "3", "-o", "out"),
        ("rot", "score", "q.jsonl", "--solver", "rot", "-o", "out"),
        ("rot", "eval", "--data", "q.jsonl", "--model", "rot", "-o", "out"),
        ("rot", "challenge", "--challenger", "rot", "--solver", "whole", "-o", "out", "--quiet"),
        ("rot", "challenge", "--challenger", "whole", "--solver", "rot", "-o", "out", "--quiet"),
        ("rot", "train-solver", "q.jsonl", "--solver", "rot", "-o", "out", "--quiet"),
        (str(rotten), "merge", "adapter", "-o", "out", "--quiet"),
    ):
        message = refused(*command)
        assert message.startswith(f"{name}: does not match its rzero.json (sha256 ")
        assert "restore it, or remove its rzero.json to accept it" in message
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {p: t for p, t in after.items() if p != tmp_path} == before
    (rotten / "rzero.json").unlink()
    assert hashed_parents(["rot"]) == [{"path": "rot", "sha256": None}]  # not there: a hub name
    (parent,) = hashed_parents([str(rotten)])
    assert parent["sha256"] == content_hash(rotten) != content_hash(whole)
