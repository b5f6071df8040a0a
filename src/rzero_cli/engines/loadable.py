"""Checks that a directory holds a complete checkpoint or adapter, in milliseconds.

Only the headers of weight files are read. A safetensors file starts with the header's length (8
bytes, little endian) and a JSON header with the offsets of each tensor in the rest, so the file's
size shows whether it is complete. No code of a checkpoint is run, and no pickle is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rzero_cli.errors import UsageError

_WEIGHTS, _ADAPTER = "model.safetensors", "adapter_model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_VOCABULARY = ("tokenizer.json", "*.model", "vocab.*", "*.vocab", "*.tiktoken", "tekken.json")
_MOST_HEADER = 100_000_000  # bytes; safetensors' own limit
_GIT_LFS = b"version https://git-lfs"
_AGAIN = "copy or download it again"
# Suffixes of transformers' classes whose heads do not generate text.
_OTHER_HEADS = (
    *("ForMaskedLM", "ForPreTraining", "ForNextSentencePrediction", "ForMultipleChoice"),
    *("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
)
# Model types whose embeddings are `_EMBEDDINGS`, of shape vocab_size x hidden_size.
_LIKE_LLAMA = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo2", "phi3", "smollm3")
_EMBEDDINGS = "model.embed_tokens.weight"


def check_checkpoint(folder: Path, *, tokenizer: bool = True, shape_only: bool = False) -> None:
    """Check that `folder` holds a complete checkpoint of a causal LM.

    Args:
        folder: has a `config.json`.
        tokenizer: require a tokenizer; an adapter may bring one instead.
        shape_only: check the configuration only.

    Raises:
        UsageError: a file is missing or damaged; the message names it and the fix.
    """
    config = _config(folder)
    _check_architecture(config)
    if shape_only:
        return
    if tokenizer:
        _check_tokenizer(folder)
    named = config.get("transformers_weights") or _WEIGHTS
    if not isinstance(named, str) or Path(named).name != named:
        raise UsageError("config.json: transformers_weights must name a file in the same directory")
    index = folder / f"{_WEIGHTS}.index.json"
    if named == _WEIGHTS and not (folder / _WEIGHTS).is_file() and index.is_file():
        tensors = _check_shards(folder, index)
    else:
        tensors = _check_weights(folder, named)
    _check_embeddings(config, tensors)
    if (folder / "adapter_config.json").is_file():  # transformers would load this adapter, too
        _check_weights(folder, _ADAPTER)


def check_adapter(folder: Path) -> None:
    """Check that the adapter in `folder` is complete, with its tokenizer if it has one.

    Raises:
        UsageError: as `check_checkpoint`.
    """
    _check_weights(folder, _ADAPTER)
    if has_tokenizer(folder):
        _check_tokenizer(folder)


def has_tokenizer(folder: Path) -> bool:
    """Return whether an adapter has a tokenizer; otherwise its base's is used."""
    return (folder / "tokenizer_config.json").is_file()


def own_code(folder: Path) -> str | None:
    """Return the model type of a checkpoint that brings its own model code, else None.

    Raises:
        UsageError: its configuration cannot be read.
    """
    config = _config(folder)
    code = config.get("auto_map")
    if isinstance(code, dict) and code.keys() & {"AutoConfig", "AutoModelForCausalLM"}:
        return str(config["model_type"])
    return None


