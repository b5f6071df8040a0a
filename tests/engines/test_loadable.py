"""Checkpoints that cannot be loaded: the error names the file before any work is done."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from conftest import Refused
from helpers.damaged_checkpoints import Damage, config, write
from helpers.empty_checkpoints import empty_checkpoint, write_safetensors
from rzero_cli.engines.loadable import check_checkpoint
from rzero_cli.engines.models import check_model
from rzero_cli.errors import UsageError


def truncate(name: str, keep: float) -> Damage:
    """Truncate a file to `keep` bytes, or to a fraction of it."""

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(keep if keep > 1 or not keep else keep * len(data))])

    return damage


def lengthen(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as stream:
        stream.write(b"\0")


def flip(place: int) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[place] ^= 0x80
        (folder / "model.safetensors").write_bytes(data)

    return damage


def remove(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names]


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


DAMAGES = {
    "empty": (
        truncate("model.safetensors", 0),
        "model.safetensors: truncated after 0 bytes, in its h",
    ),
    "length": (
        truncate("model.safetensors", 7),
        "model.safetensors: truncated after 7 bytes, in its h",
    ),
    "header": (
        truncate("model.safetensors", 100),
        "model.safetensors: truncated after 100 bytes, in",
    ),
    "half": (truncate("model.safetensors", 0.5), "model.safetensors: truncated: "),
    "last": (truncate("model.safetensors", 0.9999), "instead of "),
    "longer": (lengthen, "model.safetensors: too long: "),
    "flipped length": (flip(7), "model.safetensors: not safetensors: copy or download it again"),
    "flipped header": (flip(9), "model.safetensors: not safetensors, or damaged"),
    "git lfs": (write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "git"),
    "no weights": (remove("model.safetensors"), "model.safetensors: missing, and there are no ot"),
    "a pickle": (only_a_pickle, "a pickle (pytorch_model.bin) can run code: if you "),
    "no tokenizer": (remove("tokenizer.json"), "no tokenizer (no tokenizer.json, "),
    "half a tokenizer": (truncate("tokenizer.json", 0.5), "tokenizer.json: not JSON, or truncated"),
    "half a config": (truncate("config.json", 0.5), "config.json: not JSON, or truncated"),
    "a list": (write("config.json", "[]"), "config.json: not a JSON object"),
    "no type": (write("config.json", "{}"), "config.json: no model_type"),
    "other head": (config(architectures=["BertForMaskedLM"]), "BertForMaskedLM does not generate"),
    "encoder": (
        config(architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True),
        "config.json: T5ForConditionalGeneration does not generate text: give a causal language",
    ),
    "another's": (config(hidden_size=64), "config.json: does not belong to these weights: their e"),
    "weights elsewhere": (
        config(transformers_weights="../x.safetensors"),
        "config.json: transformers_weights must name a file in the same directory",
    ),
    "own code": (
        config(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}),
        "config.json: mine needs code from the checkpoint (auto_map), which rzero does not run",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_checkpoint_is_reported_before_any_work(
    refused: Refused, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    damage, message = DAMAGES[name]
    shutil.copytree(tiny_model, tmp_path / "model")
    damage(tmp_path / "model")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    # The input is missing, too: the first error shows what was checked first.
    for option, *command in (
        ("--solver", "label", "nowhere", "-o", "out"),
        ("--solver", "train-solver", "nowhere", "-o", "out"),
        ("--challenger", "challenge", "--solver", str(tiny_model), "-o", "out"),
        ("--solver", "challenge", "--challenger", str(tiny_model), "-o", "out"),
        ("--model", "eval", "--data", "nowhere", "-o", "out"),
    ):
        error = refused(*command, option, "model")
        assert error.startswith(f"{option} model: ")
        assert message in error
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_complete_checkpoints_are_checked_fast(
    tiny_model: Path, plain_model: Path, toy_qwen3: Path, toy_llama: Path, tmp_path: Path
) -> None:
    models = [tiny_model, plain_model, toy_qwen3, toy_llama, empty_checkpoint(tmp_path / "empty")]
    started = time.monotonic()
    for model in models:
        assert check_model("--solver", str(model)) == str(model)
    assert time.monotonic() - started < 1  # torch alone takes longer to load


def test_every_shard_of_the_index_is_checked(tmp_path: Path) -> None:
    folder = empty_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    for number, name in enumerate("ab"):
        tensor = {"dtype": "F32", "shape": [number + 1], "data_offsets": [0, 4 * (number + 1)]}
        write_safetensors(folder / f"{number}.safetensors", {name: tensor}, bytes(4 * number + 4))

    def refuse(places: object) -> str:
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(UsageError) as error:
            check_checkpoint(folder)
        return str(error.value)

    places = {"a": "0.safetensors", "b": "1.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    check_checkpoint(folder)
    assert "2.safetensors: missing, but" in refuse(places | {"c": "2.safetensors"})
    assert "1.safetensors: lacks c, which" in refuse(places | {"c": "1.safetensors"})
    assert "no weight_map" in refuse(["0.safetensors"])
    assert "no weight_map" in refuse({"a": "../model/0.safetensors"})
    data = (folder / "1.safetensors").read_bytes()
    (folder / "1.safetensors").write_bytes(data[:-1])
    assert refuse(places).startswith("1.safetensors: truncated: ")


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 1},
        {"a": {"data_offsets": [0]}},
        {"a": {"data_offsets": [4, 8]}},
        {"a": {"data_offsets": [0, 8]}, "b": {"data_offsets": [4, 8]}},
        {"a": {"data_offsets": [0, 4]}, "b": {"data_offsets": ["4", "8"]}},
        {"a": {"data_offsets": [0, 1e999]}},
    ],
)
def test_malformed_safetensors_header_is_rejected(tmp_path: Path, header: object) -> None:
    folder = empty_checkpoint(tmp_path / "model")
    write_safetensors(folder / "model.safetensors", header, bytes(8))
    with pytest.raises(UsageError, match=r"^model\.safetensors: "):
        check_checkpoint(folder)


def test_adapter_and_base_are_both_checked(tmp_path: Path) -> None:
    base, adapter = empty_checkpoint(tmp_path / "base"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))

    def refuse() -> str:
        with pytest.raises(UsageError) as error:
            check_model("--solver", str(adapter))
        return str(error.value)

    (adapter / "adapter_model.bin").write_bytes(b"pickle")
    assert "adapter_model.safetensors: missing; only safetensors are read" in refuse()
    write_safetensors(adapter / "adapter_model.safetensors", {})
    assert check_model("--solver", str(adapter)) == str(adapter)
    (base / "tokenizer.json").unlink()
    assert f"adapter: an adapter of {base}: no tokenizer (" in refuse()
    (adapter / "tokenizer_config.json").write_text("{}")
    assert f"{adapter}: no tokenizer (" in refuse()
    (adapter / "tokenizer.json").write_text("{}")
    assert check_model("--solver", str(adapter)) == str(adapter)
    write_safetensors(base / "model.safetensors", {}, b"more")
    assert f"adapter: an adapter of {base}: model.safetensors: too long" in refuse()


def test_custom_code_of_a_known_architecture_is_ignored(tmp_path: Path) -> None:
    code = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    known = empty_checkpoint(tmp_path / "known", auto_map=code)
    assert check_model("--solver", str(known)) == str(known)
    theirs = empty_checkpoint(tmp_path / "theirs", model_type="theirs", auto_map=code)
    with pytest.raises(UsageError, match="theirs needs code from the checkpoint"):
        check_model("--solver", str(theirs))
    assert check_model("--solver", str(theirs), engine="vllm") == str(theirs)


def test_architectures_that_do_not_generate_text_are_rejected(tmp_path: Path) -> None:
    """Check against transformers' own lists."""
    from transformers.models.auto import modeling_auto

    def names(task: str) -> set[str]:
        listed = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").values()
        return {
            name for names in listed for name in ((names,) if isinstance(names, str) else names)
        }

    def passes(architecture: str) -> bool:
        folder = empty_checkpoint(tmp_path / "model", architectures=[architecture])
        try:
            check_checkpoint(folder)
        except UsageError:
            return False
        return True

    causal = names("CAUSAL_LM")
    assert len(causal) > 100
    assert {name for name in causal if not passes(name)} == set()
    for task in (
        *("MASKED_LM", "SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING"),
        *("MULTIPLE_CHOICE", "NEXT_SENTENCE_PREDICTION"),
    ):
        others = {name for name in names(task) - causal if name.count("For")}
        assert len(others) >= 5
        passed = {name for name in others if passes(name)}
        assert len(passed) <= len(others) / 10, passed
