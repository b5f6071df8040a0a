"""Standard output has only records, whatever libraries print."""

from __future__ import annotations

import subprocess
import sys

from rzero_cli.errors import ClosedPipe

PRINTING = """
import os, subprocess, sys
from rzero_cli.data.journal import open_output
print("before")
with open_output(None, settings={}) as out:
    out.write(0, {"i": 0})
    print("a library prints")
    os.write(1, b"C code prints\\n")
    subprocess.run(["echo", "a child prints"])
    out.write(1, {"i": 1})
"""


def test_only_records_reach_standard_output() -> None:
    ended = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, text=True)
    assert ended.stdout == 'before\n{"i":0}\n{"i":1}\n'
    for printed in ("a library prints", "C code prints", "a child prints"):
        assert printed in ended.stderr


def test_reader_that_left_raises_closed_pipe() -> None:
    code = (
        "from itertools import count\n"
        "from rzero_cli.data.journal import open_output\n"
        "from rzero_cli.errors import ClosedPipe\n"
        "try:\n"
        "    with open_output(None, settings={}) as out:\n"
        "        for number in count(): out.write(number, {})\n"
        "except ClosedPipe: raise SystemExit(7)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == b"{}\n"
        writer.stdout.close()
        assert writer.wait(20) == 7
        assert writer.stderr.read() == b""
    assert ClosedPipe.exit_code == 0


def test_standard_output_stays_protected_until_the_process_ends() -> None:
    # Output that is printed afterwards is not a record either.
    code = (
        "from rzero_cli.system.stdout import protect_stdout\n"
        "with protect_stdout() as out: out.write(b'{}\\n')\n"
        "print('afterwards')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("{}\n", "afterwards\n")
