"""`--log-file` and `--report-to`: the logs of a stage's metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Refused, Rzero
from helpers.empty_checkpoints import empty_checkpoint
from helpers.json_lines import lines_of


def test_full_log_device_does_not_end_a_stage(rzero: Rzero, tmp_path: Path) -> None:
    write_answers(tmp_path)
    ended = rzero("vote", "a.jsonl", "--log-file", "/dev/full")
    assert (ended.status, len(ended.lines)) == (0, 3)
    said = ended.stderr.splitlines()
    assert said[0] == "vote: /dev/full: No space left on device; continuing without a log"
    assert len(said) == 2


def write_answers(folder: Path) -> None:
    record = {"question": "q", "answers": ["1", "1", "2"], "reference": "1"}
    (folder / "a.jsonl").write_text(3 * (json.dumps(record) + "\n"))


def test_unusable_log_file_is_refused_before_any_work(
    refused: Refused, rzero: Rzero, tmp_path: Path
) -> None:
    write_answers(tmp_path)
    command = ("vote", "a.jsonl", "--log-file")
    assert "no such folder" in refused(*command, "nowhere/log")
    assert refused(*command, ".") == "--log-file .: is a directory\n"
    assert "records" in refused(*command, "-")
    assert "no such folder" in refused(*command[:2], environment={"RZERO_LOG_FILE": "nowhere/x"})
    (tmp_path / "nul.toml").write_text('log-file = "x\\u0000y"')
    nul = refused("vote", "a.jsonl", "--config", "nul.toml")
    assert nul == "--log-file x\\x00y: embedded null byte\n"
    (tmp_path / "nul.toml").unlink()
    before = (tmp_path / "a.jsonl").read_bytes()
    for name in ("a.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl")):
        ended = rzero(*command, name)
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.endswith("is already in use as files\n")
    assert rzero(*command, "out", "-o", "out").status == 2
    assert (tmp_path / "a.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_stages_share_the_log_of_the_configuration(rzero: Rzero, tmp_path: Path) -> None:
    write_answers(tmp_path)
    (tmp_path / "rzero.toml").write_text('log_file = "log.jsonl"\n')
    assert rzero("vote", "a.jsonl", "-o", "v.jsonl", "--quiet").status == 0
    assert rzero("grade", "v.jsonl", "--shard", "0/2").status == 0
    named = {"RZERO_LOG_FILE": "other.jsonl"}
    assert rzero("score", "v.jsonl", environment=named, input="").status == 0
    vote, voted, grade, graded = lines_of(tmp_path / "log.jsonl")
    assert [line["event"] for line in (vote, voted, grade, graded)] == ["start", "end"] * 2
    assert [line["stage"] for line in (vote, voted, grade, graded)] == ["vote"] * 2 + ["grade"] * 2
    assert (vote["settings"]["rule"], vote["output"], grade["output"]) == ("paper", "v.jsonl", None)
    assert "log_file" not in vote["settings"]
    assert (vote["done"], voted["done"], voted["status"]) == (0, 3, 0)
    assert (voted["p_hat"], voted["kept"]) == (0.666667, 1)
    assert (graded["done"], graded["right"]) == (2, 1)
    _, scored = lines_of(tmp_path / "other.jsonl")
    assert (scored["reward"], scored["r_unc"], scored["r_rep"]) == (0, 0.666667, 1)
    # It is not recorded as a setting.
    assert "log_file" not in (tmp_path / "v.jsonl.meta.json").read_text()


def test_log_file_records_status_and_error(rzero: Rzero, tmp_path: Path) -> None:
    write_answers(tmp_path)
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write("no JSON\n")
    assert rzero("vote", "a.jsonl", "-o", "v.jsonl", "--log-file", "log").status == 2
    _, end = lines_of(tmp_path / "log")
    assert (end["done"], end["status"]) == (3, 2)
    assert end["error"].startswith("a.jsonl:4: not JSON")


def test_logged_kept_share_uses_the_bounds_of_filter(rzero: Rzero, tmp_path: Path) -> None:
    answers = [["1"] * n + ["2"] * (10 - n) for n in (5, 6, 7, 8, 9)] + [[None]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"answers": a}) + "\n" for a in answers))
    for given, kept in (("", 3), ("low = 0.6\nhigh = 0.7", 2)):
        (tmp_path / "rzero.toml").write_text(f"[filter]\n{given}\n")
        assert rzero("vote", "a.jsonl", "-o", "v.jsonl", "--force", "--log-file", "log").status == 0
        assert lines_of(tmp_path / "log")[-1]["kept"] == round(kept / 6, 6)
        assert len(rzero("filter", "v.jsonl").lines) == kept
    (tmp_path / "rzero.toml").write_text('[filter]\ndelta = "much"\n')
    ended = rzero("vote", "a.jsonl")
    assert (ended.status, ended.stdout) == (2, "")


def test_unknown_and_missing_reporters_are_refused(
    refused: Refused, rzero: Rzero, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    empty_checkpoint(tmp_path / "base")
    train = ("train-solver", "-o", "s", "--solver", "base", "--report-to")
    said = refused(*train, "tensorboard,nobody")
    assert said == "--report-to nobody: unknown; known: tensorboard, trackio, wandb\n"
    for name in ("trackio", "wandb"):
        if not any((Path(folder) / name).exists() for folder in sys.path):
            said = refused(*train, name)
            assert said == f"--report-to {name}: {name} not installed: pip install {name}\n"
            (tmp_path / name).mkdir()
            assert "not installed" in rzero(*train, name).stderr


def test_hub_telemetry_is_disabled() -> None:
    """TRL would report every training to the hub."""
    pytest.importorskip("huggingface_hub")
    code = """
import sys
from rzero_cli.cli import main
sys.exit = print
main()
from huggingface_hub import constants
print(constants.HF_HUB_DISABLE_TELEMETRY)
"""
    names = {"HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", code, "--version"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "True", ended.stderr
