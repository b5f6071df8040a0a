"""`--on-error skip`: bad lines go to a reject file, everything else stays the same."""

from __future__ import annotations

import json
import signal
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused, Rzero
from helpers.forkserver import ForkServer
from helpers.malformed_lines import BAD, good_line


def _mixed(tmp_path: Path, copies: int = 1) -> tuple[Path, Path, list[tuple[bytes, str]]]:
    """Return a file with bad and good lines, the good lines alone, and the bad ones."""
    bad = list(BAD.values())
    good = [good_line(k) for k in range(len(bad) + 1)] * copies
    lines = [line for pair in zip(good, (raw for raw, _ in bad), strict=False) for line in pair]
    lines += good[len(bad) :]
    mixed, clean = tmp_path / "mixed.jsonl", tmp_path / "clean.jsonl"
    mixed.write_bytes(b"\n".join(lines))
    clean.write_bytes(b"\n".join(good) + b"\n")
    return mixed, clean, bad


def _rejected(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "command",
    [
        ["filter"],
        ["filter", "--strict", "--shard", "1/3", "--limit", "7"],
        ["vote"],
        ["vote", "--workers", "1", "--shard", "1/3", "--limit", "7"],
        ["grade", "--truth"],
        ["score", "--batch", "4", "--shard", "1/2"],
        ["oracle", "--world", "--shard", "0/2"],
    ],
    ids=" ".join,
)
def test_skip_gives_the_output_of_the_clean_input(
    tmp_path: Path, rzero: Rzero, command: list[str]
) -> None:
    _, _, bad = _mixed(tmp_path)
    first, *options = command
    ended = rzero(first, "mixed.jsonl", *options, "--on-error", "skip", "-o", "out.jsonl")
    assert ended.status == 0
    clean = rzero(first, "clean.jsonl", *options, "-o", "expected.jsonl")
    assert clean.status == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
    rejects = _rejected(tmp_path / "out.jsonl.rejects.jsonl")
    # --limit counts good lines, and nothing is read after it
    read = bad[:6] if "--limit" in command else bad
    assert [(r["source"], r["line"]) for r in rejects] == [
        ("mixed.jsonl", 2 * k + 2) for k in range(len(read))
    ]
    for reject, (raw, reason) in zip(rejects, read, strict=True):
        assert reason in reject["error"]
        text = reject["raw"].encode() if "raw" in reject else b64decode(reject["raw_base64"])
        assert text == raw
        assert ("raw" in reject) == (reason != "not UTF-8")
    lines = len(read) + (7 if "--limit" in command else len(bad) + 1)
    said = f"{first}: {len(read)} of {lines} lines rejected: out.jsonl.rejects.jsonl\n"
    assert said in ended.stderr
    record = json.loads((tmp_path / "out.jsonl.meta.json").read_text())
    assert record["metrics"]["rejected"] == len(read)
    assert not (tmp_path / "expected.jsonl.rejects.jsonl").exists()


def test_rejected_lines_can_be_fixed_and_processed(tmp_path: Path, rzero: Rzero) -> None:
    (tmp_path / "in.jsonl").write_bytes(good_line(0) + b"\n" + good_line(1)[:-1] + b"\r\n{}\n")
    options = "--on-error", "skip", "--rejects", "bad.jsonl"
    ended = rzero("vote", *options, input=(tmp_path / "in.jsonl").read_bytes())
    assert ended.status == 0
    assert "vote: 2 of 3 lines rejected: bad.jsonl\n" in ended.stderr
    torn, empty = _rejected(tmp_path / "bad.jsonl")
    assert torn["raw"].encode() == good_line(1)[:-1]
    assert empty == {
        "source": "<stdin>",
        "line": 3,
        "error": 'key "answers" (a list of texts) is missing; keys here: none',
        "raw": "{}",
    }
    again = rzero("vote", input=torn["raw"] + "}\n")
    both = rzero("vote", input=good_line(0) + b"\n" + good_line(1) + b"\n")
    assert ended.stdout + again.stdout == both.stdout


