"""Random expressions as trees: their value at a point, and LaTeX in one of many spellings.

The value comes from the tree and not from any parser, so that it judges readings of the LaTeX.
"""

from __future__ import annotations

import cmath
import math
import random
from typing import Any

Tree = tuple[Any, ...]  # (operator, operand, ...); operands are trees, numbers or letters
FUNCTIONS = {"sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "ln": cmath.log}
LETTERS = "xnk"
_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly an operator binds


def tree(rng: random.Random, depth: int = 3) -> Tree:
    """Return an expression of at most this depth."""
    if depth == 0 or rng.random() < 0.15:
        kind = rng.choice(["number", "number", "letter", "letter", "pi", "rational"])
        if kind == "rational":
            return ("/", ("number", rng.randint(1, 9)), ("number", rng.randint(2, 9)))
        value = {"number": rng.randint(1, 12), "letter": rng.choice(LETTERS), "pi": "pi"}[kind]
        return (kind, value)
    kind = rng.choice(["+", "+", "-", "*", "*", "/", "^", "^n", "sqrt", "neg", "f", "f", "abs"])
    a = tree(rng, depth - 1)
    if kind == "^":
        return ("^", a, ("number", rng.randint(2, 3)))
    if kind == "^n":
        return ("^", ("number", rng.randint(2, 5)), tree(rng, min(depth - 1, 1)))
    if kind == "f":
        return ("f", a, rng.choice(sorted(FUNCTIONS)))
    if kind in ("sqrt", "neg", "abs"):
        return (kind, a)
    if kind == "*" and rng.random() < 0.3:  # two numbers in brackets are often misread
        return (kind, ("number", rng.randint(1, 12)), ("number", rng.randint(1, 12)))
    return (kind, a, tree(rng, depth - 1))


def changed(node: Tree, rng: random.Random) -> Tree:
    """Return an expression that differs in one place."""
    kind, *operands = node
    inner = [i for i, x in enumerate(operands) if isinstance(x, tuple)]
    if inner and rng.random() < 0.7:
        i = rng.choice(inner)
        operands[i] = changed(operands[i], rng)
        return (kind, *operands)
    if kind == "number":
        return (kind, operands[0] + rng.choice([1, 2, 10]))
    if kind == "letter":
        return (kind, rng.choice(sorted(set(LETTERS) - {operands[0]})))
    if kind == "f":
        return (kind, operands[0], rng.choice(sorted(set(FUNCTIONS) - {operands[1]})))
    if kind in ("-", "/", "^"):
        return (kind, operands[1], operands[0])
    if kind in ("+", "*"):
        return ({"+": "*", "*": "+"}[kind], *operands)
    return operands[0] if kind in ("neg", "sqrt", "abs") else ("number", 3)


def at(node: Tree, point: dict[str, float]) -> complex:
    """Return the value where the letters have these values.

    Raises:
        ArithmeticError: there is none.
        ValueError: there is none.
    """
    kind, *operands = node
    if kind in ("number", "letter"):
        return complex(point.get(operands[0], operands[0]))
    if kind == "pi":
        return complex(math.pi)
    values = [at(x, point) for x in operands if isinstance(x, tuple)]
    if kind == "f":
        return FUNCTIONS[operands[1]](values[0])
    if kind == "abs":
        return complex(abs(values[0]))
    if kind == "sqrt":
        return cmath.sqrt(values[0])
    if kind == "neg":
        return -values[0]
    a, b = values
    if kind == "+":
        return a + b
    if kind == "-":
        return a - b
    return a * b if kind == "*" else a / b if kind == "/" else a**b


def spelled(node: Tree, rng: random.Random) -> str:
    """Return LaTeX of an expression with exactly one reading."""
    return _spelled(node, rng)[0]


def _spelled(node: Tree, rng: random.Random) -> tuple[str, int]:
    kind, *operands = node
    if kind in ("number", "letter"):
        return str(operands[0]), _ATOM
    if kind == "pi":
        return r"\pi", _ATOM
    parts = [_spelled(x, rng) for x in operands if isinstance(x, tuple)]

    def inside(i: int, binding: int) -> str:
        text, binds = parts[i]
        if binds >= binding and not (text.startswith("-") and binding > _SUM):
            return text
        return rng.choice(["({})", r"\left({}\right)"]).format(text)

    if kind == "+":
        one, other = (inside(i, _SUM) for i in rng.sample([0, 1], 2))
        return f"{one} + {other}" if other[0] != "-" else f"{one}{other}", _SUM
    if kind == "-":
        return f"{inside(0, _SUM)} - {inside(1, _PRODUCT)}", _SUM
    if kind == "neg":
        return f"-{inside(0, _PRODUCT)}", _SUM
    if kind == "*":
        i, j = rng.sample([0, 1], 2)
        one, other = inside(i, _PRODUCT), inside(j, _PRODUCT)
        if one[0].isalpha() and len(one) == 1 and len(other) == 1 and other.isalpha():
            return one + other, _PRODUCT
        if "\\" not in one + other or rng.random() < 0.5:
            return rf"({parts[i][0]})({parts[j][0]})", _PRODUCT
        return rf"{one} \cdot {other}", _PRODUCT
    if kind == "/":
        form = rng.choice([r"\frac{{{}}}{{{}}}", r"\dfrac{{{}}}{{{}}}", "({})/({})"])
        return form.format(parts[0][0], parts[1][0]), _ATOM if form[0] == "\\" else _PRODUCT
    if kind == "^":
        if parts[0][1] < _ATOM or not parts[0][0].isalnum():
            return f"({parts[0][0]})^{{{parts[1][0]}}}", _POWER
        return f"{parts[0][0]}^{{{parts[1][0]}}}", _POWER
    if kind == "sqrt":
        return rng.choice([r"\sqrt{{{}}}", r"({})^{{1/2}}"]).format(parts[0][0]), _POWER
    if kind == "abs":
        return rng.choice([r"|{}|", r"\left|{}\right|"]).format(parts[0][0]), _POWER
    form = rng.choice([rf"\{operands[1]}({{}})", rf"\{operands[1]}\left({{}}\right)"])
    return form.format(parts[0][0]), _POWER
