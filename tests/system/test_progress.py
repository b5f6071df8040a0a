"""What one sees of a long stage while it works: a bar, lines, and the log that --log-file names."""

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

from conftest import Refused, Rzero
from helpers.empty_checkpoints import hollow_checkpoint
from helpers.scripted_server import Body, Reply, ScriptedServer, completion
from rzero_cli.system.progress import MetricsLog, Moment, Window, duration, fitting, means

# ---------------------------------------------------------------- rates and texts


def test_a_rate_is_that_of_the_last_minute() -> None:
    window = Window(points=3)
    for second in range(100):  # 10 a second, then 1
        window.add(second, (10 * second, 0))
    assert window.rates(99) == [10, 0]
    for second in range(100, 200):
        window.add(second, (990 + second - 99, 7 * (second - 99)))
    assert window.rates(199) == [1, 7]


def test_what_an_earlier_run_has_done_is_in_no_rate() -> None:
    window = Window()
    window.add(0, (5000, 0))
    assert window.rates(0) == [None, None]
    window.add(4, (5002, 100))
    assert window.rates(4) == [0.5, 25]


def test_answers_that_come_in_batches_have_the_rate_of_several_batches() -> None:
    window = Window(points=3)
    for batch in range(10):  # 64 every 200 s
        window.add(200 * batch, (64 * batch,))
        window.add(200 * batch + 10, (64 * batch,))
    assert window.rates(1800) == [0.32]
    assert window.rates(1999) == [0.32]  # the next batch is not late
    assert window.rates(2400) == [0.16]  # now it is: 128 in 1000 s but for the 200 of one


def test_time_left_needs_a_total_and_a_rate() -> None:
    assert Moment(9, 30, 90, 0.5).seconds_left == 120
    assert Moment(9, 95, 90, 0.5).seconds_left == 0
    for unknown in (Moment(9), Moment(9, 30, 90), Moment(9, 30, None, 2.0), Moment(9, 3, 9, 0.0)):
        assert unknown.seconds_left is None


def test_figures_as_a_person_reads_them() -> None:
    figures = means(4, p_hat=2.1, kept=3) | means(0, right=0)
    moment = Moment(75, 1234, 8000, 12.345, 4560.7, figures)
    assert [text for _, text in moment.texts("questions")] == [
        *("1,234/8,000 questions", "12.3/s", "4,561 tokens/s", "9 min left"),
        *("p_hat 0.525", "kept 0.75"),
    ]
    # Beside a bar on 80 columns: both rates, and the first figure before the second.
    texts = moment.texts()
    assert fitting(texts, 80 - len("label") - 9) == [text for _, text in texts[:-1]]
    slow = Moment(75, 3, None, 0.05, None).texts()
    assert [text for _, text in slow] == ["3", "3/min", "1 min"]
    assert [text for _, text in Moment(7).texts("updates")] == ["7 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"), (3600, "1 h 00 min")),
        *((7380, "2 h 03 min"), (48 * 3600, "2 d 0 h"), (100 * 3600, "4 d 4 h")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_there_is_no_room_for_is_left_out_by_rank() -> None:
    texts = [(0, "12/20"), (9, "long and last"), (1, "3 s left"), (2, "p_hat 0.5")]
    assert fitting(texts, 200) == ["12/20", "long and last", "3 s left", "p_hat 0.5"]
    assert fitting(texts, 28) == ["12/20", "3 s left", "p_hat 0.5"]
    assert fitting(texts, 27) == ["12/20", "3 s left"]
    assert fitting(texts, 3) == []


# ---------------------------------------------------------------- the log


def lines_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text.endswith("\n")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_line_has_no_number_that_json_has_not_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", 'sk-"0123456789')
    path = tmp_path / "log.jsonl"
    path.write_text('{"torn": ')
    log = MetricsLog(path, {"stage": "s"}, pytest.fail)
    figures = {"kl": float("nan"), "loss": float("inf"), "n": 3, "ok": 0.5}
    log.write("update", figures | {"settings": {"url": ['a sk-"0123456789 b', None]}})
    log.close()
    torn, line = path.read_text().splitlines()
    assert torn == '{"torn": '
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", (found := json.loads(line))["time"]
    )
    assert found | {"time": ""} == {
        "event": "update",
        "stage": "s",
        "time": "",
        "kl": None,
        "loss": None,
        "n": 3,
        "ok": 0.5,
        "settings": {"url": ["a <SOME_API_KEY> b", None]},
    }


WRITER = """
import sys
from pathlib import Path
from rzero_cli.system.progress import MetricsLog
log = MetricsLog(Path(sys.argv[1]), {"stage": sys.argv[2]}, sys.exit)
for n in range(500):
    log.write("progress", {"n": n, "text": "x" * (n % 500)})
"""


