"""Decide which answers to one question are equal: by key where possible, else by math-verify.

Two answers with canonical keys are equal iff the keys are. The others are compared by math-verify
in a separate process under hard limits of time and memory (`answers.equivalence_worker`), because
it can hang or exhaust memory on hostile input and its own timeout does not help. A comparison that
is killed has an outcome of its own, "timed out": never equal, counted and reported.

math-verify's verdicts need not be transitive, so they may never merge two keyed classes: a
spelling without a key joins at most one keyed class, the first in key order that it equals, and
two unkeyed groups are merged only if they do not hang on two keyed classes.
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
from types import TracebackType

from rzero_cli.answers import DEFAULT, Conventions, canonical_key, latex_form
from rzero_cli.errors import RzeroError
from rzero_cli.system.secrets import without_keys

_START_SECONDS = 60.0  # importing math-verify on a busy machine
_STARTS = 3
_GRACE_SECONDS = 2.0  # between the worker's own limit and ours
WALL_FACTOR = 5.0  # a comparison that gets no processor is given up after so many times its limit
_CACHE_SIZE = 10_000
_RELATIONS = {"=": "=", r"\ne": "!=", r"\le": "<=", r"\ge": "<=", "<": "<", ">": "<"}
_MAX_TIMEOUTS = 4  # a partition gives up after so many: what is left is not equal


class Equivalence:
    """Equality of answers to one question; a context manager around a lazily started worker.

    Args:
        timeout: seconds of processor time one comparison may take, so that a busy machine changes
            no verdict; on the clock it may take `WALL_FACTOR` times as long.
        memory_mb: address space of the worker; importing math-verify takes some 250 of it.
        conventions: how units and percent signs are read.

    Attributes:
        timeouts: comparisons that exceeded a limit, in all partitions so far. Those that were
            known from an earlier partition count again, so that the figure is a sum over inputs.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def equal(self, a: str, b: str) -> bool:
        """Whether two answers are equivalent; symmetric and reflexive."""
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
            if a == b or (_is_keyed(a) and _is_keyed(b)) or len(timed_out) >= _MAX_TIMEOUTS:
                continue
            if self._compare(groups[one][0], groups[two][0], timed_out):
                root[max(a, b)] = min(a, b)
        self.timeouts += len(timed_out)
        merged: dict[tuple[bool, str], list[str]] = {}
        for name in names:
            merged.setdefault(find(name), []).extend(groups[name])
        return sorted(sorted(spellings) for spellings in merged.values())

    def close(self) -> None:
        """End the worker and its children; a later comparison starts a new one."""
        with self._lock:
            self._stop()

    def _group(self, answer: str) -> tuple[bool, str]:
        """(Has no key, key or LaTeX): what is alike here is equal without a comparison."""
        key = canonical_key(answer, self.conventions)
        return (True, latex_form(answer, self.conventions)) if key is None else (False, key)

    def _compare(self, one: str, two: str, timed_out: set[tuple[str, str]]) -> bool:
        """Ask the worker about two spellings."""
        for spelling in (one, two):
            if (canonical_key(spelling, self.conventions) or "").startswith("text:"):
                return False
        a, b = sorted(latex_form(spelling, self.conventions) for spelling in (one, two))
        if _shape(a) != _shape(b):
            return False
        # First each against 7, so that a bad spelling costs one time-out and not one a pair.
        questions = [(min(a, "7"), max(a, "7")), (min(b, "7"), max(b, "7")), (a, b)]
        for question in questions:
            verdict = self._verdict(*question)
            if verdict is None:
                timed_out.add(question)
                return False
        return verdict is True

    def _verdict(self, a: str, b: str) -> bool | None:
        """True, False, or None for a comparison that timed out."""
        with self._lock:
            if (a, b) not in self._verdicts:
                if len(self._verdicts) >= _CACHE_SIZE:
                    self._verdicts.clear()
                self._verdicts[a, b] = self._ask(a, b)
            return self._verdicts[a, b]

    def _ask(self, a: str, b: str) -> bool | None:
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
                if reply[0] == self._requests:  # not one that was already given up
                    return bool(reply[1])
        except (OSError, TimeoutError):
            self._stop()
            return None

    def _start(self) -> None:
        for _ in range(_STARTS):
            self._begin()
            try:
                self._read_line(_START_SECONDS)
                return
            except (OSError, TimeoutError):  # it may have been killed while it imported
                self._stop()
        raise RzeroError(
            "the equivalence worker did not start: is math-verify installed, and is "
            f"memory_mb={self._limits[1]} enough to import it?"
        )

    def _begin(self) -> None:
        timeout, memory_mb = self._limits
        self._owner = os.getpid()
        module = "rzero_cli.answers.equivalence_worker"
        self._worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                str(timeout),
                str(WALL_FACTOR * timeout),
                str(memory_mb),
            ],
            bufsize=0,  # `select` knows nothing of a reply that a buffer holds
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=without_keys(),  # it works on text that nobody has checked
            start_new_session=True,  # Ctrl-C in the terminal is for the caller alone
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
        # The group is killed at once rather than asked: a child is never left to compute.
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def _is_keyed(name: tuple[bool, str]) -> bool:
    return not name[0]


def _shape(latex: str) -> tuple[int, frozenset[str], str]:
    r"""What equal answers share: number of members, kinds of relation, brackets of a tuple or set.

    math-verify would take `2x + 3y = 6` for 6, and a tuple for the set of its members.
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
