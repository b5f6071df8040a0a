"""Progress of a running stage: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.json_lines import lines_of
from helpers.scripted_server import Body, Reply, ScriptedServer, completion
from rzero_cli.system.progress import Moment


class Watched:
    """A command with a terminal as standard error and a file as standard output."""

    def __init__(self, folder: Path, *command: str, columns: int = 60, **environment: str) -> None:
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.stdout = folder / "stdout"
        with self.stdout.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=theirs,
                env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | environment,
            )
        os.close(theirs)
        self.terminal, self._received = ours, bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._received.extend(os.read(self.terminal, 65_536))
            except OSError:  # either end is closed
                return

    @property
    def text(self) -> str:
        return self._received.decode()

    @property
    def frames(self) -> list[str]:
        """Return the frames shown, without colours."""
        bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)
        return [line for line in re.split(r"[\r\n]+", bare) if line]

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + 30
        while not any(re.search(pattern, frame) for frame in self.frames):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.02)

    def end(self) -> int:
        status = self.process.wait(60)
        self._reader.join(20)
        return status


RZERO = (sys.executable, "-m", "rzero_cli")


@contextmanager
def slow_label(folder: Path, questions: int = 12) -> Iterator[tuple[str, ...]]:
    """Return arguments of `label` that process seven questions per second."""
    pytest.importorskip("openai")
    names = [{"question": f"q{n}"} for n in range(questions)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in names))

    def answer(body: Body) -> Reply:
        time.sleep(0.15)
        return 200, completion(r"\boxed{1}", r"\boxed{2}", tokens=40)

    with ScriptedServer(answer) as server:
        how = ("--m", "2", "--endpoint", server.url, "--batch-size", "2")
        yield ("label", "q.jsonl", *how, "--log-file", "log.jsonl")


def test_bar_fits_sixty_columns_and_records_stay_clean(
    tmp_path: Path,
) -> None:
    with slow_label(tmp_path) as label:
        watched = Watched(tmp_path, *RZERO, *label)
        assert watched.end() == 0, watched.text
    records = lines_of(watched.stdout)
    assert [record["question"] for record in records] == [f"q{n}" for n in range(12)]
    drawn = [frame for frame in watched.frames if frame.startswith("label ")]
    assert max(map(len, drawn)) <= 60
    assert all(" ━" in frame for frame in drawn)
    assert any(re.search(r" [1-9]/12  [\d.]+/s  \d s left  p_hat 0\.5", f) for f in drawn), drawn
    assert " 12/12 " in drawn[-1]
    assert watched.text.index("\x1b[?25l") < watched.text.index(
        "\x1b[?25h"
    )  # the cursor is restored
    end = lines_of(tmp_path / "log.jsonl")[-1]
    assert (end["done"], end["total"], end["status"], end["unreadable"]) == (12, 12, 0, 0)
    assert end["tokens_per_second"] == pytest.approx(40 * end["per_second"], rel=0.3)


@pytest.mark.parametrize("dumb", [False, True])
def test_no_color_and_dumb_terminals_are_respected(tmp_path: Path, dumb: bool) -> None:
    terminal = {"TERM": "dumb"} if dumb else {"NO_COLOR": "1"}
    with slow_label(tmp_path, 8) as label:  # a stage that finishes within a second shows no bar
        watched = Watched(tmp_path, *RZERO, *label, **terminal)
        assert watched.end() == 0, watched.text
    assert not re.search(r"\x1b\[[0-9;]*m", watched.text)
    assert ("\x1b" in watched.text) is not dumb
    assert "label: 8 questions" in watched.text
    assert len(lines_of(watched.stdout)) == 8


@pytest.mark.parametrize(("seconds", "drawn"), [(0.9, False), (1.1, True)])
def test_short_stage_draws_no_bar(seconds: float, drawn: bool) -> None:
    from rich.console import Console

    from rzero_cli.system.progress_display import _bar

    stream = io.StringIO()
    with _bar("vote", Console(file=stream, force_terminal=True)) as draw:
        draw(Moment(0, 0, 3))
        draw(Moment(seconds, 3, 3))
    assert bool(stream.getvalue()) is drawn


def test_ctrl_c_restores_the_cursor_and_is_logged(tmp_path: Path) -> None:
    with slow_label(tmp_path, 100) as label:
        watched = Watched(tmp_path, *RZERO, *label, "-o", "l.jsonl")
        watched.wait_for(r" [2-9]/100")
        watched.process.send_signal(signal.SIGINT)
        assert watched.end() == 130
    assert watched.text.rindex("\x1b[?25h") > watched.text.rindex("\x1b[?25l")
    start, end = lines_of(tmp_path / "log.jsonl")
    done = len((tmp_path / "l.jsonl.part").read_text().splitlines())
    assert (start["event"], end["event"], end["status"]) == ("start", "end", 130)
    assert (end["done"], end["total"]) == (done, 100)


def test_resumed_stage_continues_the_bar_of_a_killed_one(tmp_path: Path) -> None:
    with slow_label(tmp_path, 16) as label:
        watched = Watched(tmp_path, *RZERO, *label, "-o", "l.jsonl")
        watched.wait_for(r" [4-9]/16")
        watched.process.kill()
        assert watched.end() == -signal.SIGKILL
        done = len((tmp_path / "l.jsonl.part").read_text().splitlines())
        assert [line["event"] for line in lines_of(tmp_path / "log.jsonl")] == ["start"]
        watched = Watched(tmp_path, *RZERO, *label, "-o", "l.jsonl", "--resume")
        assert watched.end() == 0, watched.text
    _, start, end = lines_of(tmp_path / "log.jsonl")
    assert (start["done"], end["done"], end["status"]) == (done, 16, 0)
    assert end["per_second"] < 15  # the server answers two at a time; the others are not counted
    drawn = [int(n) for frame in watched.frames for n in re.findall(r" (\d+)/16 ", frame)]
    assert min(drawn) >= done


def test_closed_terminal_does_not_end_the_stage(tmp_path: Path) -> None:
    with slow_label(tmp_path) as label:
        watched = Watched(tmp_path, *RZERO, *label)
        watched.wait_for(r" [2-9]/12")
        os.close(watched.terminal)
        assert watched.process.wait(60) == 0
    assert len(lines_of(watched.stdout)) == 12


SOON = """
import rzero_cli.system.progress_display as progress
from rzero_cli.cli import main
progress._FIRST = progress._LOGGED = 0.2
progress._TICK = 0.1
main()
"""


def test_progress_lines_without_a_terminal(tmp_path: Path) -> None:
    with slow_label(tmp_path) as label:
        # They run in parallel; the server can serve all.
        ways: list[tuple[tuple[str, ...], Any]] = [
            ((), subprocess.PIPE),
            (("--quiet",), subprocess.PIPE),
            ((), Path("/dev/full").open("wb")),  # noqa: SIM115 - closed with the test
        ]
        running = [
            subprocess.Popen(
                [sys.executable, "-c", SOON, *label, *options],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
            for options, stderr in ways
        ]
        ended = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert all(out.count("\n") == 12 for out, _ in ended)
    *lines, last, spent = ended[0][1].splitlines()
    assert last.startswith("label: 12 questions x 2 answers")
    assert re.fullmatch(r"label: time: (\w[\w' ]+ \d+%(, )?)+", spent)
    form = r"label: \d+/12 questions, ([\d.]+/s, )?\d s( left)?(, p_hat 0\.5, .*)?"
    assert len(lines) >= 2
    assert all(re.fullmatch(form, line) for line in lines), lines
    end = r".* left, p_hat 0\.5, kept 1, .*, [\d.]+ tokens/s"
    assert any(re.fullmatch(end, line) for line in lines)
    assert ended[1][1] == ""
    logged = lines_of(tmp_path / "log.jsonl")
    for pid in {line["pid"] for line in logged}:
        events = [line["event"] for line in logged if line["pid"] == pid]
        assert len(events) >= 5
        assert events == ["start", *["progress"] * (len(events) - 2), "end"]