def _config(folder: Path) -> dict[str, Any]:
    config = _json_object(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise UsageError("config.json: no model_type, so it is not a transformers checkpoint")
    return config


def _check_architecture(config: dict[str, Any]) -> None:
    """Reject architectures that certainly do not generate text; transformers decides the rest."""
    named = config.get("architectures")
    names = [str(name) for name in named] if isinstance(named, list) else []
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    other = bool(names) and all(name.endswith(_OTHER_HEADS) for name in names)
    if other or (config.get("is_encoder_decoder") is True and not causal):
        what = " and ".join(names) or f"an encoder-decoder, {config['model_type']}"
        raise UsageError(
            f"config.json: {what} does not generate text: give a causal language model "
            "(architectures: ...ForCausalLM)"
        )


def _check_tokenizer(folder: Path) -> None:
    declared = folder / "tokenizer_config.json"
    settings = _json_object(declared) if declared.is_file() else {}
    if not any(path.is_file() for pattern in _VOCABULARY for path in folder.glob(pattern)):
        if "auto_map" in settings:  # its code may need no vocabulary; transformers decides
            return
        raise UsageError(
            "no tokenizer (no tokenizer.json, tokenizer.model or vocab.*): save the model's "
            "tokenizer in the same directory"
        )
    whole = folder / "tokenizer.json"
    if whole.is_file() and not _looks_whole(whole):
        raise UsageError(f"tokenizer.json: not JSON, or truncated: {_AGAIN}")


def _looks_whole(path: Path) -> bool:
    """Return whether a large file starts and ends like a JSON object."""
    with path.open("rb") as stream:
        first = stream.read(1024).lstrip()[:1]
        stream.seek(max(0, path.stat().st_size - 1024))
        return first + stream.read().rstrip()[-1:] == b"{}"


def _check_shards(folder: Path, index: Path) -> dict[str, Any]:
    """Check the files that an index names and return their merged headers."""
    places = _json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in places.values()
    ):
        raise UsageError(f"{index.name}: no weight_map from tensors to files in the same directory")
    tensors: dict[str, Any] = {}
    for name in sorted(set(places.values())):
        if not (folder / name).is_file():
            raise UsageError(f"{name}: missing, but {index.name} names it: {_AGAIN}")
        header = _header(folder / name)
        wanted = {tensor for tensor, place in places.items() if place == name}
        if lost := sorted(wanted - header.keys()):
            raise UsageError(
                f"{name}: lacks {lost[0]}, which {index.name} places there: the files are not from "
                f"one checkpoint; {_AGAIN}"
            )
        tensors |= header
    return tensors


def _check_weights(folder: Path, name: str) -> dict[str, Any]:
    """Check one weight file and return its header."""
    if (folder / name).is_file():
        return _header(folder / name)
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UsageError(
            f"{name}: missing; only safetensors are read, since a pickle ({pickles[0]}) can run "
            "code: if you trust it, convert it (transformers' save_pretrained writes safetensors)"
        )
    raise UsageError(f"{name}: missing, and there are no other weights: {_AGAIN}")


def _header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file, a description of each tensor by name, after
    checking the file's size against it."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(len(_GIT_LFS))
        if start == _GIT_LFS:
            raise UsageError(f"{path.name}: a Git LFS pointer, not the weights: run git lfs pull")
        length = int.from_bytes(start[:8], "little")
        if size >= 8 and not 2 <= length <= _MOST_HEADER:
            raise UsageError(f"{path.name}: not safetensors: {_AGAIN}")
        if size < 8 + length or size < 8:
            raise UsageError(
                f"{path.name}: truncated after {size:,} bytes, in its header: {_AGAIN}"
            )
        stream.seek(8)
        text = stream.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        places = sorted(tensor["data_offsets"] for tensor in header.values())
        end = 0
        for first, last in places:
            if first != end or not first <= last:
                raise ValueError("tensors overlap or leave a gap")
            end = last
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path.name}: not safetensors, or damaged: {_AGAIN}") from error
    if size != 8 + length + end:
        wrong = "truncated" if size < 8 + length + end else "too long"
        raise UsageError(
            f"{path.name}: {wrong}: {size:,} bytes instead of {8 + length + end:,}: {_AGAIN}"
        )
    return header  # type: ignore[no-any-return]


def _check_embeddings(config: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Reject a configuration of another model that differs in the embeddings' shape."""
    found = tensors.get(_EMBEDDINGS)
    if config["model_type"] not in _LIKE_LLAMA or found is None:
        return
    wanted = [config.get("vocab_size"), config.get("hidden_size")]
    if None in wanted or found.get("dtype") not in ("F32", "F16", "BF16"):
        return
    if found.get("shape") != wanted:
        has, says = (" x ".join(map(str, shape)) for shape in (found.get("shape"), wanted))
        raise UsageError(
            f"config.json: does not belong to these weights: their embeddings are {has}, but "
            f"vocab_size x hidden_size is {says}"
        )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name}: not JSON, or truncated: {_AGAIN}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path.name}: not a JSON object")
    return value
