"""What cannot be loaded is named, file by file, before any work."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Refused
from helpers.empty_checkpoints import hollow_checkpoint, write_safetensors
from rzero_cli.data.provenance import (
    content_hash,
    describe,
    hashed_parents,
    write_checkpoint_meta,
)
from rzero_cli.engines.loadable import check_checkpoint
from rzero_cli.engines.models import check_model
from rzero_cli.errors import RzeroError, UsageError

Damage = Callable[[Path], object]


def cut(name: str, keep: float) -> Damage:
    """Cut a file off: after so many bytes, or so much of it."""

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


def write(name: str, text: str) -> Damage:
    return lambda folder: (folder / name).write_text(text)


def config(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        own = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(own | changes))

    return damage


def remove(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names]


def pickled_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


DAMAGES = {
    "empty": (cut("model.safetensors", 0), "model.safetensors: cut off after 0 bytes, in its h"),
    "length": (cut("model.safetensors", 7), "model.safetensors: cut off after 7 bytes, in its h"),
    "header": (cut("model.safetensors", 100), "model.safetensors: cut off after 100 bytes, in"),
    "half": (cut("model.safetensors", 0.5), "model.safetensors: cut off: "),
    "last": (cut("model.safetensors", 0.9999), "instead of "),
    "longer": (lengthen, "model.safetensors: too long: "),
    "flipped length": (flip(7), "model.safetensors: not safetensors: copy or download it again"),
    "flipped header": (flip(9), "model.safetensors: not safetensors, or damaged"),
    "git lfs": (write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "git"),
    "no weights": (remove("model.safetensors"), "model.safetensors: missing, and no other weight"),
    "a pickle": (pickled_alone, "a pickle (pytorch_model.bin) can run code: convert it"),
    "no tokenizer": (remove("tokenizer.json"), "no tokenizer there (no tokenizer.json, "),
    "half a tokenizer": (cut("tokenizer.json", 0.5), "tokenizer.json: not JSON, or cut off"),
    "half a config": (cut("config.json", 0.5), "config.json: not JSON, or cut off"),
    "a list": (write("config.json", "[]"), "config.json: not a JSON object"),
    "no type": (write("config.json", "{}"), "config.json: names no model_type"),
    "other head": (config(architectures=["BertForMaskedLM"]), "BertForMaskedLM does not continue"),
    "encoder": (
        config(architectures=["T5ForConditionalGeneration"], is_encoder_decoder=True),
        "config.json: T5ForConditionalGeneration does not continue a text: give a causal language",
    ),
    "another's": (config(hidden_size=64), "config.json: not of these weights: their embeddings a"),
    "weights elsewhere": (
        config(transformers_weights="../x.safetensors"),
        "config.json: transformers_weights is no name of a file beside it",
    ),
    "own code": (
        config(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}),
        "config.json: mine needs code that comes with the checkpoint (auto_map), and rzero runs n",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_before_any_work(
    refused: Refused, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    damage, message = DAMAGES[name]
    shutil.copytree(tiny_model, tmp_path / "model")
    damage(tmp_path / "model")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    # The input is not there either: what is said first was checked first.
    for option, *command in (
        ("--solver", "label", "nowhere", "-o", "out"),
        ("--solver", "train-solver", "nowhere", "-o", "out"),
        ("--challenger", "challenge", "--solver", str(tiny_model), "-o", "out"),
        ("--solver", "challenge", "--challenger", str(tiny_model), "-o", "out"),
        ("--model", "eval", "--data", "nowhere", "-o", "out"),
    ):
        said = refused(*command, option, "model")
        assert said.startswith(f"{option} model: ")
        assert message in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_whole_passes_in_milliseconds(
    tiny_model: Path, plain_model: Path, toy_qwen3: Path, toy_llama: Path, tmp_path: Path
) -> None:
    models = [tiny_model, plain_model, toy_qwen3, toy_llama, hollow_checkpoint(tmp_path / "hollow")]
    started = time.monotonic()
    for model in models:
        assert check_model("--solver", str(model)) == str(model)
    assert time.monotonic() - started < 1  # torch alone takes longer to load


def test_a_shard_is_looked_for_and_looked_into(tmp_path: Path) -> None:
    folder = hollow_checkpoint(tmp_path / "model")
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
    assert "2.safetensors: missing, though" in refuse(places | {"c": "2.safetensors"})
    assert "1.safetensors: holds no c, though" in refuse(places | {"c": "1.safetensors"})
    assert "has no weight_map" in refuse(["0.safetensors"])
    assert "has no weight_map" in refuse({"a": "../model/0.safetensors"})
    data = (folder / "1.safetensors").read_bytes()
    (folder / "1.safetensors").write_bytes(data[:-1])
    assert refuse(places).startswith("1.safetensors: cut off: ")


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
def test_no_header_confuses_the_check(tmp_path: Path, header: object) -> None:
    folder = hollow_checkpoint(tmp_path / "model")
    write_safetensors(folder / "model.safetensors", header, bytes(8))
    with pytest.raises(UsageError, match=r"^model\.safetensors: "):
        check_checkpoint(folder)


def test_an_adapter_and_its_base_are_both_looked_into(tmp_path: Path) -> None:
    base, adapter = hollow_checkpoint(tmp_path / "base"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))

    def refuse() -> str:
        with pytest.raises(UsageError) as error:
            check_model("--solver", str(adapter))
        return str(error.value)

    (adapter / "adapter_model.bin").write_bytes(b"pickle")
    assert "adapter_model.safetensors: missing; weights are read as safetensors alone" in refuse()
    write_safetensors(adapter / "adapter_model.safetensors", {})
    assert check_model("--solver", str(adapter)) == str(adapter)
    (base / "tokenizer.json").unlink()
    assert f"adapter: an adapter of {base}: no tokenizer there" in refuse()
    (adapter / "tokenizer_config.json").write_text("{}")
    assert f"{adapter}: no tokenizer there" in refuse()
    (adapter / "tokenizer.json").write_text("{}")
    assert check_model("--solver", str(adapter)) == str(adapter)
    write_safetensors(base / "model.safetensors", {}, b"more")
    assert f"adapter: an adapter of {base}: model.safetensors: too long" in refuse()


def test_code_of_its_own_is_no_hindrance_where_it_is_not_needed(tmp_path: Path) -> None:
    code = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    known = hollow_checkpoint(tmp_path / "known", auto_map=code)
    assert check_model("--solver", str(known)) == str(known)
    theirs = hollow_checkpoint(tmp_path / "theirs", model_type="theirs", auto_map=code)
    with pytest.raises(UsageError, match="theirs needs code that comes with the checkpoint"):
        check_model("--solver", str(theirs))
    assert check_model("--solver", str(theirs), engine="vllm") == str(theirs)


def test_only_architectures_that_continue_no_text_are_refused(tmp_path: Path) -> None:
    """Held to transformers' own lists."""
    from transformers.models.auto import modeling_auto

    def names(task: str) -> set[str]:
        listed = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").values()
        return {
            name for names in listed for name in ((names,) if isinstance(names, str) else names)
        }

    def passes(architecture: str) -> bool:
        folder = hollow_checkpoint(tmp_path / "model", architectures=[architecture])
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