def test_reject_file_is_replaced_with_its_output(tmp_path: Path, rzero: Rzero) -> None:
    _mixed(tmp_path)
    skip, rejects = ("--on-error", "skip", "-o", "out.jsonl"), tmp_path / "out.jsonl.rejects.jsonl"
    assert rzero("filter", "mixed.jsonl", *skip).status == 0
    before = rejects.read_bytes()
    ended = rzero("filter", "clean.jsonl", *skip)
    assert (ended.status, rejects.read_bytes()) == (2, before)
    assert rzero("filter", "clean.jsonl", *skip, "--force").status == 0
    assert not rejects.exists()
    assert rzero("filter", "mixed.jsonl", *skip, "--force").status == 0
    assert rzero("filter", "clean.jsonl", "-o", "out.jsonl", "--force").status == 0
    assert not rejects.exists()
    # ... but not if it is also the input.
    rejects.write_bytes(good_line(0) + b"\n")
    assert rzero("filter", rejects.name, "-o", "out.jsonl", "--force").status == 0
    assert rejects.read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    # A file given by --rejects is replaced only with --force.
    rejects.write_text("mine")
    ended = rzero(
        "vote", "mixed.jsonl", "--on-error", "skip", "--rejects", rejects.name, "-o", "v.jsonl"
    )
    assert (ended.status, rejects.read_text()) == (2, "mine")
    assert f"{rejects.name} exists" in ended.stderr


@pytest.mark.parametrize("command", [["filter"], ["vote"], ["oracle", "--world"], ["score"]])
def test_input_of_bad_lines_only_is_an_error(
    tmp_path: Path, rzero: Rzero, command: list[str]
) -> None:
    (tmp_path / "in.jsonl").write_text("no\nJSON\n")
    ended = rzero(*command, "in.jsonl", "--on-error", "skip", "-o", "out.jsonl")
    assert ended.status == 2
    assert ended.stderr == (
        "rzero: no valid line in in.jsonl: 2 of 2 lines rejected: out.jsonl.rejects.jsonl\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl.rejects.jsonl",
    ]
    assert [reject["raw"] for reject in _rejected(tmp_path / "out.jsonl.rejects.jsonl")] == [
        "no",
        "JSON",
    ]
    # Once fixed, the same command works.
    (tmp_path / "in.jsonl").write_bytes(good_line(0))
    assert rzero(*command, "in.jsonl", "--on-error", "skip", "-o", "out.jsonl").status == 0
    assert not (tmp_path / "out.jsonl.rejects.jsonl").exists()


def test_on_error_option_errors(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "in.jsonl").write_bytes(good_line(0))
    skip = "filter", "in.jsonl", "--on-error", "skip"
    assert "requires -o FILE, or --rejects FILE" in refused(*skip)
    assert "must be stop or skip" in refused("filter", "in.jsonl", "--on-error", "go")
    assert "requires --on-error skip" in refused("filter", "in.jsonl", "--rejects", "r")
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("in.jsonl")
    own = "out.jsonl.part", "out.jsonl.meta.json", "out.jsonl.part.json"
    for name in ("in.jsonl", "out.jsonl", "-", "d/../in.jsonl", "link", *own):
        said = refused(*skip, "-o", "out.jsonl", "--rejects", name)
        assert f"{name}: bad lines need a separate file" in said


def test_stats_counts_bad_lines_without_a_reject_file(tmp_path: Path, rzero: Rzero) -> None:
    _, _, bad = _mixed(tmp_path)
    (tmp_path / "mixed.jsonl").open("ab").write(b'\n{"question": 5}\n{"p_hat": 2}\n')
    ended = rzero("stats", "mixed.jsonl", "clean.jsonl", "--json", "--on-error", "skip")
    mixed, clean = map(json.loads, ended.lines)
    assert mixed | {"file": "", "seen_before": 1.0, "warnings": []} == clean | {"file": ""}
    total = len(bad) + 2 + 2 * clean["records"]
    assert ended.stderr.startswith(f"stats: {len(bad) + 2} of {total} lines rejected\n")