def test_two_processes_share_a_log_without_a_mixed_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in "ab"]
    assert [process.wait(60) for process in both] == [0, 0]
    lines = lines_of(path)
    for name in "ab":
        assert [line["n"] for line in lines if line["stage"] == name] == list(range(500))


FULL = """
import resource, sys
from pathlib import Path
from rzero_cli.system.progress import MetricsLog
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
log = MetricsLog(Path(sys.argv[1]), {}, print)
for n in range(20):
    log.write("progress", {"text": "x" * 200})
print("done")
"""


def test_where_there_is_no_room_it_is_said_once_and_no_line_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    ended = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    said, done = ended.stdout.splitlines()
    assert (ended.returncode, done) == (0, "done"), ended.stderr
    assert re.fullmatch(rf"{path}: .*; goes on without a log", said)
    assert len(lines_of(path)) == 3


def test_a_full_device_does_not_end_a_stage(rzero: Rzero, tmp_path: Path) -> None:
    write_answers(tmp_path)
    ended = rzero("vote", "a.jsonl", "--log-file", "/dev/full")
    assert (ended.status, len(ended.lines)) == (0, 3)
    said = ended.stderr.splitlines()
    assert said[0] == "vote: /dev/full: No space left on device; goes on without a log"
    assert len(said) == 2


# ---------------------------------------------------------------- which log


def write_answers(folder: Path) -> None:
    record = {"question": "q", "answers": ["1", "1", "2"], "reference": "1"}
    (folder / "a.jsonl").write_text(3 * (json.dumps(record) + "\n"))


def test_what_cannot_be_appended_to_is_refused_before_any_work(
    refused: Refused, rzero: Rzero, tmp_path: Path
) -> None:
    write_answers(tmp_path)
    command = ("vote", "a.jsonl", "--log-file")
    assert "no such folder" in refused(*command, "nowhere/log")
    assert refused(*command, ".") == "--log-file .: is a directory\n"
    assert "records" in refused(*command, "-")
    assert "no such folder" in refused(*command[:2], environment={"RZERO_LOG_FILE": "nowhere/x"})
    before = (tmp_path / "a.jsonl").read_bytes()
    for name in ("a.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl")):
        ended = rzero(*command, name)
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.endswith("is another file of this command, files\n")
    assert rzero(*command, "out", "-o", "out").status == 2
    assert (tmp_path / "a.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_several_stages_share_a_log_that_the_configuration_names(
    rzero: Rzero, tmp_path: Path
) -> None:
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
    # It is no setting of what was made.
    assert "log_file" not in (tmp_path / "v.jsonl.meta.json").read_text()


def test_how_a_stage_has_ended_is_logged(rzero: Rzero, tmp_path: Path) -> None:
    write_answers(tmp_path)
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write("no JSON\n")
    assert rzero("vote", "a.jsonl", "-o", "v.jsonl", "--log-file", "log").status == 2
    _, end = lines_of(tmp_path / "log")
    assert (end["done"], end["status"]) == (3, 2)
    assert end["error"].startswith("a.jsonl:4: not JSON")


def test_kept_is_what_filter_would_keep_with_this_configuration(
    rzero: Rzero, tmp_path: Path
) -> None:
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


# ---------------------------------------------------------------- on a terminal


class Watched:
    """A command whose standard error is a terminal; its standard output is a file."""

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
            except OSError:  # the other end is closed, or ours
                return

    @property
    def text(self) -> str:
        return self._received.decode()

    @property
    def frames(self) -> list[str]:
        """What was drawn, without colours."""
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
    """The arguments of `label` that answer seven questions a second."""
    pytest.importorskip("openai")
    names = [{"question": f"q{n}"} for n in range(questions)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in names))

    def answer(body: Body) -> Reply:
        time.sleep(0.15)
        return 200, completion(r"\boxed{1}", r"\boxed{2}", tokens=40)

    with ScriptedServer(answer) as server:
        how = ("--m", "2", "--endpoint", server.url, "--batch-size", "2")
        yield ("label", "q.jsonl", *how, "--log-file", "log.jsonl")


