"""The grader's agreement with known verdicts on real completions.

The verdicts in `tests/evaluation/recorded_outputs.jsonl` were made by hand before any grader ran.
"Wrongly right" is an error that raises a score, "wrongly wrong" one that lowers it. All graders get
the last box.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rzero_cli.answers import extract_boxed
from rzero_cli.answers.equivalence import Equivalence

RECORDED = Path(__file__).parents[1] / "evaluation" / "recorded_outputs.jsonl"


def bench_grader() -> None:
    import math_verify
    from mathruler.grader import grade_answer

    rows = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]

    def alone(answer: str, reference: str) -> bool:
        gold, mine = (math_verify.parse(f"\\boxed{{{text}}}") for text in (reference, answer))
        return bool(math_verify.verify(gold, mine))

    with Equivalence() as equivalence:
        graders: dict[str, Callable[[str, str], bool]] = {
            "rzero": equivalence.equal,
            "math-verify alone": alone,
            "mathruler (the authors')": lambda a, b: bool(grade_answer(a, b)),
            "the same text": lambda a, b: a == b,
        }
        print(f"\n{len(rows)} outputs, {sum(row['correct'] for row in rows)} of them right")
        for name, equal in graders.items():
            answers = [extract_boxed(row["completion"]) for row in rows]
            verdicts = [
                a is not None and equal(a, row["reference"])
                for a, row in zip(answers, rows, strict=True)
            ]
            right = [row["correct"] for row in rows]
            wrong = [r for one, r in zip(verdicts, right, strict=True) if one != r]
            print(
                f"{name:26} agrees on {1 - len(wrong) / len(rows):.1%}; wrongly right "
                f"{wrong.count(False)}, wrongly wrong {wrong.count(True)}"
            )
