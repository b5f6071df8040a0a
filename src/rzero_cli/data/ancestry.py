"""The ancestry of an artefact, followed through the records of `provenance.py`.

A record has the hashes of its parents, which shows what has changed since. Files are always hashed
again. Weights are hashed only with `verify`; otherwise the hash in the checkpoint's own record is
trusted.

A record names its parents as the command did. Each is searched for in two places: relative to the
artefact's current location, in case the whole folder was moved or copied, and at the original path.
The first with the recorded content is used, or else the first that exists.
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
"""The most generations that are followed; recursion, also in the JSON writer, is limited."""

Node = dict[str, Any]
Record = dict[str, Any]


def trace(
    path: str, *, verify: bool = False, notify: Callable[[str], None] = lambda message: None
) -> Node:
    """Return the tree of ancestors of the artefact at `path`.

    Args:
        path: a checkpoint directory or a file with a record, or an output of `rzero eval`.
        verify: also hash weights.
        notify: receives a message for each checkpoint that is hashed.

    Returns:
        A node {"path", "state", "sha256", "stage", "seed", "preset", "finished", "note", "above",
        "parents"}. `parents` is a list of such nodes, models first. `state` is "unchanged",
        "changed", "missing" or, if it cannot be determined, "unchecked". Parents without a hash
        have the state "hub name", "server" or "pipe"; an evaluation, which has none either, has
        the state None. `sha256` is the recorded hash. `stage`, `seed`, `preset` and `finished` are
        from the node's own record, or None; `note` states what is wrong with that record. `above`
        is true if the parents are omitted because the tree shows them earlier. Below a changed
        parent are the parents of its current content.

    Raises:
        UsageError: there is no such path, or it has no record.
        DataError: its record is invalid.
    """
    place = Path(path)
    if not _is_there(place):
        raise UsageError(f"{path}: no such file or directory")
    record = _record_of(place) or _origin_of(place)
    if record is None:
        meta = place / CHECKPOINT_META if place.is_dir() else file_meta_path(place)
        raise UsageError(f"{path}: has no record ({meta} does not exist)")
    walk = _Walk(verify, notify)
    known: str | None = record.get("sha256")
    state = known and walk.state(place, known, record)
    return _expand(_node(str(Path.cwd() / place), state, known, record), place, record, walk)


def nodes(tree: Node) -> Iterator[Node]:
    """Yield the node and all nodes below it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node["parents"]


@dataclass(frozen=True, slots=True)
class _Walk:
    """The state of a walk over the tree: options, nodes expanded so far, hashes computed."""

    verify: bool
    notify: Callable[[str], None]
    expanded: set[str] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)

    def state(self, place: Path, known: str, record: Record | None) -> str:
        """Return the state of the content at `place`, given the hash `known` of it."""
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
    """Return `node` with the nodes of the parents in `record`."""
    real = os.path.realpath(place)
    if not record["parents"]:
        return node
    if real in walk.expanded:
        return node | {"above": True}
    if depth == MOST_DEEP:
        return node | {"note": f"more than {MOST_DEEP} generations back: run lineage on this path"}
    walk.expanded.add(real)
    found = [_find(parent, Path(real), record, walk) for parent in record["parents"]]
    # Models first: their history includes that of the data.
    found.sort(key=lambda parent: parent[1] is not None and not parent[1].is_dir())
    parents = [
        parent if own is None or where is None else _expand(parent, where, own, walk, depth + 1)
        for parent, where, own in found
    ]
    return node | {"parents": parents}


def _find(
    parent: dict[str, Any], child: Path, record: Record, walk: _Walk
) -> tuple[Node, Path | None, Record | None]:
    """Return the node of a parent of the artefact at `child`, its location and its own record."""
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
    """Return the possible locations of the parent `name`."""
    directory, output = record.get("directory"), record.get("output")
    if directory is None or output is None:  # a record without its original location
        return [Path(name)]
    then = os.path.normpath(Path(directory, name))
    relative = os.path.relpath(then, Path(directory, output).parent)
    now = os.path.normpath(child.parent / relative)
    return [Path(place) for place in dict.fromkeys((now, then))]


def _outside(name: str) -> str:
    """Return the kind of a parent that is neither a file nor a directory."""
    if " at http" in name:
        return "server"
    return "pipe" if name == "-" or name.startswith("/") else "hub name"


def _is_there(place: Path) -> bool:
    """Return True if `place` is a file or a directory; never raise, whatever the name is."""
    try:
        return place.is_file() or place.is_dir()
    except (OSError, ValueError):  # too long, with a NUL, in an unreadable folder
        return False


def _record_of(place: Path) -> Record | None:
    """Return the record of a checkpoint or file, or None. Raises DataError, OSError."""
    meta = place / CHECKPOINT_META if place.is_dir() else file_meta_path(place)
    return _checked(read_object(meta), meta) if _is_there(meta) else None


def _origin_of(place: Path) -> Record | None:
    """Return the record in an evaluation; None for any other file. Raises DataError."""
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
    """Return `record` if it is valid. Raises DataError."""
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
