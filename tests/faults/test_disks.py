"""Full disks and read-only folders give a one-line error and leave the old output intact."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from faults.conftest import FULL, Tries
from faults.interrupted_stages import FEW, PATIENCE, PLAN, Stage
from faults.small_disks import Disk
from helpers.forkserver import ForkServer

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

ROOM = 1 << 16  # kilobytes, enough for all outputs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        made = Disk(tmp_path / "disk", ROOM)
    except OSError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def kilobytes(folder: Path) -> int:
    """Return the used space of a disk, in whole pages."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize >> 10


def contents(path: Path) -> dict[str, str]:
    """Return the hash of each file of an output: the file and its record, or all in a folder."""
    record = path.with_name(f"{path.name}.meta.json")
    files = [*path.rglob("*"), path, record]
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()
    }


STAGES = ["sample", "label", "score", "vote", "grade", "filter", "eval", "report"]
STAGES += ["challenge", "train-solver", "merge", "tiny-base"]
RESTARTED = ("filter", "report", "merge", "tiny-base")
"""Stages that start over each time; the others resume."""


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    forks: ForkServer,
    tiny_model: Path,
    questions: Path,
    labels: Path,
    tmp_path: Path,
) -> Stage:
    """A command that writes about ten pages or more."""
    many = tmp_path / "many"
    many.write_text(labels.read_text() * 10)
    name = request.param
    how: dict[str, list[Any]] = {
        "sample": ["--challenger", tiny_model, "-n", 200, *FEW],
        "label": [questions, "--solver", tiny_model, "--m", 4, "--keep-completions", *FEW],
        "score": [labels],
        "vote": [many],
        "grade": [many],
        "filter": [many],
        "eval": ["--model", tiny_model, "--data", labels, "--k", 1, *FEW],
        "report": [tmp_path],
        "challenge": ["--challenger", tiny_model, "--solver", tiny_model, "--m", 2, *PLAN],
        "train-solver": [labels, "--solver", tiny_model, *PLAN],
        "tiny-base": ["--size", "small"],
    }
    if name == "merge":
        how["merge"] = [request.getfixturevalue("adapter")]
    if name == "report":
        run = [*how["eval"], "--quiet", "-o", tmp_path / "base" / "eval.json"]
        (tmp_path / "base").mkdir()
        ended = forks.run(["eval", *run], cwd=tmp_path)
        assert ended.status == 0, ended.stderr
    if name == "tiny-base":
        request.getfixturevalue("small_base")
    return Stage(forks, tmp_path / "run", name, *how[name])


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_full_disk_is_one_line_and_keeps_the_old_output(
    stage: Stage, disk: Disk, tries: Callable[[str], Tries], moments: Random, small_cache: Path
) -> None:
    name = str(stage.arguments[0])
    out = disk.path / ("out.html" if name == "report" else "out")
    kind = tries(f"full disk: {name}")
    resumes = [] if name in RESTARTED else ["--resume"]

    def run(*more: str) -> tuple[int, str]:
        env = os.environ | {"RZERO_CACHE": str(small_cache)}
        stderr = stage.folder / "stderr"
        command = stage.forks.start(
            [*stage.arguments, "-o", out, *more], cwd=stage.folder, env=env, stderr=stderr
        )
        return command.wait(PATIENCE), stderr.read_text()

    empty = kilobytes(disk.path)
    status, errors = run()
    assert status == 0, errors
    old, taken = contents(out), kilobytes(disk.path)
    for n in range(8) if FULL else [moments.randrange(2)]:
        replaces = n % 2 == 0
        force = ["--force"] if replaces else []
        if not replaces:
            for path in disk.path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        before = taken if replaces else empty
        # An unfinished output takes at least as much space as the finished one.
        pages = range(before + 4, before + max(taken - empty - 8, 8), 4)
        disk.resize(moments.choice(pages))
        status, errors = run(*force, *resumes)
        assert (status, errors.count("\n")) == (1, 1), errors
        assert "Traceback" not in errors
        assert f"{out}" in errors and "No space left" in errors, errors
        kind.tries += 1
        assert contents(out) == (old if replaces else {})
        others = {path.name for path in disk.path.iterdir()} - {out.name, f"{out.name}.meta.json"}
        assert others <= ({f"{out.name}.part", f"{out.name}.part.json"} if resumes else set())
        disk.resize(ROOM)
        status, errors = run(*force, *resumes)
        assert status == 0, errors
        same = {k: v for k, v in contents(out).items() if "meta.json" not in k}
        if name in ("sample", "label", "score", "vote", "grade", "filter"):
            kind.lost += same != {k: v for k, v in old.items() if k in same}
        old = contents(out)
        assert not list(disk.path.glob("*.part*")) + list(disk.path.glob(".*"))


@pytest.mark.parametrize("stage", STAGES if FULL else STAGES[1::3], indirect=True)
def test_read_only_folder_is_refused_before_any_work(
    stage: Stage, disk: Disk, tries: Callable[[str], Tries]
) -> None:
    name = str(stage.arguments[0])
    disk.protect()
    out = disk.path / ("out.html" if name == "report" else "out")
    kind = tries(f"read-only folder: {name}")
    command = [sys.executable, "-X", "importtime", "-m", "rzero_cli", *map(str, stage.arguments)]
    done = subprocess.run(
        [*command, "-o", str(out)],
        cwd=stage.folder,
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, len(errors)) == (1, 1), errors
    assert "Read-only file system" in errors[0]
    assert str(out) in errors[0]
    if name != "report":
        loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        assert not loaded & {"torch", "transformers"}
    kind.tries += 1
