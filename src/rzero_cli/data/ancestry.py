"""Where an artefact came from: by the records of `provenance.py` from parent to parent.

A record holds the hashes of what its parents were, so it can be said which of them has changed
since. A file is hashed again for that. The weights of a checkpoint are so only when it is to be
verified; else the hash in its own record, that of the checkpoint that is there now, is believed.

A record names its parents as the run was told them. They are looked for in two places: where they
lie as seen from the artefact, for a folder that was moved or copied whole, and where they lay. The
first that holds what the record says is taken, else the first that is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rzero_cli.data.json_text import read_object
from rzero_cli.data.provenance import CHECKPOINT_META, content_hash
from rzero_cli.data.whole_files import file_meta_path
from rzero_cli.errors import DataError, UsageError

MOST_DEEP = 200
"""Generations that are followed back: what recurses, JSON's writer too, has its limit."""

Node = dict[str, Any]
Record = dict[str, Any]


def trace(
    path: str, *, verify: bool = False, notify: Callable[[str], None] = lambda message: None
) -> Node:
    """The tree from the artefact at `path` back to what has no parents.

    Args:
        path: a checkpoint directory or a file with its record, or what `rzero eval` wrote.
        verify: hash weights, too.
        notify: told of each checkpoint that is hashed.

    Returns:
        {"path", "state", "sha256", "stage", "seed", "preset", "finished", "note", "above",
        "parents"}, `parents` being such nodes, models first. `state` is "unchanged", "changed" or
        "missing", "unchecked" where nothing tells, or "hub name", "server" or "pipe", which never
        had a hash, as an evaluation has none: its state is None. `sha256` is the recorded hash.
        `stage` to `finished` are from the node's own record, None where it has none; `note` says
        what is wrong with that. `above` is true where the parents are left out since they are in
        the tree before. Below a changed parent is what is there now.

    Raises:
        UsageError: nothing there, or nothing with a record.
        DataError: its record is not one.
    """
    place = Path(path)
    if not _is_there(place):
        raise UsageError(f"{path}: no such file or directory")
    record = _record_of(place) or _origin_of(place)
    if record is None:
        beside = place / CHECKPOINT_META if place.is_dir() else file_meta_path(place)
        raise UsageError(f"{path}: not an artefact with a record (there is no {beside})")
    walk = _Walk(verify, notify)
    known: str | None = record.get("sha256")
    state = known and walk.state(place, known, record)
    return _expand(_node(str(Path.cwd() / place), state, known, record), place, record, walk)


def nodes(tree: Node) -> Iterator[Node]:
    """The node and all those below it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node["parents"]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What is known on the way."""

    verify: bool
    notify: Callable[[str], None]
    expanded: set[str] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)

    def state(self, place: Path, known: str, record: Record | None) -> str:
        """How the content at `place` compares with the hash that is `known` of it."""
        believed: str | None = (record or {}).get("sha256")
        now = self._hash(place) if self.verify or place.is_file() else believed
        if now is None:
            return "unchecked"
        return "unchanged" if now == known else "changed"

    def _hash(self, place: Path) -> str:
        real = os.path.realpath(place)
        if real not in self.hashes:
            if place.is_dir():
                self.notify(f"hashing {place}")
            self.hashes[real] = content_hash(place)
        return self.hashes[real]


def _expand(node: Node, place: Path, record: Record, walk: _Walk, depth: int = 0) -> Node:
    """`node` with the nodes of the parents that `record` names."""
    real = os.path.realpath(place)
    if not record["parents"]:
        return node
    if real in walk.expanded:
        return node | {"above": True}
    if depth == MOST_DEEP:
        return node | {"note": f"more than {MOST_DEEP} generations back: ask for its own lineage"}
    walk.expanded.add(real)
    found = [_find(parent, Path(real), record, walk) for parent in record["parents"]]
    # The history of the models first, of which that of the data is a part.
    found.sort(key=lambda parent: parent[1] is not None and not parent[1].is_dir())
    parents = [
        parent if own is None or where is None else _expand(parent, where, own, walk, depth + 1)
        for parent, where, own in found
    ]
    return node | {"parents": parents}


