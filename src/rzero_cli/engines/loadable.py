"""Whether a directory holds what can be loaded, told from its files in milliseconds.

A weight file is not read for this: safetensors begins with its header's length (8 bytes, little
endian) and a header in JSON that names each tensor with its place in the rest, so that the file's
size says whether all of it is there. No checkpoint's own code is run, and no pickle read.
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
# What transformers calls the heads that do not continue a text.
_OTHER_HEADS = (
    *("ForMaskedLM", "ForPreTraining", "ForNextSentencePrediction", "ForMultipleChoice"),
    *("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
)
# Whose embeddings are `_EMBEDDINGS`, vocab_size x hidden_size.
_LIKE_LLAMA = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo2", "phi3", "smollm3")
_EMBEDDINGS = "model.embed_tokens.weight"


def check_checkpoint(folder: Path, *, tokenizer: bool = True, shape_only: bool = False) -> None:
    """Check that a checkpoint of a causal LM is in `folder`, whole.

    Args:
        folder: has a `config.json`.
        tokenizer: whether it needs one; an adapter may bring its own.
        shape_only: the configuration is all that is needed.

    Raises:
        UsageError: what is wrong with which file, and how to mend it.
    """
    config = _config(folder)
    _check_architecture(config)
    if shape_only:
        return
    if tokenizer:
        _check_tokenizer(folder)
    named = config.get("transformers_weights") or _WEIGHTS
    if not isinstance(named, str) or Path(named).name != named:
        raise UsageError("config.json: transformers_weights is no name of a file beside it")
    index = folder / f"{_WEIGHTS}.index.json"
    if named == _WEIGHTS and not (folder / _WEIGHTS).is_file() and index.is_file():
        tensors = _check_shards(folder, index)
    else:
        tensors = _check_weights(folder, named)
    _check_embeddings(config, tensors)
    if (folder / "adapter_config.json").is_file():  # transformers would load it on top
        _check_weights(folder, _ADAPTER)


def check_adapter(folder: Path) -> None:
    """Check that the adapter in `folder` is whole, with its tokenizer if it has one of its own.

    Raises:
        UsageError: as `check_checkpoint`.
    """
    _check_weights(folder, _ADAPTER)
    if has_tokenizer(folder):
        _check_tokenizer(folder)


def has_tokenizer(folder: Path) -> bool:
    """Whether an adapter has a tokenizer of its own; else its base's is used."""
    return (folder / "tokenizer_config.json").is_file()


def own_code(folder: Path) -> str | None:
    """The model type of a checkpoint that comes with code for its model, else None."""
    config = _config(folder)
    code = config.get("auto_map")
    if isinstance(code, dict) and code.keys() & {"AutoConfig", "AutoModelForCausalLM"}:
        return str(config["model_type"])
    return None


