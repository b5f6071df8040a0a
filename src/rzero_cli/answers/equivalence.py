"""Decide which answers to one question are equal, by key if possible, else with math-verify.

Two answers with canonical keys are equal iff the keys are. Others are compared by math-verify in a
separate process with hard limits on time and memory (`answers.equivalence_worker`), since hostile
input can make it hang or exhaust memory and its own timeout does not help. A killed comparison
counts as "timed out": not equal, counted and reported.

math-verify's verdicts need not be transitive, so they never merge two keyed classes. A spelling
without a key joins at most one keyed class, the first in key order that it equals, and two unkeyed
groups are merged only if they do not belong to two keyed classes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import combinations

from rzero_cli.answers import DEFAULT, Conventions, canonical_key, latex_form
from rzero_cli.errors import RzeroError
from rzero_cli.system.secrets import without_keys

_START_SECONDS = 60.0  # importing math-verify on a busy machine
_STARTS = 3
_GRACE_SECONDS = 2.0  # between the worker's own limit and ours
WALL_FACTOR = 5.0  # wall-clock limit of a comparison, in units of its processor-time limit
_CACHE_SIZE = 10_000
_RELATIONS = {"=": "=", r"\ne": "!=", r"\le": "<=", r"\ge": "<=", "<": "<", ">": "<"}
_MAX_TIMEOUTS = 4  # after so many, a partition takes all remaining pairs as not equal


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

        The result does not depend on the order of the answers.
        """
        groups: dict[tuple[bool, str], list[str]] = {}  # (has no key, key or LaTeX) -> spellings
        for answer in sorted(set(answers)):
            groups.setdefault(self._group(answer), []).append(answer)
        names = sorted(groups)
        root = {name: name for name in names}

        def find(name: tuple[bool, str]) -> tuple[bool, str]:
            while root[name] != name:
                name = root[name]
            return name

        timed_out: set[tuple[str, str]] = set()
        for one, two in combinations(names, 2):  # keyed names come first, so they stay roots
            a, b = find(one), find(two)
            both_keyed = not (a[0] or b[0])
            if a == b or both_keyed or len(timed_out) >= _MAX_TIMEOUTS:
                continue
            if self._compare(groups[one][0], groups[two][0], timed_out):
                root[max(a, b)] = min(a, b)
        self.timeouts += len(timed_out)
        merged: dict[tuple[bool, str], list[str]] = {}
        for name in names:
            merged.setdefault(find(name), []).extend(groups[name])
        return sorted(sorted(spellings) for spellings in merged.values())

    def close(self) -> None:
        """Kill the worker and its children; a later comparison starts a new one."""
        with self._lock:
            self._stop()

    def _group(self, answer: str) -> tuple[bool, str]:
        """Return (has no key, key or LaTeX); answers with the same value are equal."""
        key = canonical_key(answer, self.conventions)
        return (True, latex_form(answer, self.conventions)) if key is None else (False, key)

    def _compare(self, one: str, two: str, timed_out: set[tuple[str, str]]) -> bool:
        """Compare two spellings with the worker."""
        for spelling in (one, two):
            if (canonical_key(spelling, self.conventions) or "").startswith("text:"):
                return False
        a, b = sorted(latex_form(spelling, self.conventions) for spelling in (one, two))
        if _shape(a) != _shape(b):
            return False
        # First compare each with 7, so that a bad spelling costs one time-out, not one per pair.
        pairs = [(min(a, "7"), max(a, "7")), (min(b, "7"), max(b, "7")), (a, b)]
        for pair in pairs:
            verdict = self._verdict(*pair)
            if verdict is None:
                timed_out.add(pair)
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


def _shape(latex: str) -> tuple[int, frozenset[str], str]:
    r"""Return what equal answers share: number of members, kinds of relation, outer brackets.

    math-verify would equate `2x + 3y = 6` with 6, and a tuple with the set of its members.
    """
    tokens = latex.split()
    depth, commas, relations, brackets = 0, 0, set(), ""
    for token in tokens:
        depth += (token in ("(", "[", "{", r"\{")) - (token in (")", "]", "}", r"\}"))
        if depth == 0 and token in _RELATIONS:
            relations.add(_RELATIONS[token])
        elif token == "," and depth == 0:
            commas += 1
        elif token == "," and depth == 1 and tokens[0] in ("(", "[", r"\{"):
            brackets = tokens[0] + tokens[-1]
    return commas, frozenset(relations), brackets