# ---------------------------------------------------------------- bit rot


def with_record(folder: Path) -> Path:
    made = describe("x", output=str(folder), settings={}, parents=[], seconds=0.0, metrics={})
    write_checkpoint_meta(folder, made)
    return folder


def test_what_lies_beside_a_checkpoint_is_no_part_of_it(tmp_path: Path) -> None:
    folder = with_record(hollow_checkpoint(tmp_path / "model"))
    before = content_hash(folder)
    for name in ("eval.json", "eval.json.part.json", "heldout.jsonl", "log.jsonl", "README.md"):
        (folder / name).write_text("{}")
    assert content_hash(folder) == before
    for name in (
        *("config.json", "generation_config.json", "adapter_config.json", "tokenizer_config.json"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"),
        *("adapter_model.safetensors", "chat_template.jinja", "chat_template.json", "merges.txt"),
        *("vocab.json", "vocab.txt", "tokenizer.model", "special_tokens_map.json"),
    ):
        (folder / name).write_text("another")
        assert content_hash(folder) != before, name
        before = content_hash(folder)


def test_a_checkpoint_that_is_not_what_was_written_is_refused_before_any_work(
    refused: Refused, tmp_path: Path
) -> None:
    rotten, whole = (with_record(hollow_checkpoint(tmp_path / name)) for name in ("rot", "whole"))
    # One bit, which the header cannot tell; nothing could be loaded from here either.
    write_safetensors(rotten / "model.safetensors", {"__metadata__": {"a": "b"}})
    (tmp_path / "q.jsonl").write_text('{"question": "1 + 1", "answer": "2", "reference": "2"}\n')
    (tmp_path / "adapter").mkdir()
    write_safetensors(tmp_path / "adapter" / "adapter_model.safetensors", {})
    declared = {"base_model_name_or_path": str(rotten)}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(declared))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name, *command in (
        ("rot", "label", "q.jsonl", "--solver", "rot", "-o", "out"),
        ("rot", "sample", "--challenger", "rot", "-n", "3", "-o", "out"),
        ("rot", "score", "q.jsonl", "--solver", "rot", "-o", "out"),
        ("rot", "eval", "--data", "q.jsonl", "--model", "rot", "-o", "out"),
        ("rot", "challenge", "--challenger", "rot", "--solver", "whole", "-o", "out", "--quiet"),
        ("rot", "challenge", "--challenger", "whole", "--solver", "rot", "-o", "out", "--quiet"),
        ("rot", "train-solver", "q.jsonl", "--solver", "rot", "-o", "out", "--quiet"),
        (str(rotten), "merge", "adapter", "-o", "out", "--quiet"),
    ):
        said = refused(*command)
        assert said.startswith(f"{name}: not what its rzero.json says was written (sha256 ")
        assert "restore it, or remove its rzero.json to take it as it is" in said
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {p: t for p, t in after.items() if p != tmp_path} == before
    (rotten / "rzero.json").unlink()
    assert hashed_parents(["rot"]) == [{"path": "rot", "sha256": None}]  # not there: a hub name
    (parent,) = hashed_parents([str(rotten)])
    assert parent["sha256"] == content_hash(rotten) != content_hash(whole)