def _config(folder: Path) -> dict[str, Any]:
    config = _json_object(folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise UsageError("config.json: names no model_type, so it is not transformers'")
    return config


def _check_architecture(config: dict[str, Any]) -> None:
    """Refuse what surely continues no text; what transformers knows only it can tell."""
    named = config.get("architectures")
    names = [str(name) for name in named] if isinstance(named, list) else []
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    other = bool(names) and all(name.endswith(_OTHER_HEADS) for name in names)
    if other or (config.get("is_encoder_decoder") is True and not causal):
        what = " and ".join(names) or f"an encoder-decoder, {config['model_type']}"
        raise UsageError(
            f"config.json: {what} does not continue a text: give a causal language model "
            "(architectures: ...ForCausalLM)"
        )


def _check_tokenizer(folder: Path) -> None:
    declared = folder / "tokenizer_config.json"
    settings = _json_object(declared) if declared.is_file() else {}
    if not any(path.is_file() for pattern in _VOCABULARY for path in folder.glob(pattern)):
        if "auto_map" in settings:  # it may need none; transformers says what it thinks of the code
            return
        raise UsageError(
            "no tokenizer there (no tokenizer.json, tokenizer.model or vocab.*): save the model's "
            "tokenizer beside it"
        )
    whole = folder / "tokenizer.json"
    if whole.is_file() and not _looks_whole(whole):
        raise UsageError(f"tokenizer.json: not JSON, or cut off: {_AGAIN}")


def _looks_whole(path: Path) -> bool:
    """Whether a large file begins and ends as a JSON object."""
    with path.open("rb") as stream:
        first = stream.read(1024).lstrip()[:1]
        stream.seek(max(0, path.stat().st_size - 1024))
        return first + stream.read().rstrip()[-1:] == b"{}"


def _check_shards(folder: Path, index: Path) -> dict[str, Any]:
    """Check the files that an index names; gives their headers, merged."""
    places = _json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in places.values()
    ):
        raise UsageError(f"{index.name}: has no weight_map from tensors to files beside it")
    tensors: dict[str, Any] = {}
    for name in sorted(set(places.values())):
        if not (folder / name).is_file():
            raise UsageError(f"{name}: missing, though {index.name} names it: {_AGAIN}")
        header = _header(folder / name)
        wanted = {tensor for tensor, place in places.items() if place == name}
        if lost := sorted(wanted - header.keys()):
            raise UsageError(
                f"{name}: holds no {lost[0]}, though {index.name} says so: they are not of one "
                f"checkpoint; {_AGAIN}"
            )
        tensors |= header
    return tensors


def _check_weights(folder: Path, name: str) -> dict[str, Any]:
    """Check one file of weights; gives its header."""
    if (folder / name).is_file():
        return _header(folder / name)
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UsageError(
            f"{name}: missing; weights are read as safetensors alone, since a pickle "
            f"({pickles[0]}) can run code: convert it where you trust it (transformers' "
            "save_pretrained writes safetensors)"
        )
    raise UsageError(f"{name}: missing, and no other weights are there: {_AGAIN}")


def _header(path: Path) -> dict[str, Any]:
    """The tensors that a safetensors file of the right size holds, by name."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(len(_GIT_LFS))
        if start == _GIT_LFS:
            raise UsageError(f"{path.name}: a pointer of Git LFS, not the weights: git lfs pull")
        length = int.from_bytes(start[:8], "little")
        if size >= 8 and not 2 <= length <= _MOST_HEADER:
            raise UsageError(f"{path.name}: not safetensors: {_AGAIN}")
        if size < 8 + length or size < 8:
            raise UsageError(f"{path.name}: cut off after {size:,} bytes, in its header: {_AGAIN}")
        stream.seek(8)
        text = stream.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        places = sorted(tensor["data_offsets"] for tensor in header.values())
        end = 0
        for first, last in places:
            if first != end or not first <= last:
                raise ValueError("tensors overlap, or leave a hole")
            end = last
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path.name}: not safetensors, or damaged: {_AGAIN}") from error
    if size != 8 + length + end:
        wrong = "cut off" if size < 8 + length + end else "too long"
        raise UsageError(
            f"{path.name}: {wrong}: {size:,} bytes instead of {8 + length + end:,}: {_AGAIN}"
        )
    return header  # type: ignore[no-any-return]


def _check_embeddings(config: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Refuse the configuration of another model, where its size alone tells."""
    found = tensors.get(_EMBEDDINGS)
    if config["model_type"] not in _LIKE_LLAMA or found is None:
        return
    wanted = [config.get("vocab_size"), config.get("hidden_size")]
    if None in wanted or found.get("dtype") not in ("F32", "F16", "BF16"):
        return
    if found.get("shape") != wanted:
        has, says = (" x ".join(map(str, shape)) for shape in (found.get("shape"), wanted))
        raise UsageError(
            f"config.json: not of these weights: their embeddings are {has}, and vocab_size x "
            f"hidden_size is {says}"
        )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name}: not JSON, or cut off: {_AGAIN}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path.name}: not a JSON object")
    return value
