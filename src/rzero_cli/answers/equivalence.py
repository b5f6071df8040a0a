"""Decide which answers to one question are equal, by key if possible, else with math-verify.

Two expressions with canonical keys are equal iff the keys are. Others are compared by math-verify
in a separate process with hard limits on time and memory (`answers.equivalence_worker`), since
hostile input can make it hang or exhaust memory and its own timeout does not help. A killed
comparison counts as "timed out": not equal, counted and reported.

Only single expressions at the same place of answers of the same shape are compared. math-verify's
verdicts need not be transitive, so they never merge two keyed expressions: one without a key joins
at most one keyed class, the first in key order that it equals, and two unkeyed groups are merged
only if they do not belong to two keyed classes. The answers' keys follow from those of their
expressions; names and units are then dropped where no two answers disagree about them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, zip_longest

from rzero_cli.answers import DEFAULT, Conventions
from rzero_cli.answers.expressions import latex_of, worker_latex
from rzero_cli.answers.keys import RELATION, Named, named_value, resolved
from rzero_cli.answers.trees import Leaf, leaves, skeleton
from rzero_cli.errors import RzeroError
from rzero_cli.system.secrets import without_keys

_START_SECONDS = 60.0  # importing math-verify on a busy machine
_STARTS = 3
_GRACE_SECONDS = 2.0  # between the worker's own limit and ours
WALL_FACTOR = 5.0  # wall-clock limit of a comparison, in units of its processor-time limit
_CACHE_SIZE = 10_000
_EQUATION = "= "  # how the key of an equation starts
_MAX_TIMEOUTS = 4  # after so many, a partition takes all remaining pairs as not equal

_Value = tuple[str, str, tuple[str, ...]]  # the key of an answer's value, its name, its units


class Equivalence:
    """Equality of answers to one question; a context manager around a lazily started worker.

    Thread-safe. After a fork, the child starts its own worker.

    Args:
        timeout: limit of a comparison in seconds of processor time, so that a busy machine does
            not change verdicts; the wall-clock limit is `WALL_FACTOR` times as long.
        memory_mb: address space of the worker in MiB; importing math-verify takes about 250.
        conventions: the treatment of units and percent signs.

    Attributes:
        timeouts: comparisons that exceeded a limit, summed over all calls; one that is known from
            an earlier call counts again.

    Raises:
        RzeroError: the worker does not start (when it is first needed).
    """

    def __init__(
        self,
        *,
        timeout: float = 1.0,
        memory_mb: int = 768,
        conventions: Conventions = DEFAULT,
    ) -> None:
        self.timeouts = 0
        self.conventions = conventions
        self._limits = (timeout, memory_mb)
        self._worker: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started the worker; a fork starts its own
        self._requests = 0
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[str, str], bool | None] = {}

    def __enter__(self) -> Equivalence:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def equal(self, a: str, b: str) -> bool:
        """Return True if two answers are equivalent; symmetric and reflexive."""
        return len(self.classes([a, b])) == 1

    def classes(self, answers: Iterable[str]) -> list[list[str]]:
        """Partition the distinct spellings into classes, each sorted, in sorted order.

        How often an answer occurs counts where answers without a name or unit join those that
        disagree about it. The result does not depend on the order of the answers.
        """
        counts = Counter(answers)
        if len(counts) == 1:
            return [list(counts)]
        read = {answer: named_value(answer, self.conventions) for answer in sorted(counts)}
        if any(named.value is None for named in read.values()):
            read = self._resolve(read)
        same: dict[_Value, list[str]] = {}
        for answer, named in read.items():
            same.setdefault((str(named.value), named.name, named.units), []).append(answer)
        if not any(name or any(units) for _, name, units in same):  # nothing to disagree about
            return sorted(same.values())
        sizes = {value: sum(counts[a] for a in spellings) for value, spellings in same.items()}
        merged = [[a for value in some for a in same[value]] for some in _join(sizes)]
        return sorted(sorted(spellings) for spellings in merged)

    def _resolve(self, read: dict[str, Named]) -> dict[str, Named]:
        """Give each expression without a key the key of its class among comparable ones."""
        shapes: dict[str, list[Named]] = {}
        for named in read.values():
            shapes.setdefault(skeleton(named.reading.node), []).append(named)
        timed_out: set[tuple[str, str]] = set()
        keys: dict[tuple[str, str], dict[Leaf, str]] = {}  # (shape, path) -> leaf -> key
        for shape, some in shapes.items():
            if all(named.value is not None for named in some):
                continue
            at_path: dict[str, list[Leaf]] = {}
            for named in some:
                for path, leaf in leaves(named.reading.node):
                    at_path.setdefault(path, []).append(leaf)
            for path, found in at_path.items():
                keys[shape, path] = self._partition(found, timed_out)
        relations = [n.reading.relation for n in read.values() if n.reading.relation is not None]
        equations = self._partition(relations, timed_out) if relations else {}
        self.timeouts += len(timed_out)

        def with_keys(named: Named) -> Named:
            shape = skeleton(named.reading.node)

            def key_of_leaf(leaf: Leaf, path: str) -> str:
                return equations[leaf] if path == RELATION else keys[shape, path][leaf]

            return resolved(named.reading, key_of_leaf) if named.value is None else named

        return {answer: with_keys(named) for answer, named in read.items()}

    def _partition(self, found: Iterable[Leaf], timed_out: set[tuple[str, str]]) -> dict[Leaf, str]:
        """Return a key for each expression, the same for those of one class."""
        names: dict[Leaf, tuple[bool, str, str]] = {}  # (has no key, key or LaTeX, relation)
        for leaf in found:
            spelled = latex_of(leaf.tokens) if leaf.key is None else leaf.key
            names[leaf] = (leaf.key is None, spelled, leaf.sign)
        spelling = {name: worker_latex(leaf.tokens) for leaf, name in names.items()}
        root = {name: name for name in names.values()}

        def find(name: tuple[bool, str, str]) -> tuple[bool, str, str]:
            while root[name] != name:
                name = root[name]
            return name

        for one, two in combinations(sorted(root), 2):  # keyed ones come first, so they stay roots
            a, b = find(one), find(two)
            both_keyed = not (a[0] or b[0])
            if a == b or both_keyed or one[2] != two[2] or len(timed_out) >= _MAX_TIMEOUTS:
                continue
            if self._compare(spelling[one], spelling[two], one[2], timed_out):
                root[max(a, b)] = min(a, b)
        return {
            leaf: f"{leaf.sign} {spelled}".strip() if unkeyed else spelled
            for leaf, name in names.items()
            for unkeyed, spelled, _ in [find(name)]
        }

    def close(self) -> None:
        """Kill the worker and its children; a later comparison starts a new one."""
        with self._lock:
            self._stop()

    def _compare(self, one: str, two: str, sign: str, timed_out: set[tuple[str, str]]) -> bool:
        """Compare two expressions, or differences of a relation's sides, with the worker."""
        if not (one and two):
            return False
        if sign:
            one, two = f"{sign} {one}", f"{sign} {two}"
        # First compare each with 7, so that a bad spelling costs one time-out, not one per pair.
        seven = f"{sign} 7".strip()
        for pair in ((one, seven), (two, seven), (one, two)):
            a, b = min(pair), max(pair)
            verdict = self._verdict(a, b)
            if verdict is None:
                timed_out.add((a, b))
                return False
        return verdict is True

    def _verdict(self, a: str, b: str) -> bool | None:
        """Return the cached or new verdict, None for a comparison that timed out."""
        with self._lock:
            if (a, b) not in self._verdicts:
                if len(self._verdicts) >= _CACHE_SIZE:
                    self._verdicts.clear()
                self._verdicts[a, b] = self._request(a, b)
            return self._verdicts[a, b]

    def _request(self, a: str, b: str) -> bool | None:
        if self._worker is None or self._owner != os.getpid():
            self._start()
        assert self._worker is not None and self._worker.stdin is not None
        self._requests += 1
        try:
            self._worker.stdin.write(json.dumps([self._requests, a, b]).encode() + b"\n")
            while True:
                reply = json.loads(self._read_line(WALL_FACTOR * self._limits[0] + _GRACE_SECONDS))
                if reply is None:
                    return None
                if reply[0] == self._requests:  # not the late reply to an abandoned request
                    return bool(reply[1])
        except (OSError, TimeoutError):
            self._stop()
            return None

    def _start(self) -> None:
        timeout, memory_mb = self._limits
        limits = map(str, (timeout, WALL_FACTOR * timeout, memory_mb))
        command = [sys.executable, "-m", "rzero_cli.answers.equivalence_worker", *limits]
        self._owner = os.getpid()
        for _ in range(_STARTS):
            self._worker = subprocess.Popen(
                command,
                bufsize=0,  # `select` does not see a reply that is already in a buffer
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=without_keys(),  # it processes untrusted text
                start_new_session=True,  # Ctrl-C in the terminal must reach only the caller
            )
            try:
                self._read_line(_START_SECONDS)
                return
            except (OSError, TimeoutError):  # it may have been killed during the import
                self._stop()
        raise RzeroError(
            "the equivalence worker did not start: is math-verify installed, and is "
            f"memory_mb={memory_mb} enough to import it?"
        )

    def _read_line(self, seconds: float) -> bytes:
        assert self._worker is not None and self._worker.stdout is not None
        if not select.select([self._worker.stdout], [], [], seconds)[0]:
            raise TimeoutError
        if not (line := self._worker.stdout.readline()):
            raise OSError("the worker ended")
        return line

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None or self._owner != os.getpid():
            return
        assert worker.stdin is not None and worker.stdout is not None
        # Kill the whole group, so that no child is left computing.
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


