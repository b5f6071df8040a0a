"""Verdicts against exact values of random expressions, and against math-verify's.

RZERO_EXPRESSIONS sets the number of pairs of expressions.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator

import math_verify
import pytest

from answers.test_equivalence_properties import KEYED, worker
from helpers.data_files import load_data
from helpers.generated_expressions import LETTERS, at, changed, spelled, tree
from rzero_cli.answers.equivalence import Equivalence

EXPRESSIONS = int(os.environ.get("RZERO_EXPRESSIONS", "300"))
PER_KIND = 15

# Where math-verify's verdict differs: our verdict, a pattern of one of the two answers, the reason.
RULES = [
    (False, r"[<>=]|\\(?:le|ge|ne|in|approx|equiv)(?![a-z])",
     "relations: it compares sets of solutions or the last side, and drops connectives and names"),
    (False, r"[,;&]|\\(?:wedge|vee)", "lists: it drops order, repetition or connectives"),
    (False, r"\d ?[a-z]{2}|\\text", "words: it drops those after a value"),
    (False, r"\d_\{?\d", "bases: it drops them"),
    (True, r"^[=`*'\\]*\\?(?:therefore|color|approx|begin|boxed|displaystyle)|^[=`*']|[.,`]$|\\tag"
     r"|\\\\|[^\n -~]|&[a-z]+;|\$\d|^[A-J]\)$", "dress: it does not read it"),
    (True, r"[<>=]|\\(?:le|ge|in|cong|equiv|to)(?![a-z])",
     "relations: it reads no intervals"),
    (True, r"[,;&|:]|\\(?:pm|quad|mid)|\band\b", "lists: it does not read this list, set or tuple"),
    (True, r"\\(?:text|mathrm|Omega|mu)|[A-Za-z]{3}|\d ?[a-zA-Z'%]",
     "words: it does not read this unit or noun"),
    (True, r"\\(?:frac|sqrt|binom|nicefrac|cdot|begin|lfloor|d?ot|overline|log|operator)"
     r"|[a-z)]\d|C_|\(-1\)\^", "expressions: it does not prove or read this"),
]  # fmt: skip


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as opened:
        yield opened


@pytest.mark.slow
def test_expressions_called_equal_have_equal_values(equivalence: Equivalence) -> None:
    rng = random.Random(3)
    points = [{letter: rng.uniform(-1.7, 1.7) for letter in LETTERS} for _ in range(3)]
    wrong, missed = [], 0
    for _ in range(EXPRESSIONS):
        a = tree(rng)
        b = changed(a, rng) if rng.random() < 0.6 else a
        pair = spelled(a, rng), spelled(b, rng)
        differences = []
        for point in points:
            try:
                x, y = at(a, point), at(b, point)
            except (ArithmeticError, ValueError):  # no value here
                continue
            # Rounding hides whether a root of nearly zero is zero.
            if max(abs(x), abs(y)) > 1e-3:
                differences.append(abs(x - y) / max(1.0, abs(x), abs(y)))
        verdict = equivalence.equal(*pair)
        if verdict and max(differences, default=0.0) > 1e-9:
            wrong.append(pair)
        missed += a == b and not verdict
    assert wrong == []
    assert missed <= EXPRESSIONS * 0.02  # two readings (`1/2 x`), or too much for math-verify


def _math_verify(a: str, b: str) -> bool:
    one, two = (math_verify.parse(f"\\boxed{{{text}}}") for text in (a, b))
    return bool(math_verify.verify(one, two) or math_verify.verify(two, one))


@pytest.mark.slow
def test_each_disagreement_with_math_verify_has_a_reason(equivalence: Equivalence) -> None:
    rng = random.Random(0)
    pairs = [maker(rng) for maker in [*KEYED, worker] for _ in range(PER_KIND)]
    for name in ("answer_pairs.jsonl", "answer_pairs_2.jsonl"):
        pairs += [(row["a"], row["b"], row["equal"]) for row in load_data(name)]
    reasons: Counter[str] = Counter()
    unexplained = []
    for a, b, equal in pairs:
        verdict = equivalence.equal(a, b)
        if verdict == _math_verify(a, b):
            reasons["the same verdict"] += 1
            continue
        reason = next(
            (
                why
                for ours, of, why in RULES
                if ours == verdict and re.search(of, f"{a}\n{b}", re.M)
            ),
            "",
        )
        reasons[reason] += 1
        if not reason or verdict is not equal:
            unexplained.append((a, b, verdict))
    print(json.dumps(reasons, indent=1))
    assert unexplained == []
