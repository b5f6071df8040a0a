"""Commands on a pseudo-terminal, and hostile text for them."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import tty
from pathlib import Path

# A title, a bell, a colour by a C1 byte, an override of direction, a carriage return, an invisible
# tag, and rich's markup.
CONTROLS = "\x1b]0;owned\x07 \x9b31m \u202e \r \x7f \u2028 \U000e0041"
MARKUP = "[red]r[/] [link=evil]l[/link] :boom: \\["
HOSTILE = f"{CONTROLS} {MARKUP}"
SHOWN = r"\x1b]0;owned\x07 \x9b31m \u202e \r \x7f \u2028 \U000e0041"
FORBIDDEN = re.compile(
    r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0041]"
)


class OnTerminal:
    """A command with a terminal of 200 columns as standard output and standard error."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        ours, theirs = pty.openpty()
        tty.setraw(theirs)  # a line feed is one character
        process = subprocess.Popen(
            [sys.executable, "-m", "rzero_cli", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"COLUMNS": "200", "TERM": "xterm-256color"} | environment,
        )
        os.close(theirs)
        received = bytearray()

        def receive() -> None:
            while True:
                try:
                    received.extend(os.read(ours, 65_536))
                except OSError:  # the other end is closed
                    return

        reader = threading.Thread(target=receive)
        reader.start()
        self.status = process.wait(120)
        reader.join(20)
        os.close(ours)
        self.raw = bytes(received)
        self.text = self.raw.decode()
        self.bare = re.sub(r"\x1b\[([0-9;]*m|\?25[lh]|2K|1A)", "", self.text)
        """The text without colours and cursor movements."""

    def is_harmless(self) -> bool:
        # On a busy machine the command may last long enough for a bar; its movements are harmless.
        moved = re.sub(r"\x1b\[(\?25[lh]|2K|1A)|\r(?=\x1b\[2K)", "", self.text)
        return not FORBIDDEN.search(moved)
