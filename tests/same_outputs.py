"""Compare the outputs of this working tree with those of another revision, byte for byte.

    python tests/same_outputs.py REVISION [--keep DIR]

Both run `small_pipeline.py` in fresh folders on this machine: every stage, the commands that read
the results, and wrong inputs. Text, records of questions and the output of every command must be
equal byte for byte, weights by hash, JSON by value without times. Paths are compared relative to
each side's folder; the package version is ignored.

This is not a test: generated text differs between processors and torch versions, so only a run on
the same machine can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import unified_diff
from itertools import takewhile
from pathlib import Path
from typing import Any

from small_pipeline import BASE, LOOKING, STAGES, WRONG, Process, freeze, run_steps

ROOT = Path(__file__).parents[1]
SHOWN = 6
"""Lines of a difference that are printed."""
# Progress depends on wall-clock time, and messages report durations.
_PROGRESS = re.compile(r"^.*\d+/s\b.*\n", re.MULTILINE)
_SECONDS = re.compile(r"\b\d+(\.\d+)? s\b")
_FIELD = re.compile(r'"seconds": [\d.e-]+')


def run_side(side: Path) -> None:
    """Run all steps with the code in `side/src`; outputs go to `work`, streams to `streams`."""
    process = Process(side / "src", side)
    where = [sys.executable, "-c", "import rzero_cli; print(rzero_cli.__file__)"]
    found = subprocess.run(
        where, env=process.environment(), capture_output=True, check=True, text=True
    )
    # An installed package instead of the revision's would compare equal to itself.
    assert Path(found.stdout.strip()).is_relative_to(side / "src"), found.stdout
    work, streams = side / "work", side / "streams"
    run_steps((BASE, *STAGES), work, process, streams)
    freeze(work)
    run_steps((*LOOKING, *WRONG), work, process, streams)
    freeze(work)


def compare(old: Path, new: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each compared file with the lines of its difference, [] if there is none."""
    names = {path.relative_to(side) for side in (old, new) for path in _files(side)}
    hashes = {side: _hashes(side) for side in (old, new)}
    for name in sorted(names):
        missing = [side.name for side in (old, new) if not (side / name).is_file()]
        if missing:
            yield str(name), [f"missing in {missing[0]}"]
        else:
            contents = [_content(side, name, hashes[side]) for side in (old, new)]
            yield str(name), _difference(*contents)


def _files(side: Path) -> Iterator[Path]:
    for folder in ("work", "streams"):
        yield from (path for path in (side / folder).rglob("*") if path.is_file())


def _hashes(side: Path) -> dict[str, str]:
    """Return hash -> name of files that contain the path of their side: JSON and adapters.

    These are compared by content; records of files made from them are compared by name.
    """
    found = {}
    for path in _files(side):
        if path.suffix == ".json":
            data = path.read_bytes()
            found[hashlib.sha256(data).hexdigest()] = f"hash of {path.relative_to(side)}"
            if path.name == "rzero.json" and path.with_name("adapter_config.json").is_file():
                found[json.loads(data)["sha256"]] = f"hash of {path.parent.relative_to(side)}"
    return found


_HASH = re.compile(r"\b[0-9a-f]{64}\b")


def _content(side: Path, name: Path, hashes: dict[str, str]) -> list[str]:
    """Return a file as lines, without irrelevant differences."""
    data = (side / name).read_bytes()
    if name.suffix == ".safetensors":
        return [f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"]
    text = data.decode().replace(str(side), "SIDE")
    text = _HASH.sub(lambda found: hashes.get(found[0], found[0]), text)
    if name.suffix == ".stdout":
        text = _FIELD.sub('"seconds": 1', text)
    if name.suffix == ".json":
        return json.dumps(_plain(json.loads(text)), indent=1, sort_keys=True).splitlines()
    if name.suffix == ".stderr":
        text = _SECONDS.sub("N s", _PROGRESS.sub("", text))
    return text.splitlines(keepends=True)


def _plain(value: Any) -> Any:
    """Return JSON without the package's version."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != "rzero-cli"}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _difference(old: list[str], new: list[str]) -> list[str]:
    if old == new:
        return []
    lines = [line.rstrip("\n") for line in unified_diff(old, new, "old", "new", n=0)][2:]
    shown = [_around(line, lines) for line in lines[:SHOWN]]
    return shown + [f"... {len(lines) - SHOWN} lines more"] * (len(lines) > SHOWN)


def _around(line: str, lines: list[str]) -> str:
    """Return the part of a long line where it starts to differ from the other side's."""
    others = [one for one in lines if {one[0], line[0]} == {"-", "+"}]
    same = max((_common(line[1:], one[1:]) for one in others), default=0)
    start = max(0, same - 60)
    return f"{line[0]}{'...' * (start > 0)}{line[1 + start : 1 + start + 140]}"


def _common(a: str, b: str) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="same-outputs-") as folder:
            yield Path(folder).resolve()


def _extract(revision: str, side: Path) -> None:
    archive = ["git", "-C", str(ROOT), "archive", revision, "src"]
    packed = subprocess.run(archive, capture_output=True, check=True).stdout
    side.mkdir()
    subprocess.run(["tar", "-x", "-C", str(side)], input=packed, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare outputs with those of a revision.")
    parser.add_argument("revision")
    parser.add_argument("--keep", type=Path, help="Keep both sides in this new folder.")
    given = parser.parse_args()
    with _folder(given.keep) as folder:
        # Names of equal length, so that tables have the same width on both sides.
        old, new = folder / "old", folder / "new"
        _extract(given.revision, old)
        new.mkdir()
        shutil.copytree(ROOT / "src", new / "src", ignore=shutil.ignore_patterns("__pycache__"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run_side, (old, new)))
        compared = different = 0
        for name, lines in compare(old, new):
            compared += 1
            different += bool(lines)
            print(f"{'DIFFERENT' if lines else 'same'} {name}")
            for line in lines:
                print(f"    {line}")
        print(f"{compared} outputs compared with {given.revision}, {different} of them different")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
