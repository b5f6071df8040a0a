"""SIGKILL just before each file operation: an output is whole or absent at every moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from faults.conftest import FULL, Tries

SCRIPT = Path(__file__).with_name("kill_before_file_operation.py")
ANSWERS = "".join(
    json.dumps({"question": f"q{n}", "answers": ["1", "2", "1"], "p_hat": n / 8, "answer": "1"})
    + "\n"
    for n in range(8)
)


class Killer:
    """Runs a command until it is killed before an operation on a file."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, kill_at: int, folder: Path, *arguments: str) -> tuple[int, int, str]:
        """Return status, operations on files in `folder`, and standard error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([kill_at, str(folder), arguments]), file=self.process.stdin, flush=True)
        return tuple(json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    started = Killer()
    yield started
    started.process.communicate(timeout=10)


def whole(out: Path) -> bool:
    """Return True for a file that matches its record, or a directory with its manifest."""
    from rzero_cli.data.provenance import content_hash

    if out.is_dir():
        return (out / "rzero.json").is_file() and (
            out / "model.safetensors"
        ).read_text() == "3 " * 9
    record = json.loads(out.with_name(f"{out.name}.meta.json").read_text())
    return bool(record["sha256"] == content_hash(out))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("arguments", "resumes"),
    [
        (["vote", "in.jsonl", "--workers", "1", "--quiet", "-o", "out"], True),
        (["filter", "in.jsonl", "--quiet", "-o", "out"], False),
        ([":checkpoint", "out"], True),
    ],
    ids=["vote", "filter", "checkpoint"],
)
def test_kill_before_any_file_operation_leaves_all_or_nothing(
    arguments: list[str],
    resumes: bool,
    old: bool,
    killer: Killer,
    tmp_path: Path,
    tries: Callable[[str], Tries],
    moments: Random,
) -> None:
    name = arguments[0].strip(":") + (", which replaces another" if old else "")
    kind = tries(f"kill -9 before a file operation: {name}")
    again = ["--resume"] if resumes else []

    def prepared(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "in.jsonl").write_text(ANSWERS)
        if old:
            assert killer.run(0, folder, *arguments)[0] == 0
        return folder

    force = ["--force"] if old else []
    undisturbed = prepared("undisturbed")
    status, operations, errors = killer.run(0, undisturbed, *arguments, *force)
    assert status == 0, errors
    assert operations > 8
    every = range(1, operations + 1)
    for k in every if FULL else moments.sample(every, 6):
        folder = prepared(f"at {k}")
        out = folder / "out"
        assert killer.run(k, folder, *arguments, *force, *again)[0] == -9
        kind.tries += 1
        # Between the two renames of a replacement, a directory has no name.
        assert not out.exists() or whole(out) or old
        if old and out.exists():
            kind.lost += not (whole(out) or not out.is_dir())
        go_on = ["--force"] if old or not resumes else []
        status, _, errors = killer.run(0, folder, *arguments, *go_on, *again)
        assert status == 0, (k, errors)
        assert whole(out), k
        if out.is_file():
            assert out.read_bytes() == (undisturbed / "out").read_bytes()
        left = {path.name for path in folder.iterdir()}
        assert left == {path.name for path in undisturbed.iterdir()}, k
        if out.is_dir():
            steps = (out / "steps").read_text().split()
            assert steps == ["1", "2", "3"]
            assert {p.name for p in out.iterdir()} == {
                p.name for p in (undisturbed / "out").iterdir()
            }


def test_training_interrupted_before_its_rename_is_kept(
    tmp_path: Path,
) -> None:
    from rzero_cli.training.saving import open_checkpoint

    how = {"settings": {}, "resume": True, "force": False}
    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), open_checkpoint(target, **how) as (part, finished):
        assert not finished
        (part / "rzero.json").write_text("{}")  # the last thing written; its states are gone
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), open_checkpoint(target, **how) as (part, finished):
        assert finished
        raise KeyboardInterrupt
    with open_checkpoint(target, **how) as (part, finished):
        assert finished
    assert (target / "rzero.json").is_file()
