"""Benchmark questions and training data with planted copies, for the search for contamination.

All text is made here. Unrelated questions share what those of real sets share: sentence forms,
stock phrases of more than thirteen words, the code of figures, and lists of letters.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Ada Bruno Chen Dalia Emre Fatima Goran Hana Igor Jamila Kofi Lena Mateo Nadia Omar Petra "
    "Quentin Rosa Samir Tove Uma Viktor Wanda Ximena Yusuf Zoe"
)
THINGS = _words(
    "apples lamps ropes kites barrels candles tiles bolts pens stamps cookies marbles tickets "
    "plums bricks chairs scarves melons buttons shells crates coins ladders bottles ribbons"
)
PLACES = _words("market harbour library garden factory museum stadium bakery station orchard")
_SENTENCES = (
    "{name} buys {a} {thing} at the {place} and pays {b} dollars for each of them.",
    "{name} has {a} times as many {thing} as {other} has.",
    "Every week the {place} sells {a} {thing} more than the week before.",
    "After {a} days {name} gives away {b} of the {thing} to {other}.",
    "A box of {thing} weighs {a} kilograms and an empty box weighs {b} kilograms.",
    "{name} walks {a} kilometers from the {place} to the {place2} in {b} hours.",
    "In the {place} there are {a} rows of {thing} with {b} {thing} in each row.",
    "{name} and {other} share {a} {thing} in the ratio {b} to {c}.",
    "{name} packs {a} {thing} into crates that hold {b} each, and {c} {thing} are left over.",
    "The {place} charges {a} dollars to enter and {b} dollars for every {c} {thing}.",
)
_ASKED = (
    "How many {thing} does {name} have at the end of the week?",
    "How much does {name} pay in total?",
    "How many hours does it take until all {thing} are gone?",
    "What is the total number of {thing} that are left in the {place}?",
)
_COMPETITION = (
    "Let $a, b, c, d$ be real numbers with $a+b+c+d={a}$ and $ab+cd={b}$ such that {c} of the "
    "{thing} on a board are divisible by ${d}$.",
    "A regular polygon with ${a}$ sides is inscribed in a circle of radius ${b}$ at the {place} of "
    "{name}, and ${c}$ of its diagonals are colored.",
    "A sequence has first term ${a}$ and each later term is ${b}$ more than ${c}$ times the one "
    "before, as {name} found on {d} {thing}.",
    "Each of the {thing} in a grid of ${a}$ by ${b}$ squares is red or blue, and {name} chooses "
    "${c}$ of them at random.",
)
_STOCK = (
    "The answer can be written in the form $\\frac{m}{n}$, where $m$ and $n$ are relatively prime "
    "positive integers. What is $m+n$?",
    "Express your answer as a common fraction in lowest terms, or as a decimal number rounded to "
    "the nearest hundredth if necessary.",
    "The points $A, B, C, D, E, F, G, H$ lie on the circle in this order and no three chords meet.",
    "Find the remainder when the number of all such ways is divided by one thousand.",
)
_FIGURE = (
    "[asy]\nsize({a}); pair A=(0,0), B=(4,0), C=(4,3), D=(0,3); draw(A--B--C--D--cycle); "
    'label("$A$",A,SW); label("$B$",B,SE); label("$C$",C,NE); label("$D$",D,NW);\n[/asy]'
)
_OTHER_WORDS = _words("quite several green old nearby together often please nice heavy")


def question(rng: random.Random) -> str:
    """Return a question of the kind of GSM8K's or, one in three, of a competition."""
    slots = {
        "name": rng.choice(NAMES), "other": rng.choice(NAMES), "thing": rng.choice(THINGS),
        "place": rng.choice(PLACES), "place2": rng.choice(PLACES),
        **{letter: rng.randint(2, 999) for letter in "abcd"},
    }  # fmt: skip

    def filled(text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda slot: str(slots.get(slot[1], slot[0])), text)

    if rng.random() < 2 / 3:
        parts = [*rng.sample(_SENTENCES, rng.randint(2, 4)), rng.choice(_ASKED)]
    else:
        parts = [*rng.sample(_COMPETITION, rng.randint(1, 2)), *rng.sample(_STOCK, 1)]
        parts += [_FIGURE] * (rng.random() < 1 / 3)
    texts = []
    for part in parts:
        slots |= {letter: rng.randint(2, 999) for letter in "abcd"}
        texts.append(filled(part))
    return " ".join(texts)


def _every(step: int, change: Callable[[random.Random, str], str]) -> Callable[..., str]:
    """Return an edit that changes each word at a distance of `step`."""

    def edit(rng: random.Random, text: str) -> str:
        words = text.split()
        for place in range(rng.randrange(step), len(words), step):
            words[place] = change(rng, words[place])
        return " ".join(word for word in words if word)

    return edit


def _numbers(rng: random.Random, text: str) -> str:
    return re.sub(r"\d+", lambda number: str(int(number[0]) + rng.randint(1, 9)), text)


def _names(rng: random.Random, text: str) -> str:
    words = re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}|^[A-Z][a-z]{2,}", text)
    new = {word: rng.choice(NAMES) for word in dict.fromkeys(words)}
    return re.sub(r"[A-Z][a-z]{2,}", lambda word: new.get(word[0], word[0]), text)


def _reordered(rng: random.Random, text: str) -> str:
    *sentences, last = re.split(r"(?<=[.?]) ", text)
    return " ".join([*rng.sample(sentences, len(sentences)), last])


EDITS: dict[str, Callable[[random.Random, str], str]] = {
    "none": lambda rng, text: text,
    "typesetting": lambda rng, text: re.sub(r"(?<![\d$])(\d+)(?![\d$])", r"$\1$", text).upper(),
    "wrapped": lambda rng, text: f"Solve this for me: {text} Show every step of your work.",
    "numbers": _numbers,
    "names": _names,
    "sentences reordered": _reordered,
    "every 10th word changed": _every(10, lambda rng, word: rng.choice(_OTHER_WORDS)),
    "every 7th word changed": _every(7, lambda rng, word: rng.choice(_OTHER_WORDS)),
    "every 9th word dropped": _every(9, lambda rng, word: ""),
    "a word put in after every 8th": _every(
        8, lambda rng, word: f"{word} {rng.choice(_OTHER_WORDS)}"
    ),
}
"""Edits of copies by name."""


class Planted(NamedTuple):
    """Training questions, some of which are copies of benchmark questions."""

    benchmark: list[str]
    training: list[str]
    copies: dict[int, tuple[int, str]]
    """Place of a training question -> the benchmark question it was copied from, and its edit."""


def planted(seed: int, *, benchmark: int, training: int, each: int) -> Planted:
    """Return made questions and training data with `each` copies of every kind of edit."""
    rng = random.Random(seed)
    questions = [question(rng) for _ in range(benchmark)]
    return plant(rng, questions, [question(rng) for _ in range(training)], each)


def plant(rng: random.Random, benchmark: list[str], training: list[str], each: int) -> Planted:
    """Return `training` with copies of benchmark questions, at random places."""
    chosen = rng.sample(range(len(benchmark)), each * len(EDITS))
    kinds = [kind for kind in EDITS for _ in range(each)]
    copied = [(EDITS[k](rng, benchmark[n]), (n, k)) for n, k in zip(chosen, kinds, strict=True)]
    rows: list[tuple[str, tuple[int, str] | None]] = [*((text, None) for text in training), *copied]
    rng.shuffle(rows)
    copies = {place: source for place, (_, source) in enumerate(rows) if source}
    return Planted(benchmark, [text for text, _ in rows], copies)
