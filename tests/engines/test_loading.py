"""Errors that appear only when a checkpoint is loaded: missing weights, pickles, memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.damaged_checkpoints import config, write
from rzero_cli.engines.models import check_model
from rzero_cli.errors import RzeroError


def without(folder: Path, *names: str) -> None:
    """Remove tensors from the weights; the file stays valid."""
    from safetensors.torch import load_file, save_file

    path = next(folder.glob("*model.safetensors"))
    kept = {name: tensor for name, tensor in load_file(path).items() if name not in names}
    save_file(kept, path, {"format": "pt"})


def test_missing_weights_are_not_initialized(
    tiny_model: Path, toy_llama: Path, toy_qwen3: Path, tmp_path: Path
) -> None:
    from rzero_cli.engines.transformers import load_model

    load_model(str(toy_qwen3))  # its head is tied to the embeddings: absent, but not missing
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


def test_loading_errors_of_libraries_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
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


def test_missing_adapter_weights_are_not_initialized(tiny_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from rzero_cli.engines.transformers import load_model
    from rzero_cli.training.adapters import load_policy

    adapter = tmp_path / "adapter"
    made = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    wrapped = get_peft_model(load_model(str(tiny_model)), made)
    wrapped.peft_config["default"].base_model_name_or_path = str(tiny_model)
    wrapped.save_pretrained(adapter)
    load_model(str(adapter))
    load_policy(str(adapter), lora=True)
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
        load_policy(str(adapter), lora=True)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(RzeroError, match=r"adapter_model\.safetensors is missing"):
        load_model(str(adapter))


def test_loading_reads_no_pickle_and_runs_no_code(tiny_model: Path, tmp_path: Path) -> None:
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
    load_model(str(folder))  # with transformers' own code for the same type
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


def test_out_of_memory_while_loading_is_one_line() -> None:
    import torch

    from rzero_cli.engines.transformers import _one_line_errors

    with (
        pytest.raises(RzeroError, match=r"cannot load m: out of memory: use --dtype bfloat16"),
        _one_line_errors("m"),
    ):
        torch.empty(1 << 50)
