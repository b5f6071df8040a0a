"""JSONL input and output: `rzero filter` compared with a bare orjson loop, its memory and start-up,
and the cost of the interface through which every other stage reads and writes.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import jsonlines
import orjson

from rzero_cli.data.journal import Journal, Output
from rzero_cli.data.json_text import dumps, quick_parser
from rzero_cli.data.jsonl import read_lines

RECORDS = 1_000_000
LOOP = """
import sys, orjson
for line in sys.stdin.buffer:
    if 0.25 <= orjson.loads(line)["p_hat"] <= 0.75:
        sys.stdout.buffer.write({written})
"""
COPYING = LOOP.format(written="line")
WRITING = LOOP.replace("orjson.loads(line)", "(record := orjson.loads(line))").format(
    written="orjson.dumps(record)"
)
FILTER = [sys.executable, "-m", "rzero_cli", "filter", "--quiet"]


def records(m: int) -> Iterator[dict[str, Any]]:
    """Yield records like those of `label`, lines of 483 bytes on average for m = 10."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=k % 7 + 2)) for k in range(500)]
    while True:
        majority = rng.randint(1, m)
        answers = [str(rng.randint(0, 99999)) for _ in range(m)]
        yield {
            "id": f"{rng.getrandbits(64):016x}",
            "question": " ".join(rng.choices(words, k=42)),
            "proposed_answer": answers[0],
            "answer": answers[-1],
            "p_hat": majority / m,
            "m": m,
            "majority": majority,
            "answers": answers,
            "votes": {answers[-1]: majority},
        }


def written(path: Path, count: int, m: int) -> Path:
    with path.open("wb") as stream:
        stream.writelines(orjson.dumps(record) + b"\n" for record in islice(records(m), count))
    return path


def ended(command: list[str], source: Path | None = None) -> tuple[float, float]:
    """Return seconds and peak memory in MiB of a command whose output is discarded."""
    with source.open("rb") if source else open(os.devnull, "rb") as stdin:  # noqa: PTH123
        start = time.perf_counter()
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL)
        memory = 0.0
        while child.poll() is None:
            # Not getrusage, whose peak includes that of the parent process.
            with suppress(OSError):
                for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        memory = max(memory, int(line.split()[1]) / 1024)
            time.sleep(0.01)
        seconds = time.perf_counter() - start
    assert child.returncode == 0, command
    return seconds, memory


def bench_filter(tmp_path: Path) -> None:
    for m in (10, 8):  # with 8 answers, three of eight fractions are on a bound or 1
        source = written(tmp_path / "labeled.jsonl", RECORDS, m)
        size = source.stat().st_size / RECORDS
        few = written(tmp_path / "few.jsonl", RECORDS // 10, m)
        commands = {
            "filter": FILTER,
            "filter --strict": [*FILTER, "--strict"],
            "bare orjson loop, lines copied": [sys.executable, "-c", COPYING],
            "bare orjson loop, records written anew": [sys.executable, "-c", WRITING],
        }
        rounds = [{name: ended(c, source) for name, c in commands.items()} for _ in range(3)]
        print(f"\n{RECORDS:,} lines of {size:.0f} bytes, m = {m}:")
        for name in commands:
            rate = RECORDS / median(times[name][0] for times in rounds)
            ratios = [times[name][0] / times["filter"][0] for times in rounds]
            print(f"  {name:40} {rate:11,.0f} lines/s; filter has {median(ratios):.2f} of its rate")
        memory = ended(FILTER, few)[1], rounds[0]["filter"][1]
        print(f"  memory of filter: {memory[1]:.1f} MiB; {memory[0]:.1f} for a tenth of the lines")


def bench_interface(tmp_path: Path) -> None:
    count = 50_000
    lines = list(islice(records(10), count))
    source = written(tmp_path / "in.jsonl", count, 10)

    def each(loads: Callable[[bytes], Any]) -> None:
        with source.open("rb") as stream:
            deque(map(loads, stream), maxlen=0)

    def through_jsonlines(loads: Callable[[str | bytes], Any]) -> None:
        with source.open("rb") as stream:
            reader = jsonlines.Reader(stream, loads=loads)
            deque(reader.iter(type=dict, skip_empty=True), maxlen=0)

    def fastest(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return count / min(times)

    print("\nreading, lines/s:")
    print(f"  standard library          {fastest(lambda: each(json.loads)):11,.0f}")
    slow = fastest(lambda: through_jsonlines(json.loads))
    fast = fastest(lambda: through_jsonlines(orjson.loads))
    print(f"  the same in jsonlines     {slow:11,.0f}")
    print(f"  orjson in jsonlines       {fast:11,.0f}")
    ours = fastest(lambda: deque(read_lines([str(source)]), maxlen=0))
    print(f"  read_lines                {ours:11,.0f}")
    strict = fastest(lambda: deque(read_lines([str(source)], strict=True), maxlen=0))
    print(f"  read_lines, strict        {strict:11,.0f}")
    print(f"  orjson alone              {fastest(lambda: each(quick_parser())):11,.0f}")

    def write(each: Callable[[Any], object]) -> Callable[[], object]:
        return lambda: deque(map(each, lines), maxlen=0)

    def numbered(output: Output) -> Callable[[Any], object]:
        numbers = itertools.count()
        return lambda line: output.write(next(numbers), line)

    part = tmp_path / "out.part"
    part.touch()
    with (tmp_path / "out").open("wb") as out, closing(Journal(part)) as journal:
        print("writing, lines/s:")
        ways: dict[str, Callable[[Any], object]] = {
            "standard library": lambda line: out.write(json.dumps(line).encode() + b"\n"),
            "the same in jsonlines": jsonlines.Writer(out, dumps=json.dumps).write,
            "Output, flushed by the line": numbered(Output(out)),
            "Journal, flushed by the line": numbered(journal),
            "Output without flushing": jsonlines.Writer(out, dumps=dumps).write,
            "orjson alone": lambda line: out.write(orjson.dumps(line) + b"\n"),
        }
        for name, way in ways.items():
            print(f"  {name:28}{fastest(write(way)):9,.0f}")
        copy = fastest(lambda: journal.copy_records(out)) * len(journal) / count
        print(f"  from a journal to its target{copy:9,.0f}")


def bench_start(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"answer":"1","p_hat":0.5}\n')
    python = [sys.executable, "-c", "pass"]
    script = str(Path(sys.executable).with_name("rzero"))
    for command in ([sys.executable, "-m", "rzero_cli"], [script]):
        ours = [*command, "filter", "--quiet", str(tmp_path / "one.jsonl")]
        ended(ours)
        extra = median(ended(ours)[0] - ended(python)[0] for _ in range(15))
        print(
            f"\nstart of {' '.join(command)} filter: {1000 * extra:.0f} ms more than python's own"
        )
