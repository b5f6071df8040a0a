"""Output files of records: written as they come, resumed after a crash, put in place whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.json_values import json_values, typed_pairs
from rzero_cli.data.journal import open_output
from rzero_cli.data.jsonl import read_lines
from rzero_cli.errors import AlreadyDone, UsageError


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=4))
def test_records_are_read_back_with_the_order_of_keys(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    target = tmp_path_factory.mktemp("out") / "out.jsonl"
    with open_output(str(target), settings={}) as out:
        for record in records:
            out.write(record)
    assert target.read_bytes().count(b"\n") == len(records)
    again = [line.record for line in read_lines([str(target)])]
    assert typed_pairs(again) == typed_pairs(records)


def test_each_record_is_flushed_when_written(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "out"), settings={}) as out:
        for count in range(1, 4):
            out.write({"i": count} if count != 2 else None)
            assert (tmp_path / "out.part").read_bytes().count(b"\n") == count


def test_no_record_looks_like_the_placeholder_line(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "out"), settings={}) as out:
        for record in (None, {"rzero_no_record": True}, None):
            out.write(record)
    assert (tmp_path / "out").read_bytes() == b'{"rzero_no_record":true}\n'


def _write(target: Path, records: list[Any], settings: dict[str, Any], **options: bool) -> int:
    """Write the records that a journal does not have yet; a record "crash" is one."""
    with open_output(str(target), settings=settings, **options) as out:
        done = out.done
        for record in records[done:]:
            if record == "crash":
                raise RuntimeError("crash")
            out.write(record)
    return done


def test_resume_continues_after_the_records_before_a_crash(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    records: list[Any] = [{"i": 0}, None, {"i": 2}, {"i": 3}]
    with pytest.raises(RuntimeError):
        _write(target, [*records[:3], "crash"], {"m": 1})
    assert not target.exists()
    assert _write(target, records, {"m": 1}, resume=True) == 3
    # An input without a record leaves nothing behind, and neither does the journal.
    assert target.read_bytes() == b'{"i":0}\n{"i":2}\n{"i":3}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_resume_rewrites_a_torn_last_line(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, [{"i": 0}, "crash"], {})
    with (tmp_path / "out.jsonl.part").open("ab") as journal:
        journal.write(b'{"i": 1, "text": "cut o')
    assert _write(target, [{"i": 0}, {"i": 1}], {}, resume=True) == 1
    assert target.read_bytes() == b'{"i":0}\n{"i":1}\n'


def test_crash_before_the_first_record_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _write(tmp_path / "out.jsonl", ["crash"], {})
    assert list(tmp_path.iterdir()) == []


def test_existing_journal_needs_resume_or_force_and_the_same_settings(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, [{"i": 0}, "crash"], {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"interrupted run.*--resume.*--force"):
        _write(target, [{"i": 9}], {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"other settings \(gone, m\)"):
        _write(target, [{"i": 9}], {"m": 2, "seed": 0}, resume=True)
    assert _write(target, [{"i": 9}], {"m": 2, "seed": 0}, force=True) == 0
    assert target.read_bytes() == b'{"i":9}\n'


def test_existing_output_is_refused_kept_or_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("mine\n")
    with pytest.raises(UsageError, match=r"exists: .*--force"):
        _write(target, [{}], {})
    with pytest.raises(AlreadyDone):
        _write(target, [{}], {}, resume=True)
    with pytest.raises(RuntimeError):
        _write(target, ["crash"], {}, force=True)
    assert target.read_text() == "mine\n"  # until the new one is whole
    _write(target, [{}], {}, force=True)
    assert target.read_text() == "{}\n"


def test_name_too_long_for_our_suffix_is_refused(tmp_path: Path) -> None:
    longest = "n" * 230
    with open_output(str(tmp_path / longest), settings={}) as output:
        output.write({"a": 1})
    assert {path.name for path in tmp_path.iterdir()} == {longest}
    with (
        pytest.raises(UsageError, match="the name is too long"),
        open_output(str(tmp_path / (longest + "n")), settings={}),
    ):
        pass


@pytest.mark.parametrize("old", [False, True])
def test_interruption_before_the_rename_leaves_no_record_file(tmp_path: Path, old: bool) -> None:
    target, record = tmp_path / "out", tmp_path / "out.meta.json"
    if old:
        target.write_text("old")

    def at_end(finished: Path) -> None:
        record.write_text("{}")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_output(str(target), settings={}, force=True, at_end=at_end) as output,
    ):
        output.write({"a": 1})
    assert record.exists() == old
    assert (tmp_path / "out.part").read_bytes() == b'{"a":1}\n'


def test_lock_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".out.lock").mkdir()  # what cannot be opened, even by root
    with (
        pytest.raises(UsageError, match=r"\.out\.lock: cannot be opened"),
        open_output(str(tmp_path / "out"), settings={}),
    ):
        pass


def test_standard_output_cannot_be_resumed() -> None:
    with (
        pytest.raises(UsageError, match="--resume needs -o"),
        open_output(None, settings={}, resume=True),
    ):
        pass


def test_resume_with_force_continues_a_replacement(tmp_path: Path) -> None:
    target, part = tmp_path / "out", tmp_path / "out.part"
    target.write_text("old\n")
    os.utime(target, ns=(1, 1))
    with (
        pytest.raises(KeyboardInterrupt),
        open_output(str(target), settings={}, force=True) as output,
    ):
        output.write({"n": 1})
        raise KeyboardInterrupt
    with (
        pytest.raises(UsageError, match=r"begun to replace .* go on with --force --resume"),
        open_output(str(target), settings={}, resume=True),
    ):
        pass
    assert part.read_text() == '{"n":1}\n'
    with open_output(str(target), settings={}, resume=True, force=True) as output:
        assert output.done == 1
    assert target.read_text() == '{"n":1}\n'


def test_pipes_links_and_directories_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name, message in (
        ("pipe", "not a file"),
        ("link", "symbolic link"),
        (".", "a directory|no name"),
        ("", "no name"),
    ):
        with (
            pytest.raises(UsageError, match=message),
            open_output(str(tmp_path / name) if name else ".", settings={}, force=True),
        ):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_damaged_journal_is_named(tmp_path: Path) -> None:
    for damage in ("", "[1]"):
        (tmp_path / "out.part").write_text('{"n":1}\n')
        (tmp_path / "out.part.json").write_text(damage)
        with (
            pytest.raises(UsageError, match=r"out\.part\.json: .* start over with --force"),
            open_output(str(tmp_path / "out"), settings={}, resume=True),
        ):
            pass
