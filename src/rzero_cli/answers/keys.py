"""The canonical key of an answer."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from rzero_cli.answers.algebra import (
    MAX_LENGTH,
    POSITIVE,
    Monomial,
    NotMaths,
    Poly,
    Undecided,
    Value,
    add,
    constant,
    key_of,
    negative,
    set_key,
    times,
)
from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.items import (
    RELATIONS,
    items_of,
    kinds_of,
    split_at,
    text_of,
)
from rzero_cli.answers.parser import Parser, as_poly, number_of
from rzero_cli.answers.tokens import Token, clean, tokenize

_WORDS = {
    spelling: "text:" + spellings[0]
    for spellings in (
        ("no solution", "no solutions", "there is no solution", "there are no solutions",
         "no solution exists", "no solutions exist"),
        ("does not exist", "dne", "d n e", "the limit does not exist", "limit does not exist"),
        ("yes",), ("no",), ("true",), ("false",),
    )
    for spelling in spellings
} | dict.fromkeys(
    ("infinity", "infinite", "infinitely many", "infinitely many solutions",
     "there are infinitely many solutions", "an infinite number of solutions"), "infinity",
)  # fmt: skip


# a number, a fraction or a LaTeX fraction, small enough to need no size check
_PLAIN_NUMBER = re.compile(
    r"([-+]?)(?:([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})|([0-9]{1,40})/([0-9]{1,40})"
    r"|\\[dt]?frac\{([0-9]{1,40})\}\{([0-9]{1,40})\})"
)
# over kinds of tokens: digits with or without brackets, then a base after an underscore or "base"
_BASED = re.compile(r"(?:\([nS]+\)|n|[nS]{2,})(?:_(?:[nw]|\{n\}|\{\(n\)\}|\{w?[nw]\})|w[nw])")
_BASES = {
    name: base
    for base, name in enumerate(
        ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen"), start=2,
    )
}  # fmt: skip


def canonical_key(answer: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return the exact canonical key of an answer, or None if it needs the equivalence worker.

    Two answers with keys under the same conventions are equal iff their keys are the same string.
    An answer of more than MAX_LENGTH characters is its own text. Never raises.
    """
    # White space does not count towards the length.
    if len(answer) > MAX_LENGTH and len(answer := " ".join(answer.split())) > MAX_LENGTH:
        return f"text:{answer}"
    return _cached_key(answer, conventions)


@lru_cache(maxsize=16_384)
def _cached_key(answer: str, conventions: Conventions) -> str | None:
    return _number_key(answer) or _long_way(answer, conventions)


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
    cleaned = clean(answer, conventions)
    try:
        tokens = tokenize(cleaned)
    except NotMaths:
        return "text:" + cleaned
    text = text_of(tokens)
    if text in _WORDS:
        return _WORDS[text]
    try:
        items = items_of(tokens, conventions)
        try:
            return _all_hold(tokens, items) or _list_key(items)
        except Undecided:
            _exact(tokens)  # raises if a number next to it is too large for the worker
            return None
    except NotMaths:
        return "text:" + (text or " ".join(answer.split()))


def latex_form(answer: str, conventions: Conventions = DEFAULT) -> str:
    """Return an answer without a key as LaTeX for the worker, without names, units and separators.

    A unit that the conventions keep becomes a symbol with a subscript.
    """
    items = items_of(tokenize(clean(answer, conventions)), conventions)
    return " , ".join(_exact(tokens) for _, tokens in items)


def _exact(tokens: list[Token]) -> str:
    """Return LaTeX with decimals as fractions, so that the worker sees no floats."""
    return " ".join(
        "\\frac{{{}}}{{{}}}".format(*number_of(t.text).as_integer_ratio())
        if t.kind == "n" and not t.text.isdigit()
        else t.text
        for t in tokens
    ).replace("*", r"\cdot")


