"""The items of a list, the name before an equals sign, the unit after a value."""

from __future__ import annotations

import re

from rzero_cli.answers.conventions import DEFAULT, Conventions
from rzero_cli.answers.tokens import CURRENCIES, NOT_UNITS, UNITS, Token

# One character per token, so that small grammars are regular expressions over kinds.
_NAME = re.compile(
    r"[sS]'*(?:_(?:[snS]|\{[^{}]*\}))?(?:\([^()]*\)|\[[^\[\]]*\])?|S{2,4}|w+|\((?:[sS],)+[sS]\)"
    r"|s?D(?:[sS]{1,4}|\{[sS]{1,4}\})|D\([^()]*\)"
)
# Marks of a name: `\angle ABC = 60`, `\overline{AB} = 10`, `\Pr(X) = 1/6`.
_MARKS = {"\\" + mark for mark in ("angle", "measuredangle", "overline", "bar", "vec", "hat", "Pr")}
_POWER = r"(?:\^\{-?n\})?"
_UNIT_PHRASE = re.compile(
    rf"[/*]?(?:(?:w|(?<=/)s){_POWER}[/*-]?){{1,5}}|\?\{{w{_POWER}\}}\{{[ws]{_POWER}\}}"
)
RELATIONS = {"=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=",
              r"\approx": "≈", r"\in": "="}  # fmt: skip
_OPEN, _CLOSE = {"(", "[", "{", r"\{", r"\begin"}, {")", "]", "}", r"\}", r"\end"}


def kinds_of(tokens: list[Token]) -> str:
    return "".join(t.kind if len(t.kind) == 1 else "?" for t in tokens)


def split_at(tokens: list[Token], separators: set[str]) -> tuple[list[list[Token]], list[Token]]:
    """Split at separators outside all brackets."""
    parts: list[list[Token]] = [[]]
    found: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind in _OPEN) - (token.kind in _CLOSE)
        if depth == 0 and (token.kind in separators or token.text in separators):
            found.append(token)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, found


def items_of(
    tokens: list[Token], conventions: Conventions = DEFAULT
) -> list[tuple[str, list[Token]]]:
    """Return the members of a list as (name, tokens), without name, equals sign and unit."""
    parts, separators = split_at(tokens, {",", ";", "and", "or"})
    kinds = kinds_of(separators)
    return [
        strip_item(part, conventions)
        for i, part in enumerate(parts)
        if part or kinds[max(i - 1, 0) : i + 1] != ",w"  # "1, 2, and 3"
    ]


def strip_item(tokens: list[Token], conventions: Conventions = DEFAULT) -> tuple[str, list[Token]]:
    sides, relations = split_at(tokens, set(RELATIONS))
    signs = [RELATIONS[token.kind] for token in relations]
    name = ""
    if signs == ["="] and not _is_name(sides[0]):  # 5 = x
        sides.reverse()
    while signs and signs[0] in "=≈" and _is_name(sides[0]) and not _recurs(*sides[:2]):
        name, sides, signs = text_of(sides[0]), sides[1:], signs[1:]
    if "≈" in signs:  # the exact value before the sign is the answer
        sides, signs = sides[: signs.index("≈") + 1], signs[: signs.index("≈")]
    if name and len(set(signs)) == 1 and "=" in signs:  # S = 2 + 3 = 5
        sides, signs = sides[-1:], []
    read_unit = _without_unit if conventions.units == "drop" else _with_unit
    sides = [read_unit(side) for side in sides]
    joined = sides[0]
    for sign, side in zip(signs, sides[1:], strict=True):
        joined = [*joined, next(t for t in relations if RELATIONS[t.kind] == sign), *side]
    return name, joined


def _is_name(tokens: list[Token]) -> bool:
    if len(tokens) == 1 and tokens[0].text in ("i", r"\pi"):
        return False
    kinds = "".join(
        "D" if t.kind in _MARKS else k for t, k in zip(tokens, kinds_of(tokens), strict=True)
    )
    return _NAME.fullmatch(kinds) is not None


def _recurs(name: list[Token], side: list[Token]) -> bool:
    """Return True if a name occurs in its value: `x = x^2` is an equation."""
    return name[0].kind in ("s", "S") and name[0] in side


def _unit_start(tokens: list[Token]) -> int:
    """Return the index where the unit after a value starts, or the end if there is none."""
    kinds = kinds_of(tokens)
    start = kinds.find("w")
    if start < 1 or tokens[start - 1].kind == "_":  # 101_\text{two}
        return len(tokens)
    words = [token.text for token in tokens[start:] if token.kind == "w"]
    if words[0] not in ("squared", "cubed"):  # 5 feet squared
        words = [word for word in words if word not in ("squared", "cubed")]
    is_known = all(len(word) == 1 or word in UNITS for word in words)
    if tokens[start - 1].kind in ("/", "*") and is_known:  # 5 / \text{hour}
        start -= 1
    elif start > 1 and tokens[start - 2].kind == r"\frac" and is_known:  # but 2 \frac{Area}{h}
        start -= 2
    is_unit = start > 0 and not NOT_UNITS & set(words) and _UNIT_PHRASE.fullmatch(kinds[start:])
    return start if is_unit else len(tokens)


def _without_unit(tokens: list[Token]) -> list[Token]:
    return tokens[: _unit_start(tokens)]


def _with_unit(tokens: list[Token]) -> list[Token]:
    """Turn the unit into a product of symbols (`m/s` is m s^{-1}); move a currency to the end."""
    sign = bool(tokens) and tokens[0].kind in ("+", "-")
    currency = tokens[sign : sign + 1]
    if currency and currency[0].text in CURRENCIES and len(tokens) > sign + 1:
        value = _with_unit(tokens[:sign] + tokens[sign + 1 :])
        return [*value, Token("*", r"\cdot"), _symbol(currency[0].text)]
    start = _unit_start(tokens)
    unit: list[Token] = []
    for before, token in zip(tokens[start - 1 :], tokens[start:], strict=False):
        if token.text == "per":
            unit.append(Token("/", "/"))
        elif token.text in ("squared", "cubed"):
            power = {"squared": "2", "cubed": "3"}[token.text]
            unit += [Token("^", "^"), Token("{", "{"), Token("n", power), Token("}", "}")]
        elif token.kind != "-" or before.kind == "{":  # drops the hyphen of `foot-pounds`
            unit.append(_symbol(token.text) if token.kind == "w" else token)
    joint = [Token("*", r"\cdot")] if unit and unit[0].kind not in ("/", "*") else []
    return tokens[:start] + joint + unit


def _symbol(unit: str) -> Token:
    singular = unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit
    name = {"deg": "degree"}.get(singular, singular)
    return Token("s", name if len(name) == 1 else rf"u_{{{name}}}")


def text_of(tokens: list[Token]) -> str:
    joined = " ".join(token.text for token in tokens)
    return re.sub(r"\{ (\S+) \}", r"\1", joined)
