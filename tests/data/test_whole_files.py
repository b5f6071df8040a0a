"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero_cli.data.whole_files import check_new, open_copy, open_directory, write_json
from rzero_cli.errors import UsageError


def test_output_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder for out"):
        check_new(tmp_path / "nowhere" / "out", force=True)


def test_finished_directory_has_equal_file_modes(tmp_path: Path) -> None:
    with open_directory(tmp_path / "new") as part:
        (part / "weights").write_text("1")
        (part / "weights").chmod(0o600)
        (part / "record").write_text("1")
    modes = {path.stat().st_mode for path in (tmp_path / "new").iterdir()}
    assert len(modes) == 1


def test_copy_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError), open_copy(str(target)) as out:
        out.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with open_copy(str(target)) as out:
        out.write(b"\xff\r\n")
    assert target.read_bytes() == b"\xff\r\n"
    with pytest.raises(UsageError, match="exists"), open_copy(str(target)):
        pass


def test_write_json_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert json.loads(path.read_text("utf-8")) == {"é": 1}
