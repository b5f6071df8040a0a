"""Fixtures of the evaluation tests: a tiny character-level model, and data caches."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rzero_cli.answers.equivalence import Equivalence

if TYPE_CHECKING:
    from rzero_cli.engines.transformers import TransformersEngine


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence() as opened:
        yield opened


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Llama whose tokens are characters, and `\\boxed{`."""
    import torch
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = str(tmp_path_factory.mktemp("tiny"))
    pieces = ["<pad>", "<eos>", "<unk>", "\\boxed{", *string.printable]
    core = Tokenizer(WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    core.pre_tokenizer = Split(Regex(r"\\boxed\{|[\s\S]"), "isolated")
    core.decoder = Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(checkpoint: str) -> Iterator[TransformersEngine]:
    from rzero_cli.engines.transformers import TransformersEngine

    with TransformersEngine(checkpoint, batch_size=8) as opened:
        yield opened


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a separate data cache and no hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def own_gsm8k(tmp_path: Path) -> str:
    """A directory with lm-eval's GSM8K task, which loads without lm-eval's whole index."""
    import lm_eval

    source = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.yaml").write_text(f"include: {source}\ntask: own_gsm8k\n")
    return str(tmp_path / "tasks")