@dataclass
class _Class:
    """Answers that agree on a value, a name and units."""

    members: list[_Value]
    values: set[str]
    name: str
    units: tuple[str, ...]
    size: int

    def with_unit(self, value: str) -> str:
        """Return the key of a value times its unit, should the unit's letters be variables."""
        return f"{value} {self.units[0]}" if len(self.units) == 1 else ""

    def accepts(self, value: str, name: str, units: tuple[str, ...]) -> bool:
        if not (name or units) and value in map(self.with_unit, self.values):
            return True  # `5 m` next to `5 \text{ m}`
        if not all(a == b or not (a and b) for a, b in zip(self.units, units, strict=False)):
            return False
        if value in self.values:
            return self.name == name or not (self.name and name)
        return self.name == name and name.startswith(_EQUATION)


def _join(sizes: dict[_Value, int]) -> list[list[_Value]]:
    """Return the classes of values with names and units.

    The most specific come first, then the most frequent, then the smallest. Each joins the largest
    class that it does not disagree with, and adds its name and units to it.
    """
    classes: list[_Class] = []
    by_key: dict[str, list[_Class]] = {}

    def rank(named: _Value) -> tuple[int, int, _Value]:
        _, name, units = named
        return -bool(name) - sum(map(bool, units)), -sizes[named], named

    for named in sorted(sizes, key=rank):
        value, name, units = named
        found = by_key.get(value, []) + (by_key.get(name, []) if name else [])
        if fitting := [one for one in found if one.accepts(value, name, units)]:
            joined = min(fitting, key=lambda one: (-one.size, one.name, one.units))
            joined.members.append(named)
            joined.name = joined.name or name
            both = zip_longest(joined.units, units, fillvalue="")
            joined.units = tuple(a or b for a, b in both)
            joined.size += sizes[named]
            joined.values.add(value)
        else:
            joined = _Class([named], {value}, name, units, sizes[named])
            classes.append(joined)
        for key in {value, name, joined.with_unit(value)} - {""}:
            if joined not in by_key.setdefault(key, []):
                by_key[key].append(joined)
    return [one.members for one in classes]
