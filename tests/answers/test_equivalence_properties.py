"""Generated pairs: perturbed answers are never equal, re-dressed ones are; votes are partitions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rzero_cli
from helpers.data_files import load_data
from rzero_cli import answers
from rzero_cli.answers.equivalence import Equivalence

PAIRS = 20_000
POOLS = 100_000
Pair = tuple[str, str, bool]

NAMES = ["x", "y", "a", "b", "t", r"\theta", "f(x)", "AB", r"\alpha"]
UNITS = [
    ("cm", "centimeters"),
    ("m", "meters"),
    ("kg", "kilograms"),
    ("hours", "hr"),
    ("km/h", "kilometers per hour"),
    ("dollars", "USD"),
    ("seconds", "sec"),
]
NOUNS = ["apples", "oranges", "lions", "tables", "boys", "girls", "stamps"]
NOT_UNITS = [
    "fifth",
    "tenths",
    "doubled",
    "upstream",
    "heads",
    "tails",
    "million",
    "bn",
    "repeating",
    "halved",
    "left",
    "north",
    "root three",
    "wins",
    "maximum",
    "noon",
    "dozen",
    "red",
    "more",
    "lost",
    "even",
    "squared",
    "choose two",
    "billionths",
    "twelfths",
    "percentile",
]
FUNCTIONS = [r"\sin x", r"\ln 2", "2^n", "e^{2x}", r"\frac{1}{x+1}", "n!", r"\log_3 5", r"\sqrt{x}"]


def value(rng: random.Random) -> str:
    whole = rng.randint(-50, 400)
    return rng.choice(
        [str(whole), rf"\frac{{{whole}}}{{7}}", rf"{whole}\sqrt{{2}}", rf"{whole}\pi"]
    )


def values(rng: random.Random, count: int) -> list[str]:
    """Different values, of one form, none of which is zero."""
    form = rng.choice(["{}", r"\frac{{{}}}{{7}}", r"{}\sqrt{{2}}", r"{}\pi"])
    return [form.format(n) for n in rng.sample(range(2, 400), count)]


def dressed(rng: random.Random, text: str) -> str:
    forms = [
        "${}$",
        r"\({}\)",
        r"\boxed{{{}}}",
        " {} ",
        r"\color{{red}}{{{}}}",
        "={}",
        r"\therefore {}",
        r"\begin{{aligned}}{}\end{{aligned}}",
        r"{} \tag{{1}}",
        "{}.",
        "`{}`",
        "\u200b{}",
        "{},",
    ]
    return rng.choice(forms).format(text)


def numbers(rng: random.Random) -> Pair:
    a, b = values(rng, 2)
    return (a, dressed(rng, a), True) if rng.random() < 0.5 else (a, dressed(rng, b), False)


def names(rng: random.Random) -> Pair:
    (a, b), (x, y) = values(rng, 2), rng.sample(NAMES, 2)
    return rng.choice(
        [
            (f"{x} = {a}", a, True),
            (f"{x}={a}", rf"{a} = {x}", True),
            (f"{x} = {a}", f"{y} = {a}", False),
            (f"{x}={a}", f"{x}={b}", False),
        ]
    )


def tuples(rng: random.Random) -> Pair:
    (a, b), (x, y) = values(rng, 2), sorted(rng.sample("abtuvxyz", 2))
    one = rf"{x}={a}, {y}={b}"
    return rng.choice(
        [
            (one, rf"{y}={b} \text{{ and }} {x}={a}", True),
            (one, rf"({a},{b})", True),
            (one, rf"\begin{{cases}}{x}={a}\\{y}={b}\end{{cases}}", True),
            (one, rf"{x}={a} \quad {y}={b}", True),
            (one, rf"{x}={b}, {y}={a}", False),
            (one, rf"({b},{a})", False),
            (one, rf"{a}, {b}", False),
            (one, rf"{x}={a} \text{{ or }} {y}={b}", False),
            (rf"{x}={a} \quad {y}={b}", rf"{x}={b} \quad {y}={b}", False),
        ]
    )


def lists(rng: random.Random) -> Pair:
    a, b, c = values(rng, 3)
    one = f"{a}, {b}, {c}"
    return rng.choice(
        [
            (one, f"{c}, {a}, {b}", True),
            (one, rf"{b}; {a} \text{{ and }} {c}", True),
            (one, rf"x_1={a}, x_2={b}, x_3={c}", True),
            (one, f"{a}, {b}, {c}, {c}", False),
            (one, f"{a}, {b}", False),
            (f"{a}, {a}, {b}", f"{a}, {b}, {b}", False),
            (rf"\{{{a},{b}\}}", rf"\{{{b},{a},{a}\}}", True),
            (f"({a},{b})", f"({b},{a})", False),
            (f"({a},{b})", f"[{a},{b}]", False),
        ]
    )


def units(rng: random.Random) -> Pair:
    (a, b), (one, other) = values(rng, 2), rng.sample(UNITS, 2)
    first = rf"{a} \text{{ {one[0]}}}"
    return rng.choice(
        [
            (first, a, True),
            (first, rf"{a} \text{{ {one[1]}}}", True),
            (first, rf"{a} \text{{ {other[1]}}}", False),
            (first, rf"{b} \text{{ {one[0]}}}", False),
            (
                rf"{first}, {b} \text{{ {other[0]}}}",
                rf"{b} \text{{ {one[1]}}}, {a} \text{{ {other[1]}}}",
                False,
            ),
        ]
    )


def counts(rng: random.Random) -> Pair:
    (a, b), (one, other) = rng.sample(range(2, 99), 2), rng.sample(NOUNS, 2)
    first = rf"{a} \text{{ {one} and }} {b} \text{{ {other}}}"
    return rng.choice(
        [
            (f"{a} {one}", str(a), True),
            (f"{a} ({one})", rf"{a} \text{{ {one}}}", True),
            (f"{a} {one}", f"{a} {other}", False),
            (first, f"{b} {other}, {a} {one}", True),
            (first, f"{b} {one} and {a} {other}", False),
        ]
    )


def words(rng: random.Random) -> Pair:
    a, (one, other) = value(rng), rng.sample(NOT_UNITS, 2)
    first = rf"{a} \text{{ {one}}}"
    return rng.choice(
        [
            (first, a, False),
            (first, rf"{a} \text{{ {other}}}", False),
            (first, rf"{a}\textbf{{ {one}}}", True),
        ]
    )


def relations(rng: random.Random) -> Pair:
    a, b = sorted(rng.sample(range(-50, 50), 2))
    both = rf"x>{a} \text{{ and }} x<{b}"
    return rng.choice(
        [
            (both, rf"x>{a} \text{{ or }} x<{b}", False),
            (both, f"({a},{b})", True),
            (both, f"{b} > x > {a}", True),
            (both, rf"y>{a} \text{{ and }} y<{b}", False),
            (both, rf"]{a},{b}[", True),
            (both, rf"{a} \le x < {b}", False),
            (f"x>{a}, y<{b}", f"y>{a}, x<{b}", False),
            (rf"\{{x \mid x>{a}\}}", f"x>{a}", True),
        ]
    )


def equations(rng: random.Random) -> Pair:
    a, b, c = rng.sample(range(2, 40), 3)
    return rng.choice(
        [
            (f"{a}x+{b}y={c}", f"{2 * b}y = {2 * c} - {2 * a}x", True),
            (f"x={a}y", rf"y=\frac{{x}}{{{a}}}", True),
            (f"{a}x+{b}y={c}", f"{b}x+{a}y={c}", False),
            (f"x^2+{a}y^2={b}", f"x^2+{a}y^2={c}", False),
            (f"xy={a}", rf"y=\frac{{{a}}}{{x}}", True),
            (f"y'={a}x", f"y={a}x", False),
            (f"x+y \\approx {a}", f"x+y \\approx {b}", False),
            (rf"p_{a} \wedge q", rf"p_{a} \vee q", False),
        ]
    )


def worker(rng: random.Random) -> Pair:
    (f, g), k = rng.sample(FUNCTIONS, 2), rng.randint(2, 5)
    return rng.choice(
        [
            (f"x={f}, y={g}", f"x={g}, y={f}", False),
            (f"u={f}, v={k}", f"({f},{k})", True),
            (f"{f}, {k}", f"{k}, {f}", True),
            (f"{f}, {f}, {k}", f"{f}, {k}", False),
            (f"({f}, {k})", f"({k}, {f})", False),
            (rf"\log {k} = {k}", rf"\log {k} = {k + 1}", False),
            (rf"\sqrt z = -{k}", rf"\sqrt z = -{k + 1}", False),
            (f"w = {f}", f, True),
            (f"z > {f}", rf"z \ge {f}", False),
            (f"z>{f}", rf"({f},\infty)", True),
            (f"z > {f} \\text{{ and }} z < {k}", f"z > {f} \\text{{ or }} z < {k}", False),
        ]
    )


KEYED = [numbers, names, tuples, lists, units, counts, words, relations, equations]


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as opened:
        yield opened


def _wrong(
    equivalence: Equivalence, makers: list[Callable[[random.Random], Pair]], count: int
) -> list[Pair]:
    rng = random.Random(0)
    shares: Counter[tuple[str, bool]] = Counter()
    wrong = []
    for i in range(count):
        maker = makers[i % len(makers)]
        a, b, equal = maker(rng)
        shares[maker.__name__, equal] += 1
        if equivalence.equal(a, b) is not equal or equivalence.equal(b, a) is not equal:
            wrong.append((a, b, equal))
    for (name, equal), n in sorted(shares.items()):
        print(f"{name:10} {'equal' if equal else 'different':9} {n / count:.1%}")
    return wrong


def test_perturbed_answers_differ_and_redressed_ones_are_equal(equivalence: Equivalence) -> None:
    assert _wrong(equivalence, KEYED, PAIRS) == []


def test_perturbed_answers_of_the_worker_differ(equivalence: Equivalence) -> None:
    assert _wrong(equivalence, [worker], 300) == []


def test_classes_of_disagreeing_answers_are_a_partition_in_any_order(
    equivalence: Equivalence,
) -> None:
    rng = random.Random(1)
    known = [value(rng) for _ in range(50)]  # few, so that they are read once
    pairs = [maker(rng)[:2] for maker in KEYED for _ in range(300)]
    for _ in range(POOLS):
        a, x, y, unit, noun = (
            rng.choice(known),
            *rng.sample(NAMES, 2),
            rng.choice(UNITS),
            rng.choice(NOUNS),
        )
        forms = [
            a,
            f"{x}={a}",
            f"{y}={a}",
            rf"{a} \text{{ {unit[0]}}}",
            rf"{x}={a} \text{{ {unit[1]}}}",
            rf"{a} \text{{ {noun}}}",
            rf"{y}={a} \text{{ {noun}}}",
            rf"{a} \text{{ tails}}",
        ]
        pool = rng.choices(forms, k=rng.randint(2, 8)) + list(rng.choice(pairs))
        found = equivalence.classes(pool)
        assert sorted(text for group in found for text in group) == sorted(set(pool))
        rng.shuffle(pool)
        assert equivalence.classes(pool) == found


def test_bare_value_joins_the_most_frequent_name(equivalence: Equivalence) -> None:
    pool = ["x=3", "y=3", "y=3", "3"]
    assert equivalence.classes(pool) == [["3", "y=3"], ["x=3"]]
    assert equivalence.classes(["x=3", "y=3", "3"]) == [["3", "x=3"], ["y=3"]]
    pool = ["5 cm", r"5 \text{ m}", r"5 \text{ meters}", "5"]
    assert equivalence.classes(pool) == [["5", r"5 \text{ meters}", r"5 \text{ m}"], ["5 cm"]]


def test_generators_import_nothing_from_answers() -> None:
    helper = Path(__file__).parents[1] / "helpers" / "generated_expressions.py"
    assert "rzero_cli" not in helper.read_text("utf-8")
    code = {
        name
        for maker in [*KEYED, worker, value, values, dressed]
        for name in maker.__code__.co_names
    }
    assert code & set(dir(answers)) == set()


def test_no_pair_with_a_known_verdict_is_in_the_code() -> None:
    folder = Path(rzero_cli.__file__).parent / "answers"
    code = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    texts = {row[side] for row in load_data("answer_pairs_2.jsonl") for side in "ab"}
    # Shorter ones are words of the language: `yes`, `\\pi`, `\\emptyset`.
    assert [text for text in texts if len(text) > 9 and text in code] == []
