"""Trimmed passes compared with those of TRL's own trainer, on the same completions."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.recorded_passes import Case, Training, make_model, train

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def mixed(steps: int) -> list[list[int]]:
    """Return log-normal lengths, 16 a step: most are short, few are long."""
    rng = random.Random(0)
    lengths = [[min(400, round(rng.lognormvariate(4, 1))) for _ in range(16)] for _ in range(steps)]
    lengths[-1][-1] = 1  # the shortest possible
    return lengths


PROMPTS = [5, 9, 30, 12]
CASES = {
    "mixed lengths": Case(mixed(8), PROMPTS),
    "nothing to trim": Case([[64] * 16] * 8, [8] * 4),
    "KL and old log-probs": Case(mixed(4), PROMPTS, updates_per_step=2, beta=0.1),
    "LoRA with KL": Case(mixed(8), PROMPTS, beta=0.1, lora_r=4),
    "the paper's optimizer": Case(mixed(8), PROMPTS, optim="adamw_torch_fused", learning_rate=1e-6),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("model"))


Both = tuple[Case, Training, Training]


@pytest.fixture(scope="module", params=CASES)
def both(
    request: pytest.FixtureRequest, model: str, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    """Return a case, and its trainings by TRL and by rzero."""
    folder, case = tmp_path_factory.mktemp("both"), CASES[request.param]
    return (
        case,
        train("trl", case, model, folder / "trl"),
        train("rzero", case, model, folder / "r"),
    )


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of a weight."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_weights_after_eight_updates_equal_trls(both: Both, model: str) -> None:
    case, trl, rzero = both
    assert [line["update"] for line in rzero.log] == list(range(1, 9))
    assert distance(trl.weights, rzero.weights) < 1e-6
    if not case.lora_r:  # SGD moves a weight by 5e-2, AdamW by 8e-6
        moved = distance(weights(Path(model)), rzero.weights)
        assert moved > (1e-2 if case.optim == "sgd" else 5e-6)
    for theirs, ours in zip(trl.log, rzero.log, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4, abs=1e-6)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
    if case.updates_per_step > 1:
        assert max(line["clip_ratio/region_mean"] for line in rzero.log) > 0.1


def test_no_pass_has_a_column_of_padding(both: Both) -> None:
    case, trl, rzero = both
    assert all(one.columns == one.needed for one in rzero.passes)
    kinds = [sorted((one.reference, one.gradients) for one in t.passes) for t in (trl, rzero)]
    assert kinds[0] == kinds[1]
    if case.prompts == PROMPTS:
        assert sum(one.columns for one in rzero.passes) < 0.7 * sum(p.columns for p in trl.passes)


def test_longest_rollouts_come_first_in_passes_of_similar_length(
    model: str, tmp_path: Path
) -> None:
    lengths = [
        [n * (3 + step) for n in random.Random(step).sample(range(1, 17), 16)] for step in (0, 1)
    ]
    case = Case(lengths, prompts=[8] * 4, beta=0.1)
    expected = [8 + n for step in lengths for n in sorted(step, reverse=True)[::4]]
    for updates in (1, 2):
        done = train(
            "rzero", replace(case, updates_per_step=updates), model, tmp_path / str(updates)
        )
        reference = [one for one in done.passes if one.reference]
        old = [one for one in done.passes if not one.reference and not one.gradients]
        policy = [one for one in done.passes if one.gradients]
        assert columns(reference) == expected
        if updates == 1:  # they are equal to the policy's and not computed
            assert columns(policy) == expected
            assert not old
        else:  # a step's first update has half of its rollouts, in two passes
            assert columns(old) == expected
            for first, second in zip(policy[::2], policy[1::2], strict=True):
                assert first.mask.sum(1).min() > second.mask.sum(1).max()


def columns(passes: Sequence[Any]) -> list[int]:
    return [one.columns for one in passes]


def test_logged_means_are_over_all_tokens_of_an_update(model: str, tmp_path: Path) -> None:
    """They equal TRL's if an update is one pass."""
    case = replace(CASES["KL and old log-probs"], completions=mixed(2))
    ours = train("rzero", case, model, tmp_path / "four").log
    theirs = train("trl", replace(case, per_device=8), model, tmp_path / "one").log
    means = {"kl", "entropy", *(f"clip_ratio/{side}_mean" for side in ("low", "high", "region"))}
    for one, other in zip(ours, theirs, strict=True):
        for name in means:
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name
    assert all(ours[-1][name] for name in means)  # none is compared at 0


def test_two_processes_share_the_rollouts_of_an_update(model: str, tmp_path: Path) -> None:
    case = Case(mixed(4), [8] * 4, updates_per_step=2, beta=0.1, per_device=2)
    for name in ("trl", "rzero"):
        (tmp_path / name).mkdir()
        command = ["-m", "helpers.recorded_passes", name, json.dumps(asdict(case)), model]
        torchrun(*command, tmp_path / name)
    trl, rzero = (weights(tmp_path / name / "out") for name in ("trl", "rzero"))
    assert distance(trl, rzero) < 1e-6
    assert distance(weights(Path(model)), rzero) > 1e-2
    ranks = [json.loads((tmp_path / f"rzero/masks-{rank}.json").read_text()) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 8 * 2
    # The columns differ between ranks.
    assert any(len(one[0]) != len(other[0]) for one, other in zip(*ranks, strict=True))
    lengths = [[sum(row) for row in (*one, *other)] for one, other in zip(*ranks, strict=True)]
    for first, second in zip(lengths[::2], lengths[1::2], strict=True):
        assert min(first) >= max(second)


def test_sharded_passes_may_have_other_columns_on_each_rank() -> None:
    torchrun(TESTS / "helpers" / "sharded_passes.py")


def torchrun(*command: object) -> None:
    done = subprocess.run(
        [*TORCHRUN, *map(str, command)], cwd=TESTS, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_rows_are_fetched_once_a_step(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL fetches those of a step again for every pass."""
    from datasets import Dataset

    fetched: dict[str, int] = {}
    fetch = Dataset.__getitems__

    def counted(self: Dataset, numbers: list[int]) -> Any:
        fetched[name] = fetched.get(name, 0) + len(numbers)
        return fetch(self, numbers)

    monkeypatch.setattr(Dataset, "__getitems__", counted)
    case = Case([[8] * 16] * 3, PROMPTS, updates_per_step=2, per_device=2)
    for name in ("trl", "rzero"):
        train(name, case, model, tmp_path / name)
    assert fetched["rzero"] == case.plan.rollouts == 3 * 16
    assert fetched["trl"] == 8 * fetched["rzero"]
