"""How often each fault was injected and what was lost, printed at the end of the run.

The counts are short ones, for every day. RZERO_FAULTS=full (`make test-faults`) takes those that
docs/reliability.md reports; RZERO_FAULTS_SEED chooses other moments.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest

FULL = os.environ.get("RZERO_FAULTS") == "full"
SEED = int(os.environ.get("RZERO_FAULTS_SEED", "0"))


@dataclass
class Tries:
    """What one kind of fault did. Records, unless it says otherwise."""

    fault: str
    tries: int = 0
    lost: int = 0
    twice: int = 0
    hangs: int = 0


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> Callable[[str], Tries]:
    """Makes a `Tries` that the table at the end has; it must be clean when the test ends."""
    made: list[Tries] = []

    def make(fault: str) -> Tries:
        made.append(Tries(fault))
        return made[-1]

    yield make
    request.node.user_properties += [("fault", asdict(kind)) for kind in made]
    for kind in made:
        assert kind.tries > 0, kind
        assert (kind.lost, kind.twice, kind.hangs) == (0, 0, 0), kind


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Random moments of this test: the same ones with the same RZERO_FAULTS_SEED."""
    return random.Random(f"{SEED} {request.node.name}")
