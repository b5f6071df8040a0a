"""The canonical key of an answer's value, and the name and units next to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from rzero_cli.answers.algebra import MAX_LENGTH, NotMaths
from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.expressions import latex_of
from rzero_cli.answers.items import text_of
from rzero_cli.answers.reading import Reader
from rzero_cli.answers.spelling import clean
from rzero_cli.answers.tokens import Token, tokenize
from rzero_cli.answers.trees import WORDS, Group, Leaf, Reading, rendered

# a number, a fraction or a LaTeX fraction, small enough to need no size check
_PLAIN_NUMBER = re.compile(
    r"([-+]?)(?:([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})|([0-9]{1,40})/([0-9]{1,40})"
    r"|\\[dt]?frac\{([0-9]{1,40})\}\{([0-9]{1,40})\})"
)
_DATE = re.compile(r"\d{4}([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2\d{4}")  # not a subtraction


def canonical_key(answer: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return the exact canonical key of an answer's value, or None if it needs the worker.

    Two answers with keys under the same conventions are equal iff their keys are the same string
    and their names and units, which are not part of the key, do not disagree; and two equations in
    several variables also if one is a multiple of the other. An answer of more than MAX_LENGTH
    characters is its own text. Never raises.
    """
    return named_value(answer, conventions).value


def full_key(answer: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return the canonical key of an answer with its name and units; None if it needs the worker.

    Answers with the same full key are equal. Equal ones differ in it where only one of them has a
    name or a unit: 5, `x = 5` and `5 cm`.
    """
    named = named_value(answer, conventions)
    if named.value is None or not (named.name or named.units):
        return named.value
    return f"{named.value} [{named.name}] [{', '.join(named.units)}]"


class Named(NamedTuple):
    """An answer as it is compared.

    Attributes:
        value: the key of its value, None if it needs the worker.
        name: the name given to the value, or the key of an equation in several variables.
        units: the units of the value's members, "" where there is none; () without any.
        reading: the tree.
    """

    value: str | None
    name: str
    units: tuple[str, ...]
    reading: Reading


def named_value(answer: str, conventions: Conventions = DEFAULT) -> Named:
    """Return an answer's value, name and units. Never raises."""
    # White space does not count towards the length.
    if len(answer) > MAX_LENGTH and len(answer := " ".join(answer.split())) > MAX_LENGTH:
        return _of_leaf(Leaf(f"text:{answer}"))
    return _cached(answer, conventions)


@lru_cache(maxsize=16_384)
def _cached(answer: str, conventions: Conventions) -> Named:
    if (key := _number_key(answer)) is not None:
        return _of_leaf(Leaf(key, (Token("number", key),)))
    return _parsed(answer, conventions)


def _of_leaf(leaf: Leaf) -> Named:
    return Named(leaf.key, "", (), Reading(leaf))


def _number_key(answer: str) -> str | None:
    """Return the key of a plain integer, decimal or fraction, as most answers are, else None."""
    match = _PLAIN_NUMBER.fullmatch(answer)
    if match is None:
        return None
    sign, number, top, bottom, frac_top, frac_bottom = match.groups()
    if number:
        value = str(int(number)) if number.isdigit() else str(Fraction(number))
    elif int(bottom or frac_bottom):
        value = str(Fraction(int(top or frac_top), int(bottom or frac_bottom)))
    else:
        return None
    return "-" + value if sign == "-" and value != "0" else value


def _long_way(answer: str, conventions: Conventions) -> str | None:
    return _parsed(answer, conventions).value


def _parsed(answer: str, conventions: Conventions) -> Named:
    cleaned = clean(answer, conventions)
    if _DATE.fullmatch(cleaned):
        return _of_leaf(Leaf("text:" + cleaned))
    try:
        tokens = tokenize(cleaned)
    except NotMaths:
        return _of_leaf(Leaf("text:" + cleaned))
    text = text_of(tokens)
    if text in WORDS:
        return _of_leaf(Leaf(WORDS[text]))
    try:
        reading = Reader(conventions).read(tokens)
    except NotMaths:
        return _of_leaf(Leaf("text:" + (text or " ".join(answer.split()))))
    return resolved(reading, lambda leaf, path: None)


def resolved(reading: Reading, key_of_leaf: Callable[[Leaf, str], str | None]) -> Named:
    """Return an answer with the keys of its leaves; its value is None if one has none."""
    found = rendered(reading.node, key_of_leaf)
    name = reading.name
    if reading.relation is not None:
        name = reading.relation.key or key_of_leaf(reading.relation, RELATION) or ""
    if found is None or (reading.relation is not None and not name):
        return Named(None, name, (), reading)
    return Named(found[0], name, found[1] if any(found[1]) else (), reading)


RELATION = "relation"  # the path of an equation next to the path of its value


def latex_form(answer: str, conventions: Conventions = DEFAULT) -> str:
    """Return an answer's value as LaTeX, without its name and units.

    A unit that the conventions keep becomes a symbol with a subscript.
    """
    return _latex(named_value(answer, conventions).reading.node)


def _latex(node: Leaf | Group) -> str:
    if isinstance(node, Leaf):
        return latex_of(node.tokens) or str(node.key)
    joined = " , ".join(map(_latex, node.parts))
    return joined if node.head == "list" else f"{node.head} {joined}"
