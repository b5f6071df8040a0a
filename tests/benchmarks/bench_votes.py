"""Votes on realistic answers, compared with the authors' grader on the same pairs.

The answers resemble those of models to MATH questions: about 92 % of a question's pairs are
identical strings, and 94 % of the rest are two rationals. A second figure counts only pairs of
distinct spellings. The authors' grader is mathruler, called in both directions as in their vote.
`bench_before` compares with the code before the grader read answers as trees.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from fractions import Fraction
from itertools import combinations
from pathlib import Path

from rzero_cli.answers import canonical_key
from rzero_cli.answers.equivalence import Equivalence
from rzero_cli.method.votes import vote

DATA = Path(__file__).parents[3] / "shared" / "data"
QUESTIONS, M = 2000, 10
SAME = 0.955  # probability of the common answer, which makes 92 % of the pairs identical
OTHERS = (r"2\sqrt{3}", r"\frac{\pi}{4}", "(1, 2)", r"x^2 - 1", r"\text{even}", r"[0, 1)", r"2^n")

HARD = (
    r"\frac{1}{x+%d}", r"2^{n+%d}", r"\sin(%dx)", r"\ln %d", r"x=%d, y=\frac{1}{7}",
    r"%d \text{ cm}", r"\begin{pmatrix}%d&1\\2&3\end{pmatrix}", r"(-\infty,%d)\cup(100,\infty)",
    r"\frac{%d\sqrt3}{2}", r"x^2+%dx+1=0", r"\{%d,1,2\}", r"%d\text{ apples}",
    r"(x-%d)^2+y^2=4", r"\frac{n(n+%d)}{2}", r"\sqrt{%d+x}",
)  # fmt: skip
BEFORE = "5b15e73"


def spelling(value: Fraction, rng: random.Random) -> str:
    if value.denominator == 1:
        return str(value)
    top, bottom = value.numerator, value.denominator
    return rng.choice([rf"\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", f"{float(value):.3f}"])


def answers(rng: random.Random) -> list[str]:
    """Return m answers to one question."""
    rational = rng.random() < 0.94

    def answer() -> str:
        value = Fraction(rng.randint(-200, 2000), rng.choice([1, 1, 1, 2, 3, 4, 8]))
        return spelling(value, rng) if rational else rng.choice(OTHERS)

    common = answer()
    return [common if rng.random() < SAME else answer() for _ in range(M)]


def hard_answers(rng: random.Random) -> list[str]:
    """Return m answers to one question of which most differ, and some need the worker."""
    form = rng.choice(HARD)
    return [form.replace("%d", str(rng.choice([2, 2, 2, 3, 5]))) for _ in range(M)]


def measured() -> list[list[float]]:
    """Return pairs a second and worker calls for 1,000 pairs, of realistic and of hard answers."""
    found = []
    with Equivalence() as equivalence:
        equivalence.equal(r"\log_2 8", "3")  # start the worker
        for make, count in ((answers, QUESTIONS), (hard_answers, 300)):
            rng = random.Random(0)
            questions = [make(rng) for _ in range(count)]
            pairs, requests = count * M * (M - 1) / 2, equivalence._requests
            start = time.perf_counter()
            for question in questions:
                vote(question, equivalence)
            rate = pairs / (time.perf_counter() - start)
            found.append([rate, (equivalence._requests - requests) * 1000 / pairs])
    return found


def bench_before(tmp_path: Path) -> None:
    """Compare with `BEFORE` on the same answers, in turns."""
    root = Path(__file__).parents[2]
    subprocess.run(
        ["git", "-C", root, "worktree", "add", "-f", tmp_path / "old", BEFORE], check=True
    )
    rates: dict[str, list[list[list[float]]]] = {"before": [], "now": []}
    try:
        for _ in range(3):
            for name, tree in (("before", tmp_path / "old"), ("now", root)):
                done = subprocess.run(
                    [sys.executable, __file__],
                    env={**os.environ, "PYTHONPATH": str(tree / "src")},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                rates[name].append(json.loads(done.stdout))
    finally:
        subprocess.run(
            ["git", "-C", root, "worktree", "remove", "--force", tmp_path / "old"], check=True
        )
    for i, kind in enumerate(("realistic", "hard")):
        (old, old_calls), (new, calls) = (max(run[i] for run in rates[n]) for n in rates)
        print(
            f"\n{kind} answers: {new:,.0f} pairs/s, {new / old:.2f} times as many as {BEFORE}; "
            f"worker calls for 1,000 pairs {calls:.2f} (before {old_calls:.2f})"
        )


def bench_votes() -> None:
    from mathruler.grader import grade_answer

    from rzero_cli.answers.keys import _cached

    rng = random.Random(0)
    questions = [answers(rng) for _ in range(QUESTIONS)]
    pairs = [pair for question in questions for pair in combinations(question, 2)]
    distinct = [pair for pair in pairs if pair[0] != pair[1]]
    with Equivalence() as equivalence:
        equivalence.equal(r"\log_2 8", "3")  # start the worker
        _cached.cache_clear()
        start = time.perf_counter()
        for question in questions:
            vote(question, equivalence)
        ours = time.perf_counter() - start
    start = time.perf_counter()
    for a, b in pairs:
        grade_answer(a, b) or grade_answer(b, a)
    theirs = time.perf_counter() - start
    start = time.perf_counter()
    for a, b in distinct:
        grade_answer(a, b) or grade_answer(b, a)
    theirs_distinct = time.perf_counter() - start
    print(
        f"\nvotes of {QUESTIONS} questions x {M} answers ({len(distinct) / len(pairs):.0%} of "
        f"{len(pairs):,} pairs differ): {len(pairs) / ours:,.0f} pairs/s; mathruler on the same "
        f"pairs {len(pairs) / theirs:,.0f} pairs/s: {theirs / ours:.0f} times as many; counting "
        f"only pairs that differ {len(distinct) / theirs_distinct:,.0f}: "
        f"{theirs_distinct / ours:.0f} times"
    )


def bench_verdicts() -> None:
    """Count errors on pairs with known verdicts, and time the canonical key without its cache."""
    path = DATA / "answer_pairs.jsonl"
    if not path.exists():
        print(f"\nverdicts: {path} is missing")
        return
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    from math_verify import parse, verify
    from mathruler.grader import grade_answer

    from rzero_cli.answers.keys import _cached

    def math_verify(a: str, b: str) -> bool:
        one, two = parse(f"\\boxed{{{a}}}"), parse(f"\\boxed{{{b}}}")
        return bool(verify(one, two) or verify(two, one))

    def mathruler(a: str, b: str) -> bool:
        return bool(grade_answer(a, b) or grade_answer(b, a))

    with Equivalence() as equivalence:
        equivalence.equal(r"\log_2 8", "3")
        for name, equal in (
            ("rzero", equivalence.equal),
            ("math-verify", math_verify),
            ("mathruler", mathruler),
        ):
            start = time.perf_counter()
            verdicts = [equal(row["a"], row["b"]) for row in rows]
            rate = len(rows) / (time.perf_counter() - start)
            wrong = [r["equal"] for r, v in zip(rows, verdicts, strict=True) if v != r["equal"]]
            print(
                f"\n{name}: {len(wrong)} errors on {len(rows)} pairs, {wrong.count(False)} of "
                f'them a false "equal"; {rate:,.0f} pairs/s'
            )
    spellings = [row[side] for row in rows for side in ("a", "b")]
    _cached.cache_clear()
    start = time.perf_counter()
    for text in spellings:
        canonical_key(text)
    print(f"\ncanonical keys, cold: {len(spellings) / (time.perf_counter() - start):,.0f} a second")


def bench_hostile(tmp_path: Path) -> None:
    """Time hostile answers through the two commands, and measure the largest process."""
    path = DATA / "adversarial_answers.jsonl"
    if not path.exists():
        print(f"\nhostile answers: {path} is missing")
        return
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    sources = {
        "vote": [{"answers": [row["answer"], "7", row["answer"]]} for row in rows],
        "grade": [{"answer": row["answer"], "reference": "7"} for row in rows],
    }
    for command, records in sources.items():
        source = tmp_path / f"{command}.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "rzero_cli", command, str(source)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - start
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10  # or our own
        print(
            f"\nrzero {command}: {len(rows)} hostile answers in {seconds:.1f} s, largest process "
            f"{largest:.0f} MiB: {done.stderr.strip()}"
        )


if __name__ == "__main__":
    print(json.dumps(measured()))
