"""The headings of options in `--help`."""

from __future__ import annotations

from rzero_cli.engines.sampling_options import SamplingOptions

INPUT, MODEL, VLLM, SAMPLING, ANSWERS, REWARD, OUTPUT = (
    "Input",
    "Model and engine",
    "vLLM",
    SamplingOptions.PANEL,
    "Reading and comparing answers",
    "Reward",
    "Output and settings",
)