def test_a_bar_of_sixty_columns_has_what_matters_and_leaves_the_records_alone(
    tmp_path: Path,
) -> None:
    with slow_label(tmp_path) as label:
        watched = Watched(tmp_path, *RZERO, *label)
        assert watched.end() == 0, watched.text
    records = lines_of(watched.stdout)
    assert [record["question"] for record in records] == [f"q{n}" for n in range(12)]
    drawn = [frame for frame in watched.frames if frame.startswith("label  ")]
    assert max(map(len, drawn)) <= 60
    assert all(" ━" in frame for frame in drawn)
    assert any(re.search(r" [1-9]/12  [\d.]+/s  \d s left  p_hat 0\.5", f) for f in drawn), drawn
    assert " 12/12 " in drawn[-1]
    assert watched.text.index("\x1b[?25l") < watched.text.index("\x1b[?25h")  # the cursor is back
    end = lines_of(tmp_path / "log.jsonl")[-1]
    assert (end["done"], end["total"], end["status"], end["unreadable"]) == (12, 12, 0, 0)
    assert end["tokens_per_second"] == pytest.approx(40 * end["per_second"], rel=0.3)


@pytest.mark.parametrize("dumb", [False, True])
def test_no_colour_and_no_movement_where_there_shall_be_none(tmp_path: Path, dumb: bool) -> None:
    terminal = {"TERM": "dumb"} if dumb else {"NO_COLOR": "1"}
    with slow_label(tmp_path, 8) as label:  # what is done within a second has no bar at all
        watched = Watched(tmp_path, *RZERO, *label, **terminal)
        assert watched.end() == 0, watched.text
    assert not re.search(r"\x1b\[[0-9;]*m", watched.text)
    assert ("\x1b" in watched.text) is not dumb
    assert "label: 8 questions" in watched.text
    assert len(lines_of(watched.stdout)) == 8


@pytest.mark.parametrize(("seconds", "drawn"), [(0.9, False), (1.1, True)])
def test_what_is_done_at_once_leaves_no_bar(seconds: float, drawn: bool) -> None:
    from rich.console import Console

    from rzero_cli.commands._progress import _bar

    stream = io.StringIO()
    with _bar("vote", Console(file=stream, force_terminal=True)) as draw:
        draw(Moment(0, 0, 3))
        draw(Moment(seconds, 3, 3))
    assert bool(stream.getvalue()) is drawn


def test_ctrl_c_gives_the_terminal_back_and_is_logged(tmp_path: Path) -> None:
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


def test_a_killed_stage_leaves_whole_lines_and_its_successor_counts_on(tmp_path: Path) -> None:
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
    assert end["per_second"] < 15  # the server's two at a time; the others are not counted
    drawn = [int(n) for frame in watched.frames for n in re.findall(r" (\d+)/16 ", frame)]
    assert min(drawn) >= done


def test_a_terminal_that_has_gone_does_not_end_the_work(tmp_path: Path) -> None:
    with slow_label(tmp_path) as label:
        watched = Watched(tmp_path, *RZERO, *label)
        watched.wait_for(r" [2-9]/12")
        os.close(watched.terminal)
        assert watched.process.wait(60) == 0
    assert len(lines_of(watched.stdout)) == 12


# ---------------------------------------------------------------- elsewhere

SOON = """
import rzero_cli.commands._progress as progress
from rzero_cli.cli import main
progress._FIRST = progress._LOGGED = 0.2
progress._TICK = 0.1
main()
"""


def test_a_line_now_and_then_where_there_is_no_terminal(tmp_path: Path) -> None:
    with slow_label(tmp_path) as label:
        # They run side by side; the server has time for all.
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
    *lines, last = ended[0][1].splitlines()
    assert last.startswith("label: 12 questions x 2 answers")
    form = r"label: \d+/12 questions, ([\d.]+/s, [\d.]+ tokens/s, )?\d s( left)?(, p_hat 0\.5, .*)?"
    assert len(lines) >= 2
    assert all(re.fullmatch(form, line) for line in lines), lines
    assert any("left, p_hat 0.5, kept 1" in line for line in lines)
    assert ended[1][1] == ""
    logged = lines_of(tmp_path / "log.jsonl")
    for pid in {line["pid"] for line in logged}:
        events = [line["event"] for line in logged if line["pid"] == pid]
        assert len(events) >= 5
        assert events == ["start", *["progress"] * (len(events) - 2), "end"]


# ---------------------------------------------------------------- where else figures go


def test_unknown_and_missing_reporters_are_refused(
    refused: Refused, rzero: Rzero, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    hollow_checkpoint(tmp_path / "base")
    train = ("train-solver", "-o", "s", "--solver", "base", "--report-to")
    said = refused(*train, "tensorboard,nobody")
    assert said == "--report-to nobody: unknown; known: tensorboard, trackio, wandb\n"
    for name in ("trackio", "wandb"):
        if not any((Path(folder) / name).exists() for folder in sys.path):
            said = refused(*train, name)
            assert said == f"--report-to {name}: {name} not installed: pip install {name}\n"
            (tmp_path / name).mkdir()
            assert "not installed" in rzero(*train, name).stderr


def test_the_hub_is_told_of_nothing() -> None:
    """TRL would tell it of each training."""
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
