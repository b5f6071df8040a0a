"""The pages of the documentation, and their examples."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
TUTORIALS = sorted(DOCS.glob("tutorial-*.md"))
FENCE = re.compile(r"(?:^<!-- (runnable(?: slow)?) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def examples(page: Path, mark: str) -> list[tuple[str, str, str | None]]:
    """(language, code, expected output or None) of the blocks with this mark.

    The expected output is the `text` block that comes next, if that is the next block.
    """
    text = page.read_text("utf-8")
    blocks = list(FENCE.finditer(text))
    found = []
    for number, block in enumerate(blocks):
        if block[1] == mark:
            output = [b[3] for b in blocks[number + 1 : number + 2] if b[2] == "text"]
            found.append((block[2], block[3], output[0] if output else None))
    return found


def readers_environment(cache: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RZERO_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment["RZERO_CACHE"] = os.environ.get("RZERO_CACHE", str(cache))
    return environment
