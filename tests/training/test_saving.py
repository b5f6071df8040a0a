"""The unfinished directory of a training; `tests/faults` kills real ones."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rzero_cli.errors import RzeroError
from rzero_cli.training.saving import open_checkpoint


def test_continued_checkpoint_has_no_file_of_a_killed_save(tmp_path: Path) -> None:
    target, part = tmp_path / "out", tmp_path / "out.part"
    with (
        pytest.raises(KeyboardInterrupt),
        open_checkpoint(target, settings={"seed": 0}, resume=False, force=False),
    ):
        state = part / "checkpoints" / "checkpoint-1"
        state.mkdir(parents=True)
        (state / "trainer_state.json").write_text('{"global_step": 1}')
        (part / ".tmpP80Jzs").touch()  # as safetensors leaves it
        raise KeyboardInterrupt
    with open_checkpoint(target, settings={"seed": 0}, resume=True, force=False):
        (part / "config.json").touch()
    assert [path.name for path in target.iterdir()] == ["config.json"]


def test_full_disk_at_the_start_names_the_output_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(RzeroError, match=f"^{tmp_path / 'out'}.part: No space left on device$"),
        open_checkpoint(tmp_path / "out", settings={}, resume=False, force=False),
    ):
        pass
    assert not [path for path in tmp_path.iterdir() if path.name != "out.part.lock"]
