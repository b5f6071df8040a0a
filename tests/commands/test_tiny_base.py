"""`rzero tiny-base`: a base model pre-trained once on this machine, then copied from a cache."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from conftest import Ended, Refused, _run
from helpers.forkserver import ForkServer

pytest.importorskip("torch")


def test_tiny_base_errors_come_before_anything_is_loaded(refused: Refused, tmp_path: Path) -> None:
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


# ---------------------------------------------------------------- one base, trained twice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_base: Path) -> Path:
    """A folder with `base`, trained and cached before by the same code."""
    folder = tmp_path_factory.mktemp("tiny_base")
    (folder / "base").symlink_to(small_base)
    (folder / "file").write_text("mine")
    (folder / "taken").mkdir()
    (folder / "taken" / "notes.txt").write_text("old")
    return folder


@pytest.fixture(scope="module")
def anew(folder: Path, forks: ForkServer) -> Ended:
    """A second base in `taken`, which replaces a folder, without a usable cache."""
    command = ["tiny-base", "-o", "taken", "--size", "small", "--no-cache", "--force"]
    command += ["--heldout-seed", "5"]
    environment = {"RZERO_CACHE": str(folder / "file" / "cache")}
    ended = _run(folder, command, forks=forks, environment=environment, timeout=600)
    assert (ended.status, ended.stdout) == (0, ""), ended.stderr
    return ended


def contents(base: Path) -> dict[str, bytes]:
    return {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_tiny_base_writes_checkpoint_record_and_held_out_questions(folder: Path) -> None:
    base = folder / "base"
    files = {"rzero.json", "config.json", "tokenizer.json", "model.safetensors", "heldout.jsonl"}
    assert files <= set(contents(base))
    record = json.loads((base / "rzero.json").read_text())
    assert (record["stage"], record["parents"]) == ("tiny-base", [])
    settings = record["settings"]
    assert (settings["size"], settings["seed"], settings["heldout_seed"]) == ("small", 0, None)
    assert record["metrics"]["loss"] > 0
    rows = [json.loads(line) for line in (base / "heldout.jsonl").read_text().splitlines()]
    assert len(rows) > 100
    assert all({"id", "question", "reference", "group"} <= set(row) for row in rows)
    probe = [json.loads(line) for line in (base / "probe.jsonl").read_text().splitlines()]
    assert len(probe) == len(rows)
    assert not {row["question"] for row in probe} & {row["question"] for row in rows}
    assert not list(folder.glob("*.part"))


@pytest.mark.slow
def test_tiny_base_loads_like_any_checkpoint(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    assert model.config.model_type == "llama"
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.chat_template


@pytest.mark.slow
def test_second_tiny_base_is_copied_from_the_cache(
    folder: Path, forks: ForkServer, small_cache: Path
) -> None:
    command = ["tiny-base", "-o", "copy", "--size", "small"]
    copied = _run(folder, command, forks=forks, environment={"RZERO_CACHE": str(small_cache)})
    kept = Path(copied.stderr.removeprefix("tiny-base: copied from ").rstrip("\n"))
    assert kept.parent == small_cache / "tiny-base"
    assert copied == Ended(0, "", f"tiny-base: copied from {kept}\n")
    assert contents(folder / "copy") == contents(kept)


@pytest.mark.slow
def test_tiny_base_made_again_has_the_same_weights(folder: Path, anew: Ended) -> None:
    assert "tiny-base: trained in " in anew.stderr
    assert "copied" not in anew.stderr
    weights = [folder / name / "model.safetensors" for name in ("base", "taken")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_heldout_seed_changes_only_the_held_out_questions(folder: Path, anew: Ended) -> None:
    first, other = contents(folder / "base"), contents(folder / "taken")
    assert first.keys() == other.keys()
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {
        "heldout.jsonl",
        "probe.jsonl",
        "rzero.json",
    }  # and the record, which has the seed
    assert json.loads(other["rzero.json"])["settings"]["heldout_seed"] == 5


@pytest.mark.slow
def test_force_removes_the_old_folder(folder: Path, anew: Ended) -> None:
    assert not (folder / "taken" / "notes.txt").exists()
    assert (folder / "taken" / "model.safetensors").is_file()


@pytest.mark.slow
def test_unwritable_cache_is_ignored(folder: Path, anew: Ended) -> None:
    # The cache folder is a file, so not even root can write into it.
    assert (folder / "file").read_text() == "mine"
    assert "cache" not in anew.stderr


@pytest.mark.slow
def test_interrupted_tiny_base_keeps_the_old_folder(tmp_path: Path, forks: ForkServer) -> None:
    folder, errors = tmp_path / "folder", tmp_path / "errors"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "notes.txt").write_text("old")
    command = ["tiny-base", "--size", "small", "--no-cache", "--force", "-o", "base"]
    log = tmp_path / "log"
    command += ["--log-file", str(log)]
    running = forks.start(command, cwd=folder, stderr=errors)
    deadline = time.monotonic() + 120
    while not log.exists():  # it has started
        assert running.poll() is None, errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert "Traceback" not in errors.read_text()
    assert json.loads(log.read_text().splitlines()[-1])["done"] < 400
    assert list(folder.rglob("*")) == [folder / "base", folder / "base" / "notes.txt"]
