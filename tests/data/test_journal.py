"""Output files of records: written as records finish, resumed after a crash, put in place whole."""

from __future__ import annotations

import json
import os
import tracemalloc
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.json_values import json_values, typed_pairs
from rzero_cli.data.journal import Journal, Output, open_output
from rzero_cli.data.jsonl import read_lines
from rzero_cli.errors import AlreadyDone, UsageError


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=4))
def test_records_are_read_back_with_the_order_of_keys(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    target = tmp_path_factory.mktemp("out") / "out.jsonl"
    with open_output(str(target), settings={}) as out:
        for number, record in enumerate(records):
            out.write(number, record)
    assert target.read_bytes().count(b"\n") == len(records)
    again = [line.record for line in read_lines([str(target)])]
    assert typed_pairs(again) == typed_pairs(records)


def test_each_record_is_flushed_when_written(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "out"), settings={}) as out:
        for count in range(1, 4):
            out.write(9 - count, {"i": count} if count != 2 else None)
            assert (tmp_path / "out.part").read_bytes().count(b"\n") == count


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_target_has_the_records_in_the_order_of_the_inputs(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], without: set[int]
) -> None:
    target = tmp_path_factory.mktemp("out") / "out"
    with open_output(str(target), settings={}) as out:
        for number in order:
            out.write(number, None if number in without else {"i": number})
    rest = [number for number in range(5) if number not in without]
    assert target.read_text() == "".join(f'{{"i":{number}}}\n' for number in rest)


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_standard_output_gets_each_record_after_those_before_it(
    order: list[int], without: set[int]
) -> None:
    stream = BytesIO()
    out, there = Output(stream), set[int]()
    for number in order:
        out.keep(number, ["an answer"])
        out.write(number, None if number in without else {"i": number})
        there.add(number)
        first = next(k for k in range(6) if k not in there)
        ready = [k for k in range(first) if k not in without]
        assert stream.getvalue().decode() == "".join(f'{{"i":{k}}}\n' for k in ready)
    assert not out.done


def _write(target: Path, records: dict[int, Any], settings: dict[str, Any], **options: Any) -> int:
    """Write the records that a journal does not have yet; the record "crash" raises an error."""
    with open_output(str(target), settings=settings, **options) as out:
        for number, record in records.items():
            if number in out.done:
                continue
            if record == "crash":
                raise RuntimeError("crash")
            out.write(number, record)
    return out.earlier


