"""Without the extras, each command that needs one says which."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Refused
from helpers.empty_checkpoints import empty_checkpoint

TRAIN = "torch and transformers not installed: pip install '.[train]' in the clone"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sample --challenger model -n 2", TRAIN),
        ("label questions.jsonl --solver model", TRAIN),
        ("label questions.jsonl --solver model --dry-run", TRAIN),
        ("label questions.jsonl --solver model --engine transformers", TRAIN),
        ("score questions.jsonl --solver model", TRAIN),
        ("label questions.jsonl --solver m --endpoint http://127.0.0.1:9", "'.[openai]'"),
        ("oracle questions.jsonl --oracle-endpoint http://127.0.0.1:9", "'.[openai]'"),
        ("challenge --challenger model --solver model -o c --dry-run", "'.[train]'"),
        ("train-solver questions.jsonl --solver model -o s --dry-run", "'.[train]'"),
        ("preflight --challenger model --solver model", "'.[train]'"),
        ("tiny-base -o base", TRAIN),
        ("eval --model model --data heldout.jsonl -o eval.json", "'.["),
    ],
)
def test_missing_extra_is_named(
    command: str, said: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_core(name: str) -> object:
        extras = ("torch", "transformers", "trl", "accelerate", "openai", "lm_eval", "vllm", "peft")
        return None if name.split(".")[0] in extras else find_spec(name)

    monkeypatch.setattr("rzero_cli.engines.models.find_spec", of_core)
    empty_checkpoint(tmp_path / "model")
    (tmp_path / "questions.jsonl").write_text('{"question": "1 + 1?"}\n')
    (tmp_path / "heldout.jsonl").write_text('{"question": "1 + 1?", "reference": "2"}\n')
    assert said in refused(*command.split())
