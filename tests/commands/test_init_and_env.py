"""`rzero init` and `rzero env`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from conftest import Rzero
from helpers.shell import shell


def test_init_writes_files_that_make_and_rzero_read(rzero: Rzero, tmp_path: Path) -> None:
    assert rzero("init", "a/b").status == 0
    folder = tmp_path / "a" / "b"
    assert sorted(path.name for path in folder.iterdir()) == ["Makefile", "rzero.toml", "slurm"]
    assert shell(folder, "rzero filter -q").status == 0
    assert subprocess.run(["make", "-n", "help"], cwd=folder, capture_output=True).returncode == 0
    (folder / "rzero.toml").write_text("mine")
    (folder / "Makefile").unlink()
    ended = rzero("init", "a/b")
    assert (ended.status, ended.stderr.count("\n")) == (2, 1)
    assert "exists" in ended.stderr
    assert not (folder / "Makefile").exists()
    assert rzero("init", "a/b", "--force").status == 0
    for taken in ("a/b/Makefile", "a/b/Makefile/c"):
        ended = rzero("init", taken)
        assert ended.status == 2
        assert ended.stderr == "rzero: a/b/Makefile is not a directory\n"
    assert (folder / "rzero.toml").read_text() != "mine"


@pytest.mark.slow
def test_env_reports_machine_engines_and_packages(rzero: Rzero) -> None:
    found = json.loads(rzero("env", "--json", environment={"RZERO_SEED": "3"}).stdout)
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["engines"]["transformers"] == "ready"
    assert found["packages"]["vllm"] is None or found["packages"]["vllm"][0].isdigit()
    text = rzero("env").stdout
    for name in (*found, *found["packages"]):
        assert name in text
