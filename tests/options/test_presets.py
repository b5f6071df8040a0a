"""Presets: the paper's and the authors' values, combined in layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rzero_cli.engines.shapes import published
from rzero_cli.errors import UsageError
from rzero_cli.method.plan import make_plan
from rzero_cli.options.presets import (
    layers,
    load_config,
    merge,
    preset_keys,
    preset_names,
    preset_value,
)

OFF = None
GPUS = ["24gb", "48gb", "80gb", "141gb"]
MODELS = ["qwen3-4b", "qwen3-8b", "octothinker-3b", "octothinker-8b"]

# The paper's table, row by row; docs and `--help` get these values from the presets.
BOTH: dict[tuple[str, str], Any] = {
    ("sample", "n"): 8000,
    ("challenge", "m"): 10,
    ("challenge", "tau_bleu"): 0.5,
    ("challenge", "lambda_rep"): 1.0,
    ("train-solver", "prompts"): 512,
    ("challenge", "prompts"): 512,
    ("train-solver", "batch"): 128,
    ("challenge", "batch"): 16,
    ("train-solver", "group"): 5,
    ("challenge", "group"): 4,
    ("train-solver", "steps"): 15,
    ("challenge", "steps"): 5,
    ("train-solver", "learning_rate"): 1e-6,
    ("challenge", "learning_rate"): 1e-6,
    ("train-solver", "weight_decay"): 1e-2,
    ("challenge", "weight_decay"): 1e-2,
    ("train-solver", "beta"): 1e-2,
    ("challenge", "beta"): 1e-2,
    ("train-solver", "clip_low"): 0.2,
    ("challenge", "clip_low"): 0.2,
    ("train-solver", "max_grad_norm"): 1.0,
    ("challenge", "max_grad_norm"): 1.0,
    ("train-solver", "max_tokens"): 4096,
    ("challenge", "max_tokens"): 4096,
    ("train-solver", "temperature"): 1.0,
    ("challenge", "temperature"): 1.0,
    ("train-solver", "top_p"): 0.99,
    ("challenge", "top_p"): 0.99,
    ("sample", "temperature"): 1.0,
    ("sample", "top_p"): 0.95,
    ("sample", "max_tokens"): 4096,
    ("label", "temperature"): 1.0,
    ("label", "top_k"): 40,
    ("label", "top_p"): 1.0,
    ("label", "max_tokens"): 4096,
    # the Challenger's reward samples the Solver as `label` does
    ("challenge", "solver_temperature"): 1.0,
    ("challenge", "solver_top_k"): 40,
    ("challenge", "solver_max_tokens"): 4096,
    ("score", "m"): 10,
    ("score", "top_k"): 40,
}
PAPER_AND_OFFICIAL: dict[tuple[str, str], tuple[Any, Any]] = {
    ("label", "m"): (10, 9),
    ("filter", "delta"): ("0.25", "0.25"),
    ("filter", "low"): (OFF, "0.3"),
    ("filter", "high"): (OFF, "0.8"),
    ("challenge", "rule"): ("paper", "official"),
    ("score", "rule"): ("paper", "official"),
    ("train-solver", "rule"): ("paper", "official"),
    ("challenge", "bleu"): ("13a", "nltk"),
    ("train-solver", "clip_high"): (0.2, 0.3),
    ("challenge", "clip_high"): (0.2, 0.3),
    ("train-solver", "clip_dual"): (0.0, 3.0),
    ("challenge", "clip_dual"): (0.0, 3.0),
    ("challenge", "require_boxed"): (OFF, True),
    ("sample", "require_boxed"): (OFF, True),
}


@pytest.mark.parametrize(("command", "name"), [*BOTH, *PAPER_AND_OFFICIAL])
def test_presets_match_the_papers_table(command: str, name: str) -> None:
    same = BOTH.get((command, name))
    expected = PAPER_AND_OFFICIAL.get((command, name), (same, same))
    got = tuple(preset_value(command, name, preset) for preset in ("paper", "official"))
    assert got == expected
    assert [type(value) for value in got] == [type(value) for value in expected]


def test_official_sets_only_options_of_the_table() -> None:
    stated = {key for _, key in PAPER_AND_OFFICIAL}
    for table in (layers("official")[1], *layers("official")[1].values()):
        if isinstance(table, dict):
            assert {key for key, value in table.items() if not isinstance(value, dict)} <= stated


def test_preset_names_start_with_the_default() -> None:
    assert preset_names() == ["paper", "official", "tiny", *MODELS, *GPUS]
    assert {"m", "delta", "low", "tau_bleu", "clip_dual"} <= preset_keys()
    assert "filter" not in preset_keys()
    for preset in ("x", "official,x", "qwen3-4b,"):
        with pytest.raises(UsageError, match=r"unknown preset '.?'; known: paper, official, tiny"):
            layers(preset)


@pytest.mark.parametrize("preset", MODELS)
def test_model_preset_sets_the_model_of_every_role(preset: str) -> None:
    own = layers(preset)[1]
    assert own["challenger"] == own["solver"] == own["model"]
    assert own["model"] in published()
    for command in ("challenge", "train-solver"):
        names = ("steps", "prompts", "batch", "group", "max_tokens", "per_device")
        options = {name: preset_value(command, name, preset) for name in names}
        for processes in (1, 4, 8):
            plan = make_plan(**options, processes=processes)
            assert plan.per_device == (options["per_device"] or 8)
            assert plan.updates == (160 if command == "challenge" else 60)


def test_later_of_combined_presets_wins() -> None:
    assert preset_value("label", "m", "official,qwen3-4b") == 9
    assert preset_value("label", "solver", "official,qwen3-4b") == "Qwen/Qwen3-4B-Base"
    assert preset_value("challenge", "max_tokens", "official,tiny") == 24
    assert preset_value("train-solver", "gpu_memory", "80gb, 48gb") == 44.4
    assert preset_value("score", "solver", "qwen3-4b,octothinker-3b").startswith("OctoThinker/")
    assert layers("paper,official") == layers("official")


def test_later_layers_and_command_tables_win() -> None:
    stack: list[dict[str, Any]] = [
        {"a": 1, "b": 1, "label": {"b": 2, "c": 2}},
        {"b": 3, "filter": {"a": 9}},
    ]
    assert merge(stack, "label") == {"a": 1, "b": 3, "c": 2}
    assert merge(stack, "filter") == {"a": 9, "b": 3}


def test_delta_replaces_bounds_of_lower_layers() -> None:
    bounds = {"filter": {"low": "0.3", "high": "0.8"}}
    assert merge([bounds, {"filter": {"delta": 0.1}}], "filter") == {"delta": 0.1}
    assert merge([{"delta": 0.1}, bounds], "filter") == {"delta": 0.1, "low": "0.3", "high": "0.8"}


def test_configuration_keys_may_have_dashes(tmp_path: Path) -> None:
    path = tmp_path / "rzero.toml"
    path.write_text("tau-bleu = 0.4\n[train-solver]\nclip-high = 0.3\nseed = 1\n")
    assert load_config(path) == {"tau_bleu": 0.4, "train-solver": {"clip_high": 0.3, "seed": 1}}
