"""The headings under which `--help` lists options."""

from __future__ import annotations

from rzero_cli.engines.drawing import Drawing

INPUT, MODEL, VLLM, DRAWING, ANSWERS, REWARD, OUTPUT = (
    "Input",
    "Model and engine",
    "vLLM",
    Drawing.PANEL,
    "Reading and comparing answers",
    "Reward",
    "Output and settings",
)
