"""Fixtures for tests of faults, which count the losses of each fault for a table at the end.

The number of tries is small by default. RZERO_FAULTS=full (`make test-faults`) uses the numbers in
docs/reliability.md; RZERO_FAULTS_SEED selects other random moments.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from helpers.forkserver import ForkServer

FULL = os.environ.get("RZERO_FAULTS") == "full"
SEED = int(os.environ.get("RZERO_FAULTS_SEED", "0"))


@dataclass
class Tries:
    """The effects of one kind of fault, in records unless its name has another unit."""

    fault: str
    tries: int = 0
    lost: int = 0
    twice: int = 0
    hangs: int = 0


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> Callable[[str], Tries]:
    """Return a function that makes one `Tries` per kind of fault, for the table at the end.

    Each must be without losses when the test ends.
    """
    made: dict[str, Tries] = {}

    def make(fault: str) -> Tries:
        return made.setdefault(fault, Tries(fault))

    yield make
    request.node.user_properties += [("fault", asdict(kind)) for kind in made.values()]
    for kind in made.values():
        assert kind.tries > 0, kind
        assert (kind.lost, kind.twice, kind.hangs) == (0, 0, 0), kind


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Random moments of this test, the same for the same RZERO_FAULTS_SEED."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """48 questions of the miniature."""
    words = ("reverse the digits of", "copy", "one more than each digit of")
    path = tmp_path / "questions"
    rows = [{"id": n, "question": f"{words[n % 3]} {100 + 7 * n}"} for n in range(48)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def labels(tmp_path: Path, questions: Path) -> Path:
    """The same with labels, and the answers that they came from."""
    path = tmp_path / "labels"
    voted = {"answer": "1", "p_hat": 0.75, "answers": ["1", "2", "1", "1"], "reference": "1"}
    rows = [json.loads(line) | voted for line in questions.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def adapter(forks: ForkServer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of `tiny_model`, trained for a step."""
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "labels").write_text('{"question": "copy 12", "answer": "12"}\n' * 4)
    plan = ["--steps", 1, "--prompts", 2, "--batch", 2, "--group", 2, "--max-tokens", 4]
    command = ["train-solver", "labels", "--solver", tiny_model, "-o", "adapter", "--lora-r", 2]
    ended = forks.run([*command, *plan], cwd=folder)
    assert ended.status == 0, ended.stderr.decode()
    return folder / "adapter"