def _list_key(items: list[tuple[str, list[Token]]]) -> str:
    labels = [name or _unknowns(tokens) for name, tokens in items]
    several = len(set(labels) - {""}) > 1
    plus_minus = any(t.kind in (r"\pm", r"\mp") for _, tokens in items for t in tokens)
    keys = set()
    for sign in (1, -1)[: 1 + plus_minus]:
        for label, (_, tokens) in zip(labels, items, strict=True):
            key = _item_key(tokens, sign)
            keys.add(f"{label} = {key}" if several else key)
    return set_key(keys)


def _relations(tokens: list[Token]) -> list[str]:
    return [RELATIONS[token.kind] for token in split_at(tokens, set(RELATIONS))[1]]


def _unknowns(tokens: list[Token]) -> str:
    """Return the letters of a relation: `x > 3, x < 5` is not `x > 3, y < 5`."""
    letters = {t.text for t in tokens if t.kind in ("s", "S")} - {r"\pi", "e", "i"}
    return " ".join(sorted(letters)) if _relations(tokens) else ""


def _all_hold(tokens: list[Token], items: list[tuple[str, list[Token]]]) -> str | None:
    """Return the key of relations that all hold: `x > 1, x < 2` is not `x > 1 or x < 2`."""
    separators = split_at(tokens, {",", ";", "and", "or"})[1]
    if all(t.text == "or" for t in separators) or not any(_relations(part) for _, part in items):
        return None
    if len(items) == 2 and not (items[0][0] or items[1][0]):
        one, other = _bound(items[0][1]), _bound(items[1][1])
        if one and other and one[0] == other[0] and one[1] != other[1]:
            return _interval(one, other)  # x > 1 and x < 2
    return "all " + _list_key(items)


def _bound(tokens: list[Token]) -> _Bound | None:
    """Return a single inequality as a bound on its only variable, or None."""
    sides, relations = split_at(tokens, set(RELATIONS))
    sign = RELATIONS[relations[0].kind] if len(relations) == 1 else ""
    if sign[:1] not in ("<", ">") or any(t.kind in (r"\pm", r"\mp", "w") for t in tokens):
        return None
    a, b = (as_poly(Parser(side, 1).whole()) for side in sides)
    if "<" in sign:
        a, b, sign = b, a, sign.replace("<", ">")
    return _half_line(add([a, negative(b)]), sign)


def _item_key(tokens: list[Token], sign: int) -> str:
    kinds = kinds_of(tokens)
    if len(tokens) == 1 and len(tokens[0].text) > 1 and kinds == "w":
        return _WORDS.get(tokens[0].text, "text:" + tokens[0].text)
    if re.fullmatch("S{2,}", kinds):  # a segment, or an order of finish
        return "text:" + "".join(token.text for token in tokens).casefold()
    if _BASED.fullmatch(kinds) and (based := _based_key(tokens)):
        return based
    if any(t.kind == "w" and len(t.text) > 1 for t in tokens):
        raise NotMaths("words")
    if sum(t.kind in (r"\pm", r"\mp") for t in tokens) > 1:
        raise NotMaths("independent or linked signs")
    sides, relations = split_at(tokens, set(RELATIONS))
    if relations:
        values = [Parser(side, sign).whole() for side in sides]
        return _relation_key(values, [RELATIONS[token.kind] for token in relations])
    for separator in (r"\cup", ":"):
        parts, found = split_at(tokens, {separator})
        if found:
            if separator == ":":
                return " : ".join(key_of(Parser(part, sign).whole()) for part in parts)
            return set_key(key for part in parts for key in _members(part, sign))
    return key_of(Parser(tokens, sign).whole())


def _members(part: list[Token], sign: int) -> list[str]:
    """Return the members of one part of a union: the elements of a finite set, or an interval."""
    if kinds_of(part[:1]) == "?" and part[0].kind == r"\{" and part[-1].kind == r"\}":
        return [key_of(Parser(item, sign).whole()) for item in split_at(part[1:-1], {",", ";"})[0]]
    value = Parser(part, sign).whole()
    if not isinstance(value, str):
        raise NotMaths("union of something that is not a set")
    return [value] if value != "{}" else []


