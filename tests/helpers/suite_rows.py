"""A row of each benchmark of the paper, as on its hub, with the question made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rzero_cli.evaluation.benchmark import Benchmark
from rzero_cli.evaluation.loading import load_tasks

# Task -> a row with the hub's columns, and the question and reference made from it.
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "rzero_math500": (
        {
            "problem": "Find $1+1$.",
            "solution": "It is $\\boxed{2}$.",
            "answer": "2",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "test/algebra/1.json",
        },
        "Find $1+1$.",
        "2",
    ),
    "rzero_gsm8k": (
        {"question": "Two and two apples?", "answer": "2+2=<<2+2=4>>4\n#### 1,004"},
        "Two and two apples?",
        "1,004",
    ),
    "rzero_minerva": (
        {"problem": "How far is the star?", "answer": "4.5e33", "type": "astronomy", "idx": 0},
        "How far is the star?",
        "4.5e33",
    ),
    "rzero_olympiadbench": (
        {
            "id": 1606,
            "question": "Solve $x^2 = 4$.",
            "context": None,
            "final_answer": ["$2$", "$-2$"],
            "is_multiple_answer": True,
            "error": None,
            "subfield": "Algebra",
            "subject": "Math",
            "language": "English",
            "modality": "Text-only",
        },
        "Solve $x^2 = 4$.",
        "2, -2",
    ),
    "rzero_amc23": (
        {"id": 0, "problem": "Where do they meet?", "answer": 27.0, "url": "none"},
        "Where do they meet?",
        "27",
    ),
    "rzero_aime24": (
        {
            "problem": "How many minutes?",
            "solution": "So $\\boxed{204}$.",
            "id": 60,
            "year": "2024",
        },
        "How many minutes?",
        "204",
    ),
    "rzero_aime25": (
        {"problem": "Sum of all bases?", "answer": 70, "id": 0},
        "Sum of all bases?",
        "70",
    ),
    "rzero_mmlu_pro": (
        {
            "question_id": 70,
            "question": "Which is a prime?",
            "options": ["4", "5", "6"],
            "answer": "B",
            "answer_index": 1,
            "category": "math",
        },
        "Which is a prime?\n\nA. 4\nB. 5\nC. 6\n\n"
        "Put only the letter of the one right option into the box.",
        "B",
    ),
    "rzero_supergpqa": (
        {
            "uuid": "7c1",
            "question": "Which one is even?",
            "options": ["three", "two"],
            "answer": "two",
            "answer_letter": "B",
            "discipline": "Science",
        },
        "Which one is even?\n\nA. three\nB. two\n\n"
        "Put only the letter of the one right option into the box.",
        "B",
    ),
    "rzero_bbeh": (
        {"task": "boolean", "question": "Is it (A) or (B)?", "answer": "(B)"},
        "Is it (A) or (B)?",
        "(B)",
    ),
}


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def load(name: str, path: str, **how: Any) -> Benchmark:
    (benchmark,) = load_tasks([name], data_files={name: path}, **how).benchmarks
    return benchmark
