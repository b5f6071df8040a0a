"""`rzero tiny-base`: a base made on this machine, once, and copied from then on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Ended, Refused, _run

pytest.importorskip("torch")


def test_what_is_wrong_is_said_before_anything_is_loaded(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in (
        (["-o", "base", "--size", "huge"], "--size huge: unknown; known: small, demo"),
        (["-o", "taken"], "taken exists: choose another name, or replace it with --force"),
        (["-o", "nowhere/base"], "no such folder"),
        (["-o", "base", "--seed", "x"], "--seed"),
        ([], "-o"),
    ):
        assert message in refused("tiny-base", *arguments)
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------- one base, made twice

CALLS = {
    "made": ["-o", "base", "--size", "small"],
    "copied": ["-o", "copy", "--size", "small"],
    # Over what is there, with no folder to keep anything in, and other held-out questions.
    "anew": ["-o", "taken", "--size", "small", "--no-cache", "--force", "--heldout-seed", "5"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny_base")
    (folder / "file").write_text("mine")
    (folder / "taken").mkdir()
    (folder / "taken" / "notes.txt").write_text("old")
    return folder


def call(folder: Path, name: str, cache: str) -> Ended:
    environment = {"RZERO_CACHE": str(folder / cache)}
    ended = _run(folder, ["tiny-base", *CALLS[name]], environment=environment, timeout=600)
    assert (ended.status, ended.stdout) == (0, ""), ended.stderr
    return ended


@pytest.fixture(scope="module")
def made(folder: Path) -> Ended:
    return call(folder, "made", "cache")


@pytest.fixture(scope="module")
def copied(folder: Path, made: Ended) -> Ended:
    return call(folder, "copied", "cache")


@pytest.fixture(scope="module")
def anew(folder: Path) -> Ended:
    return call(folder, "anew", "file/cache")


def contents(base: Path) -> dict[str, bytes]:
    return {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_base_is_a_checkpoint_with_its_record_and_an_examination(
    folder: Path, made: Ended
) -> None:
    base = folder / "base"
    files = {"rzero.json", "config.json", "tokenizer.json", "model.safetensors", "heldout.jsonl"}
    assert files <= set(contents(base))
    assert "tiny-base: made in " in made.stderr
    record = json.loads((base / "rzero.json").read_text())
    assert (record["stage"], record["parents"]) == ("tiny-base", [])
    settings = record["settings"]
    assert (settings["size"], settings["seed"], settings["heldout_seed"]) == ("small", 0, None)
    assert record["metrics"]["loss"] > 0
    rows = [json.loads(line) for line in (base / "heldout.jsonl").read_text().splitlines()]
    assert len(rows) > 100
    assert all({"id", "question", "reference", "group"} <= set(row) for row in rows)
    assert not list(folder.glob("*.part"))


@pytest.mark.slow
def test_a_base_is_loaded_like_any_checkpoint(folder: Path, made: Ended) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    assert model.config.model_type == "llama"
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.chat_template


@pytest.mark.slow
def test_a_second_call_copies_what_the_first_has_kept(folder: Path, copied: Ended) -> None:
    (kept,) = (folder / "cache" / "tiny-base").iterdir()
    assert copied.stderr == f"tiny-base: copied from {kept}\n"
    assert contents(folder / "copy") == contents(folder / "base") == contents(kept)


@pytest.mark.slow
def test_a_base_made_anew_has_the_same_weights(folder: Path, made: Ended, anew: Ended) -> None:
    assert "tiny-base: made in " in anew.stderr
    assert "copied" not in anew.stderr
    weights = [folder / name / "model.safetensors" for name in ("base", "taken")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_another_examination_is_all_that_its_seed_changes(
    folder: Path, made: Ended, anew: Ended
) -> None:
    first, other = contents(folder / "base"), contents(folder / "taken")
    assert first.keys() == other.keys()
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {"heldout.jsonl", "rzero.json"}  # and the record, which says so
    assert json.loads(other["rzero.json"])["settings"]["heldout_seed"] == 5


@pytest.mark.slow
def test_force_leaves_nothing_of_what_was_there(folder: Path, anew: Ended) -> None:
    assert not (folder / "taken" / "notes.txt").exists()
    assert (folder / "taken" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_does_not_matter(folder: Path, anew: Ended) -> None:
    # Its folder is a file, which not even root can write into.
    assert (folder / "file").read_text() == "mine"
    assert "cache" not in anew.stderr


@pytest.mark.slow
def test_a_base_that_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "notes.txt").write_text("old")
    command = ["tiny-base", "--size", "small", "--no-cache", "--force", "-o", "base"]
    with subprocess.Popen(
        [sys.executable, "-m", "rzero_cli", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("80 of 400 steps" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait(60) == 130
    assert list(tmp_path.rglob("*")) == [tmp_path / "base", tmp_path / "base" / "notes.txt"]
