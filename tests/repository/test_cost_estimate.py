"""The cost table of docs/scale.md: change an assumption here to estimate another run."""

from __future__ import annotations

import re
from pathlib import Path

from rzero_cli.engines.shapes import model_of, published
from rzero_cli.method.plan import make_plan
from rzero_cli.options.presets import preset_value

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"

GPUS, QUESTIONS = 64, 1_000_000
OPERATIONS, BANDWIDTH = 989e12, 3.35e12  # per second, of an H100 in bfloat16; bytes per second
DECODING, TRAINING = 0.5, 0.35  # efficiency: the fraction of that peak
BATCH = 256  # texts decoded together on a GPU
PROMPT, QUESTION, ANSWER = 250, 400, 1000  # mean tokens
WELL_FORMED, KEPT = 0.9, 0.4  # fractions of the samples, of the labelled questions
MODEL = model_of(published()["Qwen/Qwen3-4B-Base"])


def generate(texts: float, tokens: int) -> float:
    """Return the minutes on all GPUs; reading or arithmetic, the slower one, sets the pace."""
    context = PROMPT + tokens / 2
    read = 2 * MODEL.parameters + BATCH * context * MODEL.kv_bytes
    step = max(read / BANDWIDTH, BATCH * MODEL.flops(context) / OPERATIONS) / DECODING
    return texts / BATCH * tokens * step / GPUS / 60


def train(texts: float, tokens: int) -> float:
    """Return the minutes on all GPUs, at six forward passes per token."""
    length = PROMPT + tokens
    return texts * length * 6 * MODEL.flops(length / 2) / OPERATIONS / TRAINING / GPUS / 60


def rollouts(command: str, **changes: int) -> int:
    names = ("steps", "prompts", "batch", "group", "max_tokens")
    values = {name: preset_value(command, name) for name in names}
    return make_plan(**values | changes, processes=GPUS).rollouts


def test_cost_table_follows_from_its_assumptions() -> None:
    m, prompts = preset_value("label", "m"), preset_value("train-solver", "prompts")
    asked = rollouts("challenge")
    learned = rollouts("train-solver", steps=round(QUESTIONS * KEPT / prompts))
    stages = {
        "`challenge`: rollouts": generate(asked, QUESTION),
        "`challenge`: the Solver's answers": generate(asked * m, ANSWER),
        "`challenge`: updates": train(asked, QUESTION),
        "`sample`": generate(QUESTIONS / WELL_FORMED, QUESTION),
        "`label`": generate(QUESTIONS * m, ANSWER),
        "`train-solver`: rollouts": generate(learned, ANSWER),
        "`train-solver`: updates": train(learned, ANSWER),
    }
    total = sum(stages.values())
    rows = [
        f"| {stage} | {minutes:.1f} | {minutes / total:.1%} |"
        for stage, minutes in (stages | {"all": total}).items()
    ]
    text = PAGE.read_text("utf-8")
    assert "\n".join(rows) in text
    assert re.search(rf"\b{total * GPUS / 60:.0f} GPU hours", text)
