"""Groups of tokens: members, conditions, brackets, matrix cells and numbers in another base."""

from __future__ import annotations

import re

from rzero_cli.answers.algebra import NotMaths
from rzero_cli.answers.items import RELATIONS, kinds_of, name_of, split_at
from rzero_cli.answers.tokens import TIMES, Token

_SEPARATORS = {",", ";", "and", "or"}
_BRACKETS = {"(": (")", "]"), "[": (")", "]"), "{": ("}",), r"\{": (r"\}",)}
# over kinds of tokens: digits with or without brackets, then a base after an underscore or "base"
BASED = re.compile(
    r"(?:\([nS]+\)|n|[nS]{2,}|n?w(?=_))(?:_(?:[nw]|\{n\}|\{\(n\)\}|\{w?[nw]\})|w{1,2}n|ww)"
)
_BASES = {
    name: base
    for base, name in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen"), start=2,
    )
}  # fmt: skip


def members_of(tokens: list[Token]) -> list[list[Token]]:
    """Split a list, without the empty member in "1, 2, and 3" and behind a last separator."""
    parts, found = split_at(tokens, _SEPARATORS)
    kinds = kinds_of(found)
    kept = [
        part
        for i, part in enumerate(parts)
        if part or (kinds[max(i - 1, 0) : i + 1] != ",w" and kinds[i - 1 :] not in (",", ";"))
    ]
    if not all(kept):
        raise NotMaths("an empty member")
    return kept


def split_conditions(tokens: list[Token]) -> list[Token]:
    r"""Turn a condition in brackets at the end into a member: `2k (k \in \mathbb{Z})`."""
    if not tokens or tokens[-1].kind != ")":
        return tokens
    opened = (i for i in range(1, len(tokens)) if tokens[i].kind == "(")
    start = next((i for i in opened if i + end_of(tokens[i:]) == len(tokens) - 1), 0)
    inside = tokens[start + 1 : -1]
    relations = split_at(inside, set(RELATIONS))[1]
    if not (start and relations and name_of(inside[: inside.index(relations[0])])):
        return tokens
    is_argument = re.search(r"[sSwD]$|=$", kinds_of(tokens[:start])) is not None  # P(X = 2)
    if is_argument and relations[0].kind != r"\in":
        return tokens
    return [*tokens[:start], Token(",", ","), *inside]


def end_of(tokens: list[Token]) -> int:
    """Return the index of the bracket that closes the first token, or -1."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.kind in ("(", "[", "{", r"\{", r"\begin")) - (
            token.kind in (")", "]", "}", r"\}", r"\end")
        )
        if depth == 0:
            return i if i else -1
    return -1


def enclosed(tokens: list[Token]) -> str:
    """Return the opening bracket if one pair of brackets holds everything, else ""."""
    if len(tokens) < 2 or tokens[0].kind not in _BRACKETS or end_of(tokens) != len(tokens) - 1:
        return ""
    return tokens[0].kind if tokens[-1].kind in _BRACKETS[tokens[0].kind] else ""


def is_set(tokens: list[Token]) -> bool:
    return enclosed(tokens) == r"\{" or (len(tokens) == 1 and tokens[0].kind == r"\emptyset")


def is_permutation(tokens: list[Token]) -> bool:
    """Return True for what may be cycles, `(12)(34)`, or a product."""
    if re.fullmatch(r"(?:\(n\)){2,}", kinds_of(tokens)) is None:
        return False
    cycles = [t.text for t in tokens if t.kind == "n"]
    return all(1 < len(set(c) - {"0", "."}) == len(c) for c in cycles)


def bracketed(tokens: list[Token]) -> list[Token]:
    if len(tokens) == 1 and tokens[0].kind in ("n", "s", "S"):
        return tokens
    return [Token("(", "("), *tokens, Token(")", ")")]


def rows_of(tokens: list[Token]) -> list[list[list[Token]]]:
    """Return the cells of a matrix."""
    if not re.search(r"\{(?:small|[pbB])?matrix\}", tokens[0].text):
        raise NotMaths("unknown environment")
    lines = split_at(tokens[1:-1], {"\\"})[0]
    rows = [split_at(line, {"&"})[0] for line in (lines if lines[-1] else lines[:-1])]
    if not rows or not all(cell for row in rows for cell in row):
        raise NotMaths("an empty cell")
    return rows


def recurs(name: list[Token], side: list[Token]) -> bool:
    """Return True if a name occurs in its value: `x = x^2` is an equation."""
    return name[0].kind in ("s", "S") and name[0] in side


def is_letter(name: list[Token]) -> bool:
    return re.fullmatch(r"[sS](?:_(?:[snSw]|\{[^{}]*\}))?", kinds_of(name)) is not None


def based_key(tokens: list[Token]) -> str | None:
    """Return the key of a number in another base (`101_2`, `(101)_{two}`, `101 base 2`), or None.

    It is equal only to the same number in the same base.
    """
    *digits, base = (t.text for t in tokens if t.kind in "nSw" and t.text not in ("in", "base"))
    if any(t.kind == "w" for t in tokens[:-1]) and not any(t.text in ("base", "_") for t in tokens):
        return None
    number = "".join(digits).upper().lstrip("0") or "0"
    base = str(_BASES.get(base, base))
    try:
        int(number, int(base))
    except ValueError:
        return None
    return f"{number}_{int(base)}"


def weighted_sum(tokens: list[Token]) -> tuple[str, list[list[Token]]] | None:
    """Return a sum of multiples of matrices or tuples as brackets and members, or None."""
    if not any(t.kind in (r"\begin", ",") for t in tokens):
        return None
    terms, signs = split_at(tokens, {"+", "-"})
    if not terms[0]:
        terms = terms[1:]
    else:
        signs = [Token("+", "+"), *signs]
    head, size = "", 0
    sums: list[list[Token]] = []
    for sign, term in zip(signs, terms, strict=True):
        start = next((i for i, t in enumerate(term) if i + end_of(term[i:]) == len(term) - 1
                      and t.kind in (r"\begin", "(")), None)  # fmt: skip
        if start is None:
            return None
        factor, array = term[:start], term[start:]
        if factor and factor[-1].kind == "*":
            factor = factor[:-1]
        if array[0].kind == "(":
            cells, commas = split_at(array[1:-1], {","})
            shape = "()"
            if not commas and array[1].kind == r"\begin":
                array = array[1:-1]
        if array[0].kind == r"\begin":
            rows = rows_of(array)
            shape, cells = f"matrix {len(rows[0])}", [cell for row in rows for cell in row]
        if len(cells) < 2 or (sums and (shape != head or len(cells) != size)):
            return None
        head, size = shape, len(cells)
        sums = sums or [[] for _ in cells]
        for total, cell in zip(sums, cells, strict=True):
            product = [*bracketed(factor), TIMES, *bracketed(cell)] if factor else bracketed(cell)
            total += [sign, *product]
    return head, sums