def test_resume_processes_the_inputs_missing_in_the_journal(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    records: dict[int, Any] = {3: {"i": 3}, 1: None, 0: {"i": 0}, 2: {"i": 2}}
    with pytest.raises(RuntimeError):
        _write(target, {**records, 0: "crash"}, {"m": 1})
    assert not target.exists()
    assert (tmp_path / "out.jsonl.part").read_bytes() == b'[3,{"i":3}]\n[1,null]\n'
    assert _write(target, records, {"m": 1}, resume=True) == 2
    # An input without a record leaves nothing behind, and neither does the journal.
    assert target.read_bytes() == b'{"i":0}\n{"i":2}\n{"i":3}\n'
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("torn", [b"[1", b'[1,{"i":9,"text":"cut o', b'[1,{"i":[9]'])
def test_incomplete_last_line_is_truncated(tmp_path: Path, torn: bytes) -> None:
    target, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    with pytest.raises(RuntimeError):
        _write(target, {0: {"i": 0}, 1: "crash"}, {})
    with part.open("ab") as journal:
        journal.write(torn)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            _write(target, {0: {"i": 0}, 1: "crash"}, {}, resume=True)
        assert part.read_bytes() == b'[0,{"i":0}]\n'
    assert _write(target, {0: {"i": 0}, 1: {"i": 1}}, {}, resume=True) == 1
    assert target.read_bytes() == b'{"i":0}\n{"i":1}\n'


def test_lines_left_by_a_power_failure_are_made_again(tmp_path: Path) -> None:
    part = tmp_path / "out.part"
    zeros = bytes(9) + b"\n[4," + bytes(9) + b'{"i":4}]\n'
    part.write_bytes(b'[0,{"i":0}]\n' + zeros + b'{"i":1}\n[2]\n\n[3,null]\n')
    with closing(Journal(part)) as journal:
        assert dict(journal) == {0: {"i": 0}, 3: None}


def test_last_line_of_an_input_counts(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with open_output(str(target), settings={}) as out:
        out.write(1, {"i": "first"})
        out.keep(0, ["an answer"])
        assert (out.kept(0), out.kept(1), list(out.done)) == (["an answer"], None, [1])
        out.write(1, {"i": "second"})
        out.write(0, {"i": 0})
        assert (out.kept(0), len(out.done), out.done[0]) == (None, 2, {"i": 0})
        out.keep(7, ["of an input that no longer exists"])
    assert target.read_bytes() == b'{"i":0}\n{"i":"second"}\n'


@given(
    st.dictionaries(
        st.integers(0, 40), st.dictionaries(st.text(), json_values, max_size=3), max_size=5
    )
)
def test_journal_is_read_back_while_it_grows_and_afterwards(
    tmp_path_factory: pytest.TempPathFactory, records: dict[int, dict[str, Any]]
) -> None:
    part = tmp_path_factory.mktemp("out") / "out.part"
    part.touch()
    with closing(Journal(part)) as journal:
        for count, (number, record) in enumerate(records.items()):
            assert (number in journal, journal.get(number)) == (False, None)
            journal.write(number, record)
            assert typed_pairs([journal[number]]) == typed_pairs([record])
            assert (len(journal), journal.earlier) == (count + 1, 0)
    with closing(Journal(part)) as journal:
        assert list(journal) == sorted(records)
        found = [journal[number] for number in records]
        assert typed_pairs(found) == typed_pairs(list(records.values()))
        assert journal.earlier == len(records)


def test_target_is_made_without_the_records_in_memory(tmp_path: Path) -> None:
    target, count = tmp_path / "out", 20_000
    order, text = Random(0).sample(range(count), count), "x" * 400
    tracemalloc.start()
    with open_output(str(target), settings={}) as out:
        for number in order:
            out.write(number, {"i": number, "text": text})
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert target.stat().st_size > 8_000_000
    assert most < 1_000_000
    with target.open() as lines:
        assert [json.loads(line)["i"] for line in lines] == list(range(count))


def test_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    target, part = tmp_path / "out", tmp_path / "out.part"
    # As up to 0.1.0: a line for each input, in order.
    part.write_text('{"i":0}\n{"rzero_no_record": true}\n')
    (tmp_path / "out.part.json").write_text('{"m": 1}')
    with pytest.raises(UsageError) as error:
        _write(target, {0: {"i": 9}}, {"m": 1}, resume=True)
    assert str(error.value) == (
        f"{part} is from another version of rzero: finish it with that version, or remove {part}*"
    )
    assert part.read_text().count("\n") == 2
    for path in tmp_path.glob("out.part*"):
        path.unlink()
    assert _write(target, {0: {"i": 9}}, {"m": 1}, resume=True) == 0


def test_allowed_changes_of_settings_are_saved(tmp_path: Path) -> None:
    target, seen = tmp_path / "out", list[list[str]]()

    def write(settings: dict[str, Any], record: Any, **options: Any) -> int:
        def refused(names: list[str]) -> list[str]:
            seen.append(names)
            return [name for name in names if name != "batch_size"]

        return _write(target, {0: {"i": 0}, 1: record}, settings, refused=refused, **options)

    with pytest.raises(RuntimeError):
        write({"m": 1, "batch_size": 8}, "crash")
    with pytest.raises(UsageError, match=r"other settings \(m\)"):
        write({"m": 2, "batch_size": 4}, "crash", resume=True)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            write({"m": 1, "batch_size": 4}, "crash", resume=True)
    assert write({"m": 1, "batch_size": 8}, {"i": 1}, force=True, resume=True) == 1
    assert seen == [["batch_size", "m"], ["batch_size"], [], ["batch_size"]]


def test_crash_before_the_first_record_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _write(tmp_path / "out.jsonl", {0: "crash"}, {})
    assert list(tmp_path.iterdir()) == []


def test_existing_journal_needs_resume_or_force_and_the_same_settings(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(RuntimeError):
        _write(target, {0: {"i": 0}, 1: "crash"}, {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"interrupted run.*--resume.*--force"):
        _write(target, {0: {"i": 9}}, {"m": 1, "seed": 0, "gone": 1})
    with pytest.raises(UsageError, match=r"other settings \(gone, m\)"):
        _write(target, {0: {"i": 9}}, {"m": 2, "seed": 0}, resume=True)
    assert _write(target, {0: {"i": 9}}, {"m": 2, "seed": 0}, force=True) == 0
    assert target.read_bytes() == b'{"i":9}\n'


def test_existing_output_is_refused_kept_or_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("mine\n")
    with pytest.raises(UsageError, match=r"exists: .*--force"):
        _write(target, {0: {}}, {})
    with pytest.raises(AlreadyDone):
        _write(target, {0: {}}, {}, resume=True)
    with pytest.raises(RuntimeError):
        _write(target, {0: "crash"}, {}, force=True)
    assert target.read_text() == "mine\n"  # until the new one is whole
    _write(target, {0: {}}, {}, force=True)
    assert target.read_text() == "{}\n"


def test_name_too_long_for_our_suffix_is_refused(tmp_path: Path) -> None:
    longest = "n" * 230
    with open_output(str(tmp_path / longest), settings={}) as output:
        output.write(0, {"a": 1})
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
        output.write(0, {"a": 1})
    assert record.exists() == old
    assert (tmp_path / "out.part").read_bytes() == b'[0,{"a":1}]\n'


def test_interruption_after_the_rename_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"

    def put(finished: Path, *_: object) -> None:
        finished.replace(target)
        raise KeyboardInterrupt

    monkeypatch.setattr("rzero_cli.data.journal.put_described", put)
    for force in (False, True):
        with (
            pytest.raises(KeyboardInterrupt),
            open_output(str(target), settings={}, force=force) as output,
        ):
            output.write(0, {"a": 1})
        assert list(tmp_path.iterdir()) == [target]


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
        output.write(0, {"n": 1})
        raise KeyboardInterrupt
    with (
        pytest.raises(UsageError, match=r"is to replace .* continue with --force --resume"),
        open_output(str(target), settings={}, resume=True),
    ):
        pass
    assert part.read_text() == '[0,{"n":1}]\n'
    with open_output(str(target), settings={}, resume=True, force=True) as output:
        assert output.earlier == 1
    assert target.read_text() == '{"n":1}\n'


def test_pipes_links_and_directories_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name, message in (
        ("pipe", "not a regular file"),
        ("link", "symbolic link"),
        (".", "a directory|not the name"),
        ("", "not the name"),
    ):
        with (
            pytest.raises(UsageError, match=message),
            open_output(str(tmp_path / name) if name else ".", settings={}, force=True),
        ):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_damaged_journal_is_named(tmp_path: Path) -> None:
    for damage in ("", "[1]"):
        (tmp_path / "out.part").write_text('[0,{"n":1}]\n')
        (tmp_path / "out.part.json").write_text(damage)
        with (
            pytest.raises(UsageError, match=r"out\.part\.json: .* start over with --force"),
            open_output(str(tmp_path / "out"), settings={}, resume=True),
        ):
            pass