def test_resume_refuses_another_on_error(tmp_path: Path, rzero: Rzero) -> None:
    _mixed(tmp_path)
    options = "vote", "mixed.jsonl", "--workers", "1", "-o", "out.jsonl"
    ended = rzero(*options)
    assert ended.status == 2
    assert ended.stderr.startswith("rzero: mixed.jsonl:2: not JSON")
    ended = rzero(*options, "--on-error", "skip", "--resume")
    assert ended.status == 2
    assert "was made with other settings (on_error, strict)" in ended.stderr


@pytest.mark.slow
def test_killed_stage_resumes_to_the_same_output_and_rejects(
    tmp_path: Path, rzero: Rzero, forks: ForkServer, small_base: Path
) -> None:
    _mixed(tmp_path, copies=4)
    options = "--solver", small_base, "--preset", "tiny", "--batch-size", "8", "-o"
    skip = "label", "mixed.jsonl", "--on-error", "skip", *options
    assert rzero("label", "clean.jsonl", *options, "clean.out").status == 0
    assert rzero(*skip, "whole.out").status == 0
    command = forks.start([*map(str, skip), "cut.out"], cwd=tmp_path)
    part = tmp_path / "cut.out.part"
    for _ in range(2000):
        if part.exists() and part.stat().st_size:
            break
        time.sleep(0.01)
    command.send_signal(signal.SIGKILL)
    assert command.wait(timeout=30) == -signal.SIGKILL
    assert not (tmp_path / "cut.out.rejects.jsonl").exists()
    ended = rzero(*skip, "cut.out", "--resume")
    assert ended.status == 0
    whole = (tmp_path / "whole.out").read_bytes()
    assert whole == (tmp_path / "clean.out").read_bytes()
    assert whole == (tmp_path / "cut.out").read_bytes()
    rejects = (tmp_path / "whole.out.rejects.jsonl").read_bytes()
    assert rejects.count(b"\n") == len(BAD)
    assert rejects == (tmp_path / "cut.out.rejects.jsonl").read_bytes()


@pytest.mark.slow
def test_train_solver_and_eval_skip_bad_lines(
    tmp_path: Path, rzero: Rzero, tiny_model: Path
) -> None:
    _, _, bad = _mixed(tmp_path)
    bad_lines = ["--on-error", "skip"]
    train = ["train-solver", "--solver", tiny_model, "--preset", "tiny", "--max-tokens", "4"]
    train += ["--steps", "1", "--prompts", "2", "--batch", "2", "--group", "2", "--per-device", "4"]
    exam = ["eval", "--model", tiny_model, "--preset", "tiny", "--max-tokens", "4", "--k", "1"]
    for name, more in (("clean", []), ("mixed", bad_lines)):
        ended = rzero(*train, f"{name}.jsonl", "-o", f"{name}-solver", *more)
        assert ended.status == 0, ended.stderr
        ended = rzero(*exam, "--data", f"{name}.jsonl", "-o", f"{name}.json", *more)
        assert ended.status == 0, ended.stderr
    # The same prompts got the same answers, so the scores are equal.
    logs = [(tmp_path / f"{n}-solver" / "log.jsonl").read_text() for n in ("clean", "mixed")]
    first, second = (json.loads(log.splitlines()[-1]) for log in logs)
    assert first["entropy"] == second["entropy"] > 0
    assert first["kl"] == second["kl"]
    record = json.loads((tmp_path / "mixed-solver" / "rzero.json").read_text())
    assert record["metrics"]["rejected"] == len(bad)
    clean, mixed = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("clean", "mixed"))
    assert clean["tasks"]["clean"]["samples"] == mixed["tasks"]["mixed"]["samples"]
    assert mixed["origin"]["rejected"] == len(bad)
    for name in ("mixed-solver", "mixed.json"):
        assert len(_rejected(tmp_path / f"{name}.rejects.jsonl")) == len(bad)


def test_existing_reject_file_is_not_replaced(refused, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"answer": "1", "p_hat": 0.5}\n')
    (tmp_path / "precious").write_text("mine")
    how = ("in.jsonl", "--on-error", "skip", "--rejects", "precious")
    for command in (("stats", *how), ("filter", *how, "-o", "out.jsonl")):
        assert "precious exists" in refused(*command)
    assert (tmp_path / "precious").read_text() == "mine"