def _based_key(tokens: list[Token]) -> str | None:
    """Return the key of a number in another base (`101_2`, `(101)_{two}`, `101 base 2`), or None.

    It is equal only to the same number in the same base.
    """
    *digits, base = (t.text for t in tokens if t.kind in "nSw" and t.text != "base")
    number = "".join(digits).lstrip("0") or "0"
    base = str(_BASES.get(base, base))
    try:
        int(number, int(base))
    except ValueError:
        return None
    return f"{number}_{int(base)}"


def _relation_key(values: list[Value], signs: list[str]) -> str:
    if set(signs) == {"="} and len({key_of(value) for value in values}) == 1:
        return key_of(values[0])  # 2 + 3 = 5
    polys = [as_poly(value) for value in values]
    steps = [
        (add([b, negative(a)] if "<" in sign else [a, negative(b)]), sign.replace("<", ">"))
        for a, b, sign in zip(polys, polys[1:], signs, strict=False)
    ]
    if signs == ["="] and (solved := _solved(steps[0][0])) is not None:
        return key_of(solved)
    if signs[0] in ("=", "!=") and len(signs) == 1:
        return _normal_relation(steps[0][0], signs[0])
    if not all(sign in (">", ">=") for _, sign in steps) or len(steps) > 2:
        raise NotMaths("chain of relations")
    bounds = [_half_line(*step) for step in steps]
    if len(bounds) == 1:
        return _normal_relation(*steps[0]) if bounds[0] is None else _interval(bounds[0])
    if None in bounds:
        raise Undecided("chain of inequalities")
    return _interval(*(bound for bound in bounds if bound))


def _is_constant(atom: str) -> bool:
    return atom.isdigit() or atom in POSITIVE or atom == "i"


def _solved(difference: Poly) -> Poly | None:
    """Solve `difference = 0` for y, or for its only variable, if it is linear in that.

    `y = 2x + 1` is `2x + 1`, so `2x - y + 1 = 0` must be, too.
    """
    variables = {x for monomial in difference for x, _ in monomial if not _is_constant(x)}
    unknown = "y" if "y" in variables or len(variables) != 1 else min(variables)
    linear: Monomial = ((unknown, Fraction(1)),)
    rest = {m: c for m, c in difference.items() if m != linear}
    if linear not in difference or any(x == unknown for m in rest for x, _ in m):
        return None
    return times(rest, constant(-1 / difference[linear]))


def _normal_relation(difference: Poly, sign: str) -> str:
    """Return the key of `difference sign 0`, divided by its first coefficient or its size."""
    if not set(difference) - {()}:
        raise NotMaths("a relation between numbers")
    leading = difference[min(difference)]
    factor = constant(1 / (leading if sign in ("=", "!=") else abs(leading)))
    return f"{sign} {key_of(times(difference, factor))}"


_Bound = tuple[str, bool, str, bool]  # variable, whether it is a lower bound, value, strict or not


def _half_line(difference: Poly, sign: str) -> _Bound | None:
    """Return `difference > 0` as a bound on its variable; None if it is not linear in one."""
    constants = {m for m in difference if all(_is_constant(x) and x != "i" for x, _ in m)}
    rest = [m for m in difference if m not in constants]
    if len(rest) != 1 or len(rest[0]) != 1 or rest[0][0][1] != 1 or rest[0][0][0] == "i":
        return None
    slope = difference[rest[0]]
    bound = times({m: difference[m] for m in constants}, constant(-1 / slope))
    return rest[0][0][0], slope > 0, key_of(bound), sign == ">"


def _interval(*bounds: _Bound) -> str:
    lower = next((bound for bound in bounds if bound[1]), None)
    upper = next((bound for bound in bounds if not bound[1]), None)
    if len({bound[0] for bound in bounds}) != 1 or len(bounds) != bool(lower) + bool(upper):
        raise NotMaths("chain of inequalities")
    left = ("(" if lower[3] else "[") + lower[2] if lower else "(-infinity"
    right = upper[2] + (")" if upper[3] else "]") if upper else "infinity)"
    return f"{left}, {right}"