def _find(
    parent: dict[str, Any], child: Path, record: Record, walk: _Walk
) -> tuple[Node, Path | None, Record | None]:
    """The node of one parent of the artefact at `child`, where it lies, and its own record."""
    name, known = parent["path"], parent["sha256"]
    if known is None:
        return _node(name, _outside(name), None), None, None
    places = _places(name, child, record)
    looked = [_look(place, known, walk) for place in places if _is_there(place)]
    if not looked:
        return _node(str(places[-1]), "missing", known), None, None
    return next((one for one in looked if one[0]["state"] == "unchanged"), looked[0])


def _look(place: Path, known: str, walk: _Walk) -> tuple[Node, Path, Record | None]:
    own, note = None, None
    try:
        own = _record_of(place)
    except (DataError, OSError) as error:
        note = str(error)
    try:
        state = walk.state(place, known, own)
    except OSError as error:
        state, note = "unchecked", f"cannot be read: {error.strerror}"
    return _node(str(place), state, known, own, note), place, own


def _node(
    path: str,
    state: str | None,
    sha256: str | None,
    record: Record | None = None,
    note: str | None = None,
) -> Node:
    record = record or {}
    settings = record.get("settings", {})
    return {
        "path": path,
        "state": state,
        "sha256": sha256,
        "stage": record.get("stage"),
        "seed": settings.get("seed"),
        "preset": settings.get("preset"),
        "finished": record.get("finished"),
        "note": note,
        "above": False,
        "parents": [],
    }


def _places(name: str, child: Path, record: Record) -> list[Path]:
    """Where the parent that is called `name` may lie."""
    directory, output = record.get("directory"), record.get("output")
    if directory is None or output is None:  # a record that does not say where it was made
        return [Path(name)]
    then = os.path.normpath(Path(directory, name))
    way = os.path.relpath(then, Path(directory, output).parent)
    beside = os.path.normpath(child.parent / way)
    return [Path(place) for place in dict.fromkeys((beside, then))]


def _outside(name: str) -> str:
    """What a parent was that is neither file nor directory; `parents_of` names servers."""
    if " at http" in name:
        return "server"
    return "pipe" if name == "-" or name.startswith("/") else "hub name"


def _is_there(place: Path) -> bool:
    """Whether it is a file or a directory; never an error, whatever a record calls its parents."""
    try:
        return place.is_file() or place.is_dir()
    except (OSError, ValueError):  # too long, with a NUL, in a folder that may not be entered
        return False


def _record_of(place: Path) -> Record | None:
    """The record of a checkpoint or file, None where it has none. Raises DataError, OSError."""
    meta = place / CHECKPOINT_META if place.is_dir() else file_meta_path(place)
    return _checked(read_object(meta), meta) if _is_there(meta) else None


def _origin_of(place: Path) -> Record | None:
    """The record in an evaluation, None where the file is something else. Raises DataError."""
    try:
        origin = read_object(place).get("origin")
    except DataError:
        return None
    return None if origin is None else _checked(origin, place)


_KINDS: dict[str, tuple[type, ...]] = {
    "stage": (str,),
    "parents": (list,),
    "settings": (dict,),
    "finished": (str,),
    "sha256": (str, type(None)),
    "directory": (str, type(None)),
    "output": (str, type(None)),
}


def _checked(record: Any, where: Path) -> Record:
    """`record` if it is one. Raises DataError."""
    if not isinstance(record, dict):
        raise DataError(f"{where}: not a record of rzero")
    for key, kinds in _KINDS.items():
        if not isinstance(record.get(key), kinds):
            raise DataError(f'{where}: not a record of rzero: "{key}" is missing or ill-typed')
    for parent in record["parents"]:
        if not (
            isinstance(parent, dict)
            and isinstance(parent.get("path"), str)
            and isinstance(parent.get("sha256"), (str, type(None)))
        ):
            raise DataError(f'{where}: not a record of rzero: "parents" is ill-typed')
    checked: Record = record
    return checked
