"""Shapes of models, without their weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rzero_cli.engines.shapes import model_of, published, read_model


@pytest.mark.parametrize(
    ("name", "count", "kv"),
    [
        # Parameters as the hub counts them; bytes are 36 x 8 x 128 x 2 x 2, and so on.
        ("Qwen/Qwen3-4B-Base", 4_022_468_096, 147_456),
        ("Qwen/Qwen3-8B-Base", 8_190_735_360, 147_456),
        ("OctoThinker/OctoThinker-3B-Hybrid-Base", 3_212_749_824, 114_688),
        ("OctoThinker/OctoThinker-8B-Hybrid-Base", 8_030_261_248, 131_072),
    ],
)
def test_published_shapes_have_the_published_sizes(name: str, count: int, kv: int) -> None:
    shape = published()[name]
    model = model_of(shape)
    assert model.parameters == count
    assert model.kv_bytes == kv
    # Two operations per parameter, without the untied embeddings of an 8B model.
    table = 0 if shape["tie_word_embeddings"] else shape["vocab_size"] * 4096
    assert model.flops() == 2 * (count - table)
    attention = 4 * shape["num_hidden_layers"] * shape["num_attention_heads"] * 128
    assert model.flops(1000) - model.flops() == 1000 * attention


@pytest.mark.slow
@pytest.mark.parametrize("name", list(published()))
def test_published_shapes_equal_models_built_by_transformers(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(published()[name]))
    built, computed = read_model(str(tmp_path)), model_of(published()[name])
    assert replace(built, block=computed.block) == computed
    # It counts the final norm in the blocks: one feature in thousands.
    assert built.block == pytest.approx(computed.block, rel=1e-5)
