"""Single expressions: their leaves and their LaTeX for the equivalence worker."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rzero_cli.answers.algebra import NotMaths, Undecided, constant, key_of
from rzero_cli.answers.items import kinds_of
from rzero_cli.answers.parser import Parser, number_of
from rzero_cli.answers.tokens import TIMES, Token
from rzero_cli.answers.trees import Leaf

# What an expression for the worker may hold: no word, no list, no relation but in a sum's index.
_PLAIN = frozenset(
    ("n", "s", "S", "w", "f", "+", "-", "*", "/", "^", "_", "(", ")", "[", "]", "{", "}", ",", "!",
     "=", ":to", r"\frac", r"\sqrt", r"\binom", r"\choose", r"\over", r"\infty")
)  # fmt: skip
_INVERSES = re.compile(r"S\^(?:\{-n\}|\{?S\}?)\*?S|S\*?S\^(?:\{-n\}|\{?S\}?)")
_HIDDEN_PRODUCT = re.compile(r"[sS)}\]!]n\^")


def latex_of(tokens: Iterable[Token]) -> str:
    """Return LaTeX with decimals as fractions, so that the worker sees no floats."""
    return " ".join(
        "\\frac{{{}}}{{{}}}".format(*number_of(t.text).as_integer_ratio())
        if t.kind == "n" and not t.text.isdigit()
        else t.text
        for t in tokens
    ).replace("*", r"\cdot")


def leaf_of(tokens: list[Token]) -> Leaf:
    if len(tokens) == 1 and tokens[0].kind == "n":
        return Leaf(key_of(constant(number_of(tokens[0].text))), tuple(tokens))
    tokens = _with_products(tokens)
    if _depends_on_order(tokens):
        raise NotMaths("a product of matrices")
    try:
        value = Parser(tokens).whole()
        return Leaf(key_of(value), tuple(tokens))
    except Undecided:
        return Leaf(None, worker_tokens(tokens))


def _depends_on_order(tokens: list[Token]) -> bool:
    """Return True if a product of capitals may be one of matrices: `A^{-1}B`, `AB - BA`."""
    kinds = kinds_of(tokens)
    if kinds.count("S") < 2:
        return False
    if _INVERSES.search(kinds):
        return True
    pairs = {(tokens[i].text, tokens[i + 1].text) for i in range(len(kinds) - 1)
             if kinds[i : i + 2] == "SS"}  # fmt: skip
    return any(a != b and (b, a) in pairs for a, b in pairs)


def worker_tokens(tokens: list[Token]) -> tuple[Token, ...]:
    """Return an expression with all its products written out, and nothing but an expression."""
    depth = 0
    for token in tokens:
        depth += (token.kind in ("(", "[", "{")) - (token.kind in (")", "]", "}"))
        if token.kind not in _PLAIN or (depth == 0 and token.kind in (",", "=", ":to")):
            raise NotMaths(f"{token.text} in an expression")
    if "!!" in kinds_of(tokens):
        raise NotMaths("double factorial")
    latex_of(tokens)  # raises if a number is too large for the worker
    return tuple(_with_products(tokens))


def _with_products(tokens: list[Token]) -> list[Token]:
    r"""Write out the product before a power of a number: `(n+4)3^n`, `\frac25 7^n`."""
    if not _HIDDEN_PRODUCT.search(kinds_of(tokens)):
        return tokens
    written: list[Token] = []
    opened: list[str] = []  # what each open bracket belongs to
    closed = ""  # what the group before the token belongs to
    in_function = False
    for token, after in zip(tokens, [*tokens[1:], Token("end", "")], strict=True):
        before = written[-1].kind if written else ""
        in_function = (in_function and before not in ("+", "-")) or before == "f"
        if token.kind == "n" and after.kind == "^" and not in_function:
            is_argument = (before, closed) in (("}", r"\frac"), ("}", r"\binom"), ("]", r"\sqrt"))
            if before in ("s", "S", ")", "]", "}", "!") and not is_argument:
                written.append(TIMES)
        if token.kind in ("{", "(", "["):
            opened.append("" if before == "}" else before)
        closed = opened.pop() if token.kind in ("}", ")", "]") and opened else ""
        written.append(token)
    return written