# ---------------------------------------------------------------- what only loading can tell


def without(folder: Path, *names: str) -> None:
    """Take tensors out of the weights; the file stays whole."""
    from safetensors.torch import load_file, save_file

    path = next(folder.glob("*model.safetensors"))
    kept = {name: tensor for name, tensor in load_file(path).items() if name not in names}
    save_file(kept, path, {"format": "pt"})


def test_weights_that_are_not_there_are_not_made_up(
    tiny_model: Path, toy_llama: Path, toy_qwen3: Path, tmp_path: Path
) -> None:
    from rzero_cli.engines.transformers import load_model

    load_model(str(toy_qwen3))  # whose head is tied to its embeddings: not there, and not missed
    for name, damage, lost in (
        ("half", lambda folder: without(folder, "model.norm.weight", "lm_head.weight"), "1 more"),
        ("qwen", config(model_type="qwen3", architectures=["Qwen3ForCausalLM"]), "3 more"),
        ("deeper", config(num_hidden_layers=3), "8 more"),
    ):
        folder = shutil.copytree(tiny_model, tmp_path / name)
        damage(folder)
        check_model("--solver", str(folder))
        for training in (False, True):
            with pytest.raises(
                RzeroError, match=r"its weights lack .* and \d+ more, which would"
            ) as e:
                load_model(str(folder), training=training)
            assert str(e.value).startswith(f"cannot load {folder}: ")
            assert lost in str(e.value)
            assert "\n" not in str(e.value)


