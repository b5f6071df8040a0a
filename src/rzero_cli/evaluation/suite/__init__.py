"""The paper's benchmarks as lm-eval tasks: one YAML file each (`rzero eval --tasks rzero_math`).

rzero loads them through lm-eval's `include_path`; `lm-eval --include_path FOLDER` runs them, too.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
PAPER = "arXiv:2508.05004v4"
"""The version of the paper that defines these suites and averages."""
MATH = tuple(
    f"rzero_{name}"
    for name in ("math500", "gsm8k", "minerva", "olympiadbench", "amc23", "aime24", "aime25")
)
GENERAL = ("rzero_mmlu_pro", "rzero_supergpqa", "rzero_bbeh")
SUITES = {"rzero_math": MATH, "rzero_general": GENERAL}
"""The suites' tasks; each is loaded separately, so that one error names all that lack data."""
MATH_ANSWERS = 500 + 1319 + 272 + 675 + 32 * (40 + 30 + 30)
"""Answers of an evaluation on `rzero_math`: its questions in the order of `MATH`, the last three
with 32 samples each."""
