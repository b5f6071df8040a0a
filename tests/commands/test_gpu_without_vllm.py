"""On a machine with a GPU but without vLLM, transformers generates only if it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.json_lines import jsonl
from rzero_cli.engines import open_engine
from rzero_cli.errors import UsageError

COMMON = "there is a GPU but vLLM is not installed: pip install '.[vllm]' in the clone, or "


@pytest.fixture
def gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a GPU, and no vLLM."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    gpu = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: gpu)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **options: True)
    for module in ("engines", "training.rollouts"):
        monkeypatch.setattr(
            f"rzero_cli.{module}.find_spec",
            lambda name: None if name == "vllm" else find_spec(name),
        )


@pytest.mark.parametrize(
    ("command", "way"),
    [
        ("sample --challenger MODEL -o out", "--engine transformers"),
        ("label q.jsonl --solver MODEL -o out", "--engine transformers"),
        ("score q.jsonl --solver MODEL -o out", "--engine transformers"),
        ("eval --model MODEL --data q.jsonl -o out", "--engine transformers"),
        ("challenge --challenger MODEL --solver MODEL -o out", "--engine transformers"),
        (
            "challenge --challenger MODEL --solver MODEL -o out --engine transformers",
            "--rollouts transformers",
        ),
        ("train-solver q.jsonl --solver MODEL -o out", "--rollouts transformers"),
    ],
)
def test_transformers_is_refused_before_anything_is_loaded(
    refused: Callable[..., str],
    gpu_alone: None,
    tiny_model: Path,
    tmp_path: Path,
    command: str,
    way: str,
) -> None:
    (tmp_path / "q.jsonl").write_text(
        jsonl({"question": "copy 1", "answer": "1", "reference": "1"})
    )
    words = [str(tiny_model) if word == "MODEL" else word for word in command.split()]
    assert refused(*words) == COMMON + way + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


def test_an_opened_engine_is_refused_too(gpu_alone: None) -> None:
    with pytest.raises(UsageError, match=r"\[vllm\].*--engine transformers"):
        open_engine("auto", "model")


def test_the_plan_of_another_machine_is_printed(
    gpu_alone: None, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rzero_cli.cli import run

    command = ["challenge", "--challenger", str(tiny_model), "--solver", str(tiny_model)]
    assert run([*command, "-o", "c", "--dry-run", "--preset", "tiny"]) == 0
    assert "GiB per GPU" in capsys.readouterr().out