def test_what_makes_no_sense_to_a_library_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    from rzero_cli.engines.chat import render
    from rzero_cli.engines.transformers import load_model, load_tokenizer

    for name, damage, load in (
        ("heads", config(num_attention_heads=0), load_model),
        ("layers", config(num_hidden_layers="two"), load_model),
        ("empty", write("tokenizer.json", "{}"), load_tokenizer),
    ):
        folder = shutil.copytree(tiny_model, tmp_path / name)
        damage(folder)
        with pytest.raises(RzeroError) as failed:
            load(str(folder))
        assert str(failed.value).startswith(f"cannot load {folder}: ")
        assert "\n" not in str(failed.value)
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.chat_template = "{{ messages[9].content.nothing }}"
    with pytest.raises(RzeroError, match="the model's chat template fails: UndefinedError: "):
        render(tokenizer, [{"role": "user", "content": "1 + 1"}])


def test_an_adapter_is_not_made_up_either(tiny_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from rzero_cli.engines.transformers import load_model
    from rzero_cli.training.adapters import Lora, load_policy

    adapter = tmp_path / "adapter"
    made = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    wrapped = get_peft_model(load_model(str(tiny_model)), made)
    wrapped.peft_config["default"].base_model_name_or_path = str(tiny_model)
    wrapped.save_pretrained(adapter)
    load_model(str(adapter))
    load_policy(str(adapter), Lora(2, 8, "q_proj,v_proj"))
    lost = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight"
    without(adapter, lost)
    check_model("--solver", str(adapter))
    with pytest.raises(
        RzeroError, match=r"cannot load .*adapter: its weights lack .*v_proj.lora_A"
    ):
        load_model(str(adapter))
    with pytest.raises(
        RzeroError, match=r"cannot load .*adapter: its weights lack .*v_proj.lora_A"
    ):
        load_policy(str(adapter), Lora(2, 8, "q_proj,v_proj"))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(RzeroError, match=r"adapter_model\.safetensors is missing"):
        load_model(str(adapter))


def test_no_pickle_is_read_and_no_code_run(tiny_model: Path, tmp_path: Path) -> None:
    import pickle

    import torch

    from rzero_cli.engines.shapes import read_model
    from rzero_cli.engines.transformers import load_model, load_tokenizer

    trace = tmp_path / "trace"
    folder = shutil.copytree(tiny_model, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(RzeroError, match=r"no file named model\.safetensors"):
        load_model(str(folder))

    folder = shutil.copytree(tiny_model, tmp_path / "coded")
    for name in ("config", "tokenizer"):
        (folder / f"{name}_code.py").write_text(f"open({str(trace)!r}, 'w')\n")
    code = {"AutoConfig": "config_code.C", "AutoModelForCausalLM": "config_code.M"}
    config(auto_map=code)(folder)
    load_model(str(folder))  # by transformers' own code for the same type
    config(model_type="theirs")(folder)
    for load in (load_model, read_model):
        with pytest.raises(RzeroError, match="custom code"):
            load(str(folder))
    declared = json.loads((folder / "tokenizer_config.json").read_text())
    declared |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["tokenizer_code.T", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(declared))
    with pytest.raises(RzeroError, match="custom code"):
        load_tokenizer(str(folder))
    assert not trace.exists()


def test_memory_that_runs_out_while_loading_is_one_line() -> None:
    import torch

    from rzero_cli.engines.transformers import _one_line_errors

    with (
        pytest.raises(RzeroError, match=r"cannot load m: out of memory: give --dtype bfloat16"),
        _one_line_errors("m"),
    ):
        torch.empty(1 << 50)
