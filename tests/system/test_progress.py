"""Rates, texts and the log of a stage's progress."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from helpers.json_lines import lines_of
from rzero_cli.system.progress import MetricsLog, Moment, Window, duration, means
from rzero_cli.system.progress_display import _bar


def test_rate_covers_the_last_minute() -> None:
    window = Window(points=3)
    for second in range(100):  # 10 a second, then 1
        window.add(second, (10 * second, 0))
    assert window.rates(99) == [10, 0]
    for second in range(100, 200):
        window.add(second, (990 + second - 99, 7 * (second - 99)))
    assert window.rates(199) == [1, 7]


def test_rate_ignores_what_an_earlier_run_did() -> None:
    window = Window()
    window.add(0, (5000, 0))
    assert window.rates(0) == [None, None]
    window.add(4, (5002, 100))
    assert window.rates(4) == [0.5, 25]


def test_rate_of_batches_covers_several_batches() -> None:
    window = Window(points=3)
    for batch in range(10):  # 64 every 200 s
        window.add(200 * batch, (64 * batch,))
        window.add(200 * batch + 10, (64 * batch,))
    assert window.rates(1800) == [0.32]
    assert window.rates(1999) == [0.32]  # the next batch is not late
    assert window.rates(2400) == [0.16]  # now it is: 128 in 1000 s minus one interval of 200 s


def test_time_left_needs_a_total_and_a_rate() -> None:
    assert Moment(9, 30, 90, 0.5).seconds_left == 120
    assert Moment(9, 95, 90, 0.5).seconds_left == 0
    for unknown in (Moment(9), Moment(9, 30, 90), Moment(9, 30, None, 2.0), Moment(9, 3, 9, 0.0)):
        assert unknown.seconds_left is None


def test_progress_texts_are_readable() -> None:
    metrics = means(4, p_hat=2.1, kept=3) | means(0, right=0)
    moment = Moment(75, 1234, 8000, 12.345, 4560.7, metrics)
    assert moment.texts("questions") == [
        *("1,234/8,000 questions", "12.3/s", "9 min left"),
        *("p_hat 0.525", "kept 0.75", "4,561 tokens/s"),
    ]
    assert Moment(75, 3, None, 0.05, None).texts() == ["3", "3/min", "1 min"]
    assert Moment(7).texts("updates") == ["7 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3569, "59 min"), (3600, "1 h 00 min")),
        *((7380, "2 h 03 min"), (48 * 3600, "2 d 0 h"), (100 * 3600, "4 d 4 h")),
    ],
)
def test_duration_texts(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (120, f"label {'━' * 24} 1,234/8,000  12.3/s  9 min left  p_hat 0.525  4,561 tokens/s"),
        (80, f"label {'━' * 16} 1,234/8,000  12.3/s  9 min left  p_hat 0.525  4,561 toke…"),
        (60, f"label {'━' * 12} 1,234/8,000  12.3/s  9 min left  p_hat 0…"),
        (20, "label ━━━━ 1,234/8,…"),
    ],
)
def test_bar_on_a_narrow_terminal_truncates_the_end(columns: int, line: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=columns, color_system="standard")
    with _bar("label", console) as draw:
        draw(Moment(75, 1234, 8000, 12.345, 4560.7, {"p_hat": 0.525}))
    bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    bare = re.sub("[╸╺]", "━", bare)
    assert {frame.rstrip() for frame in re.split(r"[\r\n]+", bare)} == {line, ""}


def test_log_line_is_valid_json_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", 'sk-"0123456789')
    path = tmp_path / "log.jsonl"
    path.write_text('{"torn": ')
    log = MetricsLog(path, {"stage": "s"}, pytest.fail)
    metrics = {"kl": float("nan"), "loss": float("inf"), "n": 3, "ok": 0.5}
    log.write("update", metrics | {"settings": {"url": ['a sk-"0123456789 b', None]}})
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


def test_two_processes_share_a_log_line_by_line(tmp_path: Path) -> None:
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


def test_full_log_is_reported_once_and_no_line_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    ended = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    message, done = ended.stdout.splitlines()
    assert (ended.returncode, done) == (0, "done"), ended.stderr
    assert re.fullmatch(rf"{path}: .*; continuing without a log", message)
    assert len(lines_of(path)) == 3
